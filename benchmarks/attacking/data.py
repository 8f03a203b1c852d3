"""Damaged data sets, many files, and a checkpoint that inflates."""

import random
import time
import warnings
import zipfile
from pathlib import Path
from unittest import mock

import keras
import numpy as np
from made_images import TinyShapes
from PIL import Image

import keras_reptile as kr
from attacking.verdicts import Verdicts
from keras_reptile.checkpoint import load_checkpoint, write_checksum
from keras_reptile.datasets import image_cache
from keras_reptile.errors import RunError

IN_A_CLASS = 20


def tfrecords(number: int, folder: Path) -> Verdicts:
    """Flips a bit of a prepared data set's records, each time another."""
    verdicts, rs = Verdicts.none(), random.Random(0)
    TinyShapes(data_dir=folder).download_and_prepare()
    load = lambda: kr.datasets.load(  # noqa: E731
        "tfds:tiny_shapes", data_dir=str(folder), image_size=10, test_classes=4
    )
    before = load()
    records = [p for p in sorted(folder.rglob("*.tfrecord*")) if "small" not in p.name]
    for _ in range(number):
        record = rs.choice(records)
        content = record.read_bytes()
        flipped = bytearray(content)
        flipped[rs.randrange(len(content))] ^= 1 << rs.randrange(8)
        record.write_bytes(flipped)
        try:
            found = load()
            same = all(
                np.array_equal(a.images, b.images) for a, b in zip(before, found, strict=True)
            )
            verdicts.add("accepted, as it was" if same else "wrong", str(record))
        except (RunError, ValueError) as error:
            verdicts.add("refused" if record.name in str(error) else "wrong", str(error))
        except Exception as error:
            verdicts.add("traceback", repr(error))
        record.write_bytes(content)
    return verdicts


def many_files(number: int, folder: Path) -> Verdicts:
    """Reads so many images, then twice as many; four times the seconds would be quadratic."""
    verdicts, seconds = Verdicts.none(), {}
    pixels = np.random.RandomState(0).randint(0, 256, (IN_A_CLASS, 28, 28), np.uint8)
    contents = []
    for image in pixels:
        Image.fromarray(image).save(folder / "image.png")
        contents.append((folder / "image.png").read_bytes())
    for images in (number // 2, number):
        for start in range(0, images, IN_A_CLASS):
            place = folder / str(images) / f"class_{start:07d}"
            place.mkdir(parents=True)
            for i, content in enumerate(contents):
                (place / f"{i}.png").write_bytes(content)
        started = time.process_time()
        with mock.patch.object(image_cache, "cache_directory", lambda: None):
            pools = kr.datasets.load("folder", image_dir=str(folder / str(images)))
        seconds[images] = time.process_time() - started
        for pool in pools:
            for position in range(0, len(pool), 500):
                assert np.array_equal(pool.class_images(position)[0, ..., 0], pixels[0])
    half, whole = seconds.values()
    verdicts.counts["read" if whole < 3 * half else "wrong"] = number
    verdicts.failures.extend([f"wrong: {seconds}"] * (whole >= 3 * half))
    return verdicts


def _two_of_a_name() -> warnings.catch_warnings:
    return warnings.catch_warnings(action="ignore")


def zip_bombs(number: int, folder: Path) -> Verdicts:
    """Loads small .keras files that inflate to 50 MB and more, with and without a checksum."""
    verdicts = Verdicts.none()
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model = kr.ReptileModel(network, "sgd")
    model.compile("sgd", "sparse_categorical_crossentropy")
    for i in range(number):
        path = folder / f"{i}.keras"
        model.save(path)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive, _two_of_a_name():
            name = ("assets/a", "config.json", "model.weights.h5")[i % 3]
            with archive.open(name, "w", force_zip64=True) as member:
                for _ in range(50 + i):
                    member.write(bytes(2**20))
        if i % 2:
            write_checksum(path)
        try:
            with mock.patch.object(zipfile.ZipExtFile, "read", side_effect=KeyError("inflated")):
                load_checkpoint(path)
            verdicts.add("wrong", "it was loaded")
        except RunError as error:
            verdicts.add("refused" if "would inflate to" in str(error) else "wrong", str(error))
    return verdicts
