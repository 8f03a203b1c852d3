"""Omniglot (Lake et al., 2015) through TFDS, in the authors' split or the data set's own split."""

import os
import random
import socket

import numpy as np

from keras_reptile.checks import check_integer, check_positive, check_seed
from keras_reptile.datasets.resampling import nearest_rows
from keras_reptile.datasets.tfds_images import unreadable
from keras_reptile.episodes.class_pool import ClassPool, Pools
from keras_reptile.errors import cause

CLASSES = 1623
TRAIN_CLASSES = 1200
# More than an alphabet has characters. A class's name is `CHARACTERS * alphabet + character`.
CHARACTERS = 1000
# The host from which TFDS downloads the data set.
SOURCE = "github.com"


def load(
    data_dir: str | None = None,
    split: str = "authors",
    validation_classes: int = 50,
    image_size: int = 28,
    rotations: bool = True,
    split_seed: int = 0,
) -> Pools:
    """Loads 1,623 handwritten characters of 50 alphabets, with 20 images each.

    Images are reduced to `image_size` by nearest neighbour. Paper is 255, ink is 0. Training
    classes rotated by 90, 180 and 270 degrees are further training classes.

    Args:
        data_dir: String, TFDS's data directory, which contains `omniglot/`. Missing data are
            downloaded. Defaults to `None`: `TFDS_DATA_DIR`, or TFDS's own default.
        split: String. `"authors"`: all classes are sorted by alphabet and character and then
            shuffled. The first 1,200 are for training, the other 423 for testing. `"background"`:
            the data set's 30 background alphabets (964 classes) are for training, and its 20
            evaluation alphabets (659 classes) for testing. Defaults to `"authors"`.
        validation_classes: Integer, the number of training classes that are used for validation
            instead: the last in the shuffled order. The authors have none. Defaults to `50`.
        image_size: Integer, height and width. Defaults to `28`.
        rotations: Boolean, whether training classes are rotated. Defaults to `True`.
        split_seed: Integer, the seed by which classes are shuffled. In the authors' split it
            decides which classes are for testing, like `--seed` of their program. In the other
            split it decides which are for validation. Defaults to `0`, like the authors' program.

    Returns:
        `Pools` of uint8 images `(image_size, image_size, 1)`. The groups of classes are alphabets,
        for `episode_dataset(within_groups=True)`.

    Raises:
        ValueError: If an argument is out of range, or the data are missing or unreadable.

    Reference: [Lake et al., 2015](https://doi.org/10.1126/science.aab3050).
    """
    if split not in ("authors", "background"):
        raise ValueError(f"`split` must be 'authors' or 'background'. Received: split={split!r}.")
    check_integer("validation_classes", validation_classes, 0)
    if validation_classes >= 900:
        raise ValueError(
            "`validation_classes` must be in 0 to 899, to leave classes to train on. "
            f"Received: validation_classes={validation_classes}."
        )
    check_positive("image_size", image_size)
    check_seed("split_seed", split_seed)
    if data_dir is not None and not os.path.isdir(data_dir):
        raise ValueError(
            f"data_dir={data_dir!r} is not a directory. Give TFDS's data directory, which contains "
            "`omniglot/`, or make an empty one for the download."
        )
    training, test = _training_and_test(data_dir, split, image_size, split_seed)
    train, validation = training.split(len(training) - validation_classes, validation_classes)
    return Pools(train.with_rotations() if rotations else train, validation, test)


def _training_and_test(data_dir, split, image_size, split_seed) -> list[ClassPool]:
    if split == "authors":
        pool = _pool(data_dir, "train+test", image_size)
        ordered = pool.subset(authors_order(len(pool), split_seed))
        return ordered.split(TRAIN_CLASSES, CLASSES - TRAIN_CLASSES)
    background = _pool(data_dir, "train", image_size).shuffled(split_seed)
    return [background, _pool(data_dir, "test", image_size)]


def authors_order(classes: int = CLASSES, seed: int = 0) -> list[int]:
    """Returns the authors' order of the sorted classes: Python's shuffle of their positions.

    Example:

    >>> authors_order()[:5]
    [820, 1436, 946, 1161, 886]
    """
    order = list(range(classes))
    random.Random(seed).shuffle(order)
    return order


def _pool(data_dir, split, image_size) -> ClassPool:
    (images, alphabets, characters), source = _read(data_dir, split, image_size)
    # TFDS numbers alphabets by their sorted names, so this is the order of (alphabet, character).
    pool = ClassPool.from_arrays(images, alphabets * CHARACTERS + characters)
    groups = [name // CHARACTERS for name in pool.names]
    grouped = ClassPool(pool.images, pool.counts, pool.names, groups)
    grouped.source = source
    return grouped


def _read(data_dir, split, image_size) -> tuple[list[np.ndarray], str]:
    # Imported here so that programs on other data do not wait for it.
    import tensorflow as tf
    import tensorflow_datasets as tfds

    rows = nearest_rows(105, image_size)

    def reduce(example):
        image = tf.io.decode_png(example["image"], channels=1)
        image = tf.gather(tf.gather(image, rows, axis=0), rows, axis=1)
        return image, example["alphabet"], example["alphabet_char_id"]

    try:
        builder = _prepared(tfds.builder("omniglot", data_dir=data_dir))
    except Exception as error:
        raise ValueError(_not_ready(data_dir, error)) from error
    try:
        dataset = builder.as_dataset(
            split=split,
            decoders={"image": tfds.decode.SkipDecoding()},
            read_config=tfds.ReadConfig(interleave_cycle_length=1),
        )
        batches = list(dataset.map(reduce, num_parallel_calls=4).batch(1000).as_numpy_iterator())
        columns = [np.concatenate(column) for column in zip(*batches, strict=True)]
        expected = builder.info.splits[split].num_examples
        if len(columns[0]) != expected:
            raise OSError(f"{len(columns[0])} images instead of {expected}")
    except Exception as error:
        raise ValueError(unreadable(builder, split, error)) from error
    return columns, builder.info.full_name


def _prepared(builder):
    """Returns the builder, after downloading its data if they are missing."""
    if not (builder.data_path / "dataset_info.json").exists():
        # Without a network this fails at once. TFDS would retry for minutes.
        socket.create_connection((SOURCE, 443), timeout=10).close()
        builder.download_and_prepare()
    return builder


def _not_ready(data_dir, error) -> str:
    return (
        f"Omniglot is not prepared in data_dir={data_dir!r} and cannot be downloaded. "
        "Set `data_dir` or TFDS_DATA_DIR to a directory in which TFDS has prepared `omniglot`, "
        f"or run once with a network. The cause: {cause(error)}"
    )
