"""Reads labelled images of TensorFlow Datasets (TFDS), and any labelled image set by name."""

import difflib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_reptile.datasets.class_split import split_classes
from keras_reptile.datasets.image_files import check_image_options
from keras_reptile.datasets.resampling import resize_bilinear
from keras_reptile.episodes.class_pool import ClassPool, Pools
from keras_reptile.episodes.shared_memory import empty
from keras_reptile.errors import cause

# The host of TFDS's information about its data sets.
SOURCE = "storage.googleapis.com"
CATALOGUE = "https://www.tensorflow.org/datasets/catalog/overview"


def load(
    name: str,
    data_dir: str | None = None,
    image_size: int = 28,
    channels: int = 1,
    **split: Any,
) -> Pools:
    """Loads any labelled image set of TensorFlow Datasets.

    The images of its train, validation and test splits are combined, or those of all splits if
    none has one of these names. Then its classes are divided into new splits.

    Args:
        name: String, TFDS's name, such as `"cifar100"` or `"emnist/letters"`.
        data_dir: String, TFDS's data directory. Missing data are downloaded. Defaults to `None`:
            `TFDS_DATA_DIR`, or TFDS's own default.
        image_size: Integer, height and width to which images are resized, see
            `resampling.resize_bilinear`. Defaults to `28`.
        channels: Integer, 1 for grey, 3 for colour. Defaults to `1`.
        **split: The arguments of `class_split.split_classes`.

    Returns:
        `Pools` of uint8 images `(image_size, image_size, channels)` in [0, 255].

    Raises:
        ValueError: If TFDS has no such set, it has no images with labels, it cannot be read, or an
            argument is out of range.
    """
    check_image_options(image_size, channels)
    check_data_dir(data_dir)
    builder = _builder(name, data_dir)
    image, label = _keys(builder)
    _prepare(builder)
    images, labels = read(builder, _split(builder), image_size, channels, image, label)
    images, labels = _without_secret_labels(builder, images, labels)
    feature = builder.info.features[label]
    pool = ClassPool.from_arrays(images, labels)
    pool.source = builder.info.full_name
    if isinstance(feature, tfds.features.ClassLabel):
        pool.names = tuple(feature.int2str(number) for number in pool.names)
    return split_classes(pool, **split)


