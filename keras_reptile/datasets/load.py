"""Loading a data set by name."""

import functools
import importlib
import inspect
import numbers
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_reptile.checks import check_new_name, did_you_mean

# Names and their checks need no TensorFlow.
if TYPE_CHECKING:
    from keras_reptile.episodes.class_pool import Pools

# The module of the same name in this folder reads each data set.
NAMES = ("folder", "glyphs", "mini_imagenet", "omniglot", "sinusoid")
TFDS = "tfds:"
# The functions that load registered data sets, by name.
REGISTERED: dict[str, Callable[..., "Pools"]] = {}


def load(name: str, **options: Any) -> "Pools":
    """Loads a data set as three pools of classes: train, validation and test.

    Args:
        name: String, `"glyphs"`, `"omniglot"`, `"mini_imagenet"`, `"folder"` for class folders of
            images, `"tfds:NAME"` for any labelled image set of TensorFlow Datasets, `"sinusoid"`,
            whose splits are the three `Waves` of `sinusoid_dataset`, or the name of a data set
            that was registered with `register_dataset`.
        **options: The options of the data set, see docs/how_to/data.md. They are the arguments of
            `load` in its module, such as `datasets/glyphs.py`; that of `"tfds:NAME"` is
            `datasets/tfds_images.py`.

    Returns:
        A `Pools` with `.train`, `.validation` and `.test`, which have no class in common.

    Raises:
        ValueError: If there is no data set of this name, an option is unknown or missing, its
            value is invalid, or the function of a registered data set does not return `Pools`
            without a common class.

    Example:

    >>> pools = load("glyphs", classes=40, validation_classes=5, test_classes=10)
    >>> len(pools.train), len(pools.validation), len(pools.test)
    (25, 5, 10)
    """
    check_name(name)
    function = _loader(name)
    _check_options(name, _parameters(function), options)
    pools = function(**{option: _plain(value) for option, value in options.items()})
    if name in REGISTERED:
        _check_pools(name, pools)
    return pools


def _plain(value: Any) -> Any:
    """Returns an integer as an `int`, in which sums of NumPy's small integers cannot overflow."""
    is_integer = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return operator.index(value) if is_integer else value


def _loader(name: str) -> Callable[..., "Pools"]:
    if name in REGISTERED:
        return REGISTERED[name]
    if name.startswith(TFDS):
        return functools.partial(_module("tfds_images").load, name.removeprefix(TFDS))
    return _module(name).load


def register_dataset(name: str, load: Callable[..., "Pools"]) -> None:
    """Registers a custom data set under a name for `load` and for a recipe's `dataset`.

    `episode_dataset` needs no registration: it takes any `ClassPool`.

    Args:
        name: String. If the name is already registered, the new data set replaces the old one.
        load: Function that returns `Pools` of three `ClassPool`s without a common class. If a
            string names classes of two pools, `datasets.load` refuses them. Its arguments are the
            options of `datasets.load(name, **options)`. A recipe passes `data_dir` and its fields
            `validation_classes`, `test_classes`, `split_seed`, `split_dir`, `published_split`,
            `dataset_split`, `image_dir`, `manual_dir`, `image_size` and `channels`, if the
            function has arguments of these names.

    Raises:
        ValueError: If the name is one of the package's own, `load` is not a function, or it has
            arguments without names.

    Example:

    >>> def grey(validation_classes=2, test_classes=3):
    ...     images = np.zeros((40, 8, 8, 1), np.uint8)
    ...     pool = keras_reptile.ClassPool.from_arrays(images, np.arange(40) % 10)
    ...     training = 10 - validation_classes - test_classes
    ...     return keras_reptile.Pools(*pool.split(training, validation_classes, test_classes))
    >>> register_dataset("grey", grey)
    >>> len(load("grey", test_classes=5).train)
    3
    """
    check_new_name("data set", name, NAMES)
    _check_arguments(load)
    REGISTERED[name] = load


def _check_pools(name: str, pools: Any) -> None:
    # Imported here: names need no TensorFlow, but pools have been loaded by it.
    from keras_reptile.datasets.class_folders import listed
    from keras_reptile.datasets.own_split import in_several_places
    from keras_reptile.episodes.class_pool import ClassPool, Pools

    if not isinstance(pools, Pools) or not all(isinstance(pool, ClassPool) for pool in pools):
        raise ValueError(
            f"The function of the data set {name!r} must return `Pools` of three `ClassPool`s. "
            f"Received: {type(pools).__name__}. Return `Pools(*pool.split(...))`."
        )
    # Numbers are no names: each pool may number its own classes.
    named = {
        part: {name for name in pool.names if isinstance(name, str)}
        for part, pool in pools._asdict().items()
    }
    if common := sorted(in_several_places(named)):
        raise ValueError(
            f"The pools of the data set {name!r} must have no common class. Received: "
            f"{listed(common)}. Remove it from one of them, or name other classes otherwise."
        )


def options_of(name: str) -> list[str]:
    """Returns the names of the options of a registered data set."""
    return list(inspect.signature(REGISTERED[name]).parameters)


def _check_arguments(load: Any) -> None:
    if not callable(load):
        raise ValueError(f"A data set needs a function that loads it. Received: {load!r}.")
    parameters = inspect.signature(load).parameters.values()
    wrong = [str(p) for p in parameters if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if wrong:
        raise ValueError(
            "The options of a data set must have names. Received a function with the arguments "
            f"{', '.join(wrong)}. Name each option, as in `load(image_size=28)`."
        )


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
    """Returns a function's parameters by name, with those of `split_classes` for `**split`."""
    parameters = dict(inspect.signature(function).parameters)
    named = {name: p for name, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
    if len(named) == len(parameters):
        return named
    of_split = dict(inspect.signature(_module("class_split").split_classes).parameters)
    del of_split["pool"]
    return named | of_split


def check_name(name: str) -> None:
    """Raises `ValueError` for an unknown data set. It does not look up the names of TFDS."""
    is_tfds = isinstance(name, str) and name.startswith(TFDS) and name != TFDS
    known = [*NAMES, *REGISTERED]
    if not is_tfds and name not in known:
        raise ValueError(
            f"`dataset` must be one of {sorted(known)}, or 'tfds:NAME' for an image set of "
            f"TensorFlow Datasets. Received: {name!r}.{did_you_mean(name, known)}"
        )


def _module(name):
    # Imported here so that programs on other data do not wait for TFDS.
    return importlib.import_module(f"keras_reptile.datasets.{name}")
