"""Loading a data set by name."""

import functools
import importlib
import inspect
from typing import Any

from keras_reptile.episodes.class_pool import Pools

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
        ValueError: If there is no data set of that name, or it does not know an option or its
            value, or lacks one.

    Example:

    >>> pools = load("glyphs", classes=40, validation_classes=5, test_classes=10)
    >>> len(pools.train), len(pools.validation), len(pools.test)
    (25, 5, 10)
    """
    check_name(name)
    if name.startswith(TFDS):
        function = functools.partial(_module("tfds_images").load, name.removeprefix(TFDS))
    else:
        function = _module(name).load
    _check_options(name, _parameters(function), options)
    return function(**options)


def _check_options(name, parameters, options) -> None:
    needed = [option for option, p in parameters.items() if p.default is p.empty]
    if not set(needed) <= set(options) <= set(parameters):
        needs = f", and needs {', '.join(needed)}" if needed else ""
        raise ValueError(
            f"The data set {name!r} has {_listed(parameters)}{needs}. Received: {_listed(options)}."
        )


def _listed(options) -> str:
    return f"the options {', '.join(options)}" if options else "no options"


def _parameters(function) -> dict[str, inspect.Parameter]:
    """A function's parameters by name, those that it passes on to `split_classes` among them."""
    parameters = dict(inspect.signature(function).parameters)
    own = {name: p for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    if len(own) == len(parameters):
        return own
    passed_on = dict(inspect.signature(_module("class_split").split_classes).parameters)
    del passed_on["pool"]
    return own | passed_on


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
