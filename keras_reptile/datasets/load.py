"""Loading a data set by name."""

import importlib
from typing import Any

from keras_reptile.class_pool import Pools

# Each has a module of its name here.
NAMES = ("folder", "glyphs", "mini_imagenet", "omniglot", "sinusoid")
TFDS = "tfds:"


def load(name: str, **options: Any) -> Pools:
    """Loads a data set as three pools of classes: train, validation and test.

    Args:
        name: String, `"glyphs"`, `"omniglot"`, `"mini_imagenet"`, `"folder"` for class folders of
            images, `"tfds:NAME"` for any labelled image set of TensorFlow Datasets, or
            `"sinusoid"`, whose parts are the three `Waves` of `sinusoid_dataset`.
        **options: What the data set's own `load` takes, see `datasets/glyphs.py`,
            `datasets/omniglot.py`, `datasets/mini_imagenet.py`, `datasets/folder.py` and
            `datasets/tfds_images.py`.

    Returns:
        A `Pools` with `.train`, `.validation` and `.test`, which have no class in common.

    Raises:
        ValueError: If there is no data set of that name, or it does not know an option's value.

    Example:

    >>> pools = load("glyphs", classes=40, validation_classes=5, test_classes=10)
    >>> len(pools.train), len(pools.validation), len(pools.test)
    (25, 5, 10)
    """
    check_name(name)
    if name.startswith(TFDS):
        return _module("tfds_images").load(name.removeprefix(TFDS), **options)
    return _module(name).load(**options)


def check_name(name: str) -> None:
    """Raises `ValueError` for a data set that there is not; TFDS's names are not looked up."""
    is_tfds = isinstance(name, str) and name.startswith(TFDS) and name != TFDS
    if not is_tfds and name not in NAMES:
        raise ValueError(
            f"`dataset` must be one of {sorted(NAMES)}, or 'tfds:NAME' for an image set of "
            f"TensorFlow Datasets. Received: {name!r}."
        )


def _module(name):
    # Imported when asked for: a program on other data need not wait for TFDS.
    return importlib.import_module(f"keras_reptile.datasets.{name}")
