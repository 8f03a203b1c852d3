"""Loading a data set by name."""

from typing import Any

from keras_reptile.class_pool import Pools
from keras_reptile.datasets import glyphs, omniglot

LOADERS = {"glyphs": glyphs.load, "omniglot": omniglot.load}


def load(name: str, **options: Any) -> Pools:
    """Loads a data set as three pools of classes: train, validation and test.

    Args:
        name: String, `"glyphs"` or `"omniglot"`.
        **options: What the data set's own `load` takes, see `datasets/glyphs.py` and
            `datasets/omniglot.py`.

    Returns:
        A `Pools` with `.train`, `.validation` and `.test`, which have no class in common.

    Raises:
        ValueError: If there is no data set of that name, or it does not know an option's value.

    Example:

    >>> pools = load("glyphs", classes=40, validation_classes=5, test_classes=10)
    >>> len(pools.train), len(pools.validation), len(pools.test)
    (25, 5, 10)
    """
    if name not in LOADERS:
        raise ValueError(f"`dataset` must be one of {sorted(LOADERS)}. Received: {name!r}.")
    return LOADERS[name](**options)