def _without_secret_labels(builder, images, labels) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images with a label. TFDS gives -1 to those of tests with secret labels."""
    known = labels != -1 if labels.dtype.kind == "i" else np.ones(len(labels), bool)
    if not known.any():
        raise ValueError(
            f"TFDS's {builder.name!r} cannot be used: no image of {builder.name!r} has a known "
            f"label. Choose another data set. TFDS's catalogue: {CATALOGUE}"
        )
    return (images, labels) if known.all() else (images[known], labels[known])


def check_data_dir(data_dir: str | None) -> None:
    """Raises `ValueError` for a data directory that does not exist."""
    if data_dir is not None and not os.path.isdir(data_dir):
        raise ValueError(
            f"data_dir={data_dir!r} is not a directory. Give TFDS's data directory, or make an "
            "empty one to prepare the data in."
        )


def _builder(name, data_dir):
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(
            f"There is no data set {name!r} in TFDS or in data_dir={data_dir!r}. {hint}"
            f"TFDS's catalogue: {CATALOGUE}"
        ) from None
    # Builders raise errors of many types, for instance if a package is not installed.
    except Exception as error:
        raise ValueError(f"TFDS cannot open {name!r}: {cause(error)}") from error


def _keys(builder) -> tuple[str, str]:
    """Returns the names of the features of the image and its label."""
    features = builder.info.features
    image, label = (builder.info.supervised_keys or ("image", "label"))[:2]
    # Inputs of several features are a tuple or a dict.
    are_names = isinstance(image, str) and isinstance(label, str)
    known = are_names and isinstance(features, tfds.features.FeaturesDict)
    has_both = known and image in features and label in features
    if not has_both or not _labelled_images(features[image], features[label]):
        raise ValueError(
            f"TFDS's {builder.name!r} is not a set of images with one label each. "
            f"Its features: {' '.join(str(features).split())[:300]}"
        )
    return image, label


def _labelled_images(image, label):
    is_image = isinstance(image, tfds.features.Image) and image.np_dtype == np.uint8
    names = isinstance(label, tfds.features.Text)
    return is_image and label.shape == () and (names or np.issubdtype(label.np_dtype, np.integer))


def _prepare(builder) -> None:
    """Downloads the data if they are missing."""
    if (builder.data_path / "dataset_info.json").exists():
        return
    try:
        # Without a network this fails at once. TFDS would retry for minutes.
        socket.create_connection((SOURCE, 443), timeout=10).close()
        builder.download_and_prepare()
    except Exception as error:
        raise ValueError(
            f"TFDS has not prepared {builder.name!r} in {builder.data_dir}, and preparing it "
            "failed. Set `data_dir` or TFDS_DATA_DIR to a directory with the prepared data set, or "
            f"run once with a network. The cause: {cause(error)}"
        ) from error


def _split(builder) -> str:
    # Splits with other names often repeat images of these, for example Omniglot's small1.
    usual = [name for name in ("train", "validation", "test") if name in builder.info.splits]
    return "+".join(usual or builder.info.splits)


def read(
    builder: tfds.core.DatasetBuilder,
    split: str,
    image_size: int,
    channels: int = 3,
    image: str = "image",
    label: str = "label",
) -> tuple[np.ndarray, np.ndarray]:
    """Reads prepared images into one array, without a second copy in memory.

    Args:
        builder: A TFDS builder whose data are prepared.
        split: String, a split of TFDS or a sum of splits, such as `"train+test"`.
        image_size, channels: See `load`.
        image: String, the name of the image's feature. Defaults to `"image"`.
        label: String, the name of the label's feature. Defaults to `"label"`.

    Returns:
        Tuple of uint8 images `(images, image_size, image_size, channels)` in [0, 255] and labels
        `(images,)`, integers or strings, in the order in which TFDS stores them.

    Raises:
        ValueError: If the stored data are damaged. The error names the files.
    """
    examples = builder.info.splits[split].num_examples
    images = empty((examples, image_size, image_size, channels), np.uint8)
    labels: list[Any] = []
    try:
        for some_images, some_labels in _batches(
            builder, split, image_size, channels, image, label
        ):
            images[len(labels) : len(labels) + len(some_labels)] = some_images
            labels += some_labels.tolist()
        if len(labels) != examples:
            raise OSError(f"{len(labels)} images instead of {examples}")
    except Exception as error:
        raise ValueError(unreadable(builder, split, error)) from error
    return images, np.array([x.decode() if isinstance(x, bytes) else x for x in labels])


def _batches(builder, split, image_size, channels, image, label):
    def reduce(example):
        pixels = tf.cast(example[image], tf.uint8)
        if pixels.shape[-1] != channels:
            pixels = _grey(pixels) if channels == 1 else _colour(pixels)
        return resize_bilinear(pixels, image_size), example[label]

    # In the order of the files, so that each image has the same position every time.
    config = tfds.ReadConfig(interleave_cycle_length=1)
    dataset = builder.as_dataset(split=split, read_config=config, shuffle_files=False)
    return dataset.map(reduce, num_parallel_calls=4).batch(100).prefetch(2).as_numpy_iterator()


def _grey(pixels):
    # Of two or four channels, the transparency is dropped.
    return _by_channels(pixels, tf.image.rgb_to_grayscale, lambda grey: grey)


def _colour(pixels):
    # Grey becomes three equal channels. Of two or four channels, the transparency is dropped.
    return _by_channels(pixels, lambda colour: colour, tf.image.grayscale_to_rgb)


def _by_channels(pixels, of_colour: Callable, of_grey: Callable):
    """Returns a function of three channels, or another of one, as the image has them."""
    colour = lambda: of_colour(tf.ensure_shape(pixels[..., :3], (None, None, 3)))  # noqa: E731
    grey = lambda: of_grey(tf.ensure_shape(pixels[..., :1], (None, None, 1)))  # noqa: E731
    channels = pixels.shape[-1]
    if channels is None:  # The images of a data set can differ.
        return tf.cond(tf.shape(pixels)[-1] >= 3, colour, grey)
    return colour() if channels >= 3 else grey()


def unreadable(builder: Any, split: str, error: BaseException) -> str:
    """Returns the message for a prepared data set that cannot be read."""
    damaged = ", ".join(path.name for path in damaged_files(builder, split))
    files = f" Damaged or missing: {damaged}." if damaged else ""
    return (
        f"{builder.name} cannot be read from {builder.data_path}.{files} Remove that folder, so "
        f"that it is prepared again. The cause: {cause(error)}"
    )


def damaged_files(builder: Any, split: str) -> list[Path]:
    """Returns the files of a split that cannot be read to their end."""
    return [Path(p) for p in builder.info.splits[split].filepaths if not _is_whole(p)]


def _is_whole(path) -> bool:
    try:
        # Every record has a checksum, which TensorFlow verifies.
        for _ in tf.data.TFRecordDataset(str(path)):
            pass
    except tf.errors.OpError:
        return False
    return True
