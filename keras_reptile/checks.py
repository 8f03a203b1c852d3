"""Checks of arguments, before any work starts. Each raises `ValueError` with advice."""

import difflib
import inspect
import math
import operator
import os
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

# TensorFlow takes task numbers and seeds as int64. NumPy's generators take seeds as uint32.
INT64 = 2**63 - 1
UINT32 = 2**32 - 1
# The largest size of a tensor's axis.
INT32 = 2**31 - 1


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> int:
    """Returns a value as an `int`, in which products of NumPy's small integers cannot overflow.

    Raises:
        ValueError: If it is not an integer in a range. Booleans are not integers.

    Example:

    >>> check_integer("seed", 2.5, 0)
    Traceback (most recent call last):
    ValueError: `seed` must be an integer of at least 0. Received: seed=2.5.
    """
    number = _integer(value)
    if number is None:
        raise ValueError(
            f"`{name}` must be an integer {_of(least, most)}. {_received(name, value)}"
        )
    if number < least:
        bound = "not be negative" if least == 0 else f"be at least {least}"
        raise ValueError(f"`{name}` must {bound}. {_received(name, value)}")
    if most is not None and number > most:
        raise ValueError(f"`{name}` must be at most {most}. {_received(name, value)}")
    return number


def check_positive(name: str, value: Any, most: int | None = None) -> int:
    """Returns a value as an `int`. Raises `ValueError` unless it is an integer of at least 1."""
    return check_integer(name, value, 1, most)


def check_seed(name: str, value: Any, least: int = 0, most: int = UINT32) -> int:
    """Returns a value as an `int`. Raises `ValueError` unless it can be the seed of a generator."""
    return check_integer(name, value, least, most)


def check_number(name: str, value: Any) -> None:
    """Raises `ValueError` unless a value is a finite real number."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ValueError(f"`{name}` must be a number. {_received(name, value)}")
    if not math.isfinite(as_float(value)):
        raise ValueError(f"`{name}` must be a finite number. {_received(name, value)}")


def check_choice(name: str, value: Any, choices: Collection[str]) -> None:
    """Raises `ValueError` unless a value is one of some strings."""
    if not isinstance(value, str) or value not in choices:
        near = did_you_mean(value, choices)
        raise ValueError(f"`{name}` must be one of {choices}. {_received(name, value)}{near}")


def did_you_mean(value: Any, names: Iterable[str]) -> str:
    """Returns a question with the name most similar to an unknown one, or an empty string.

    Example:

    >>> did_you_mean("omnglot", ["glyphs", "omniglot"]), did_you_mean("x", ["glyphs"])
    (" Did you mean 'omniglot'?", '')
    """
    near = difflib.get_close_matches(str(value), list(names), 1)
    return f" Did you mean {near[0]!r}?" if near else ""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Returns a number with its noun, in the plural unless the number is 1.

    Args:
        number: Integer.
        noun: String, its singular.
        plural: String. Defaults to `None`, the singular and an "s".

    Example:

    >>> counted(1, "step"), counted(2000, "step"), counted(0, "class", "classes")
    ('1 step', '2,000 steps', '0 classes')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def shown(name: object) -> str:
    """Returns a file's name as text that can be printed, also if it is not valid UTF-8.

    Example:

    >>> shown("caf\\udce9.png")
    'caf\\\\udce9.png'
    """
    return str(name).encode("utf-8", "backslashreplace").decode()


def check_new_name(kind: str, name: Any, built_in: Collection[str]) -> None:
    """Raises `ValueError` for a name that is invalid or one of the package's own.

    Example:

    >>> check_new_name("network", "sine_mlp", ["sine_mlp"])
    Traceback (most recent call last):
    ValueError: The package has a network 'sine_mlp'. Register yours under another name.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise ValueError(
            f"The name of a {kind} must be letters, digits and underscores. Received: {name!r}."
        )
    if name in built_in:
        raise ValueError(f"The package has a {kind} {name!r}. Register yours under another name.")


def check_takes(kind: str, function: Any, needed: Collection[str]) -> None:
    """Raises `ValueError` unless a function can be called with arguments of these names.

    Example:

    >>> check_takes("network", lambda ways: None, ("ways", "seed"))
    Traceback (most recent call last):
    ValueError: A network needs a function of ways, seed. Received: a function of ways.
    """
    if not callable(function):
        raise ValueError(f"A {kind} needs a function. Received: {function!r}.")
    if not takes(function, needed):
        parameters = inspect.signature(function).parameters
        raise ValueError(
            f"A {kind} needs a function of {', '.join(needed)}. "
            f"Received: a function of {', '.join(parameters) or 'nothing'}."
        )


def takes(function: Callable, names: Iterable[str]) -> bool:
    """Returns whether a function can be called with arguments of these names, and no others.

    Example:

    >>> takes(lambda ways, seed=0: None, ["ways"]), takes(lambda ways: None, ["ways", "seed"])
    (True, False)
    """
    try:
        inspect.signature(function).bind(**dict.fromkeys(names))
    except TypeError:
        return False
    return True


def takes_named(function: Callable, name: str) -> bool:
    """Returns whether a function takes an argument of this name.

    Example:

    >>> takes_named(lambda y, weights=None: None, "weights"), takes_named(lambda y: None, "weights")
    (True, False)
    """
    parameters = inspect.signature(function).parameters
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def check_unicode(name: str, text: str) -> None:
    """Raises `ValueError` for text that is not Unicode, such as a file name in another encoding.

    TensorFlow does not take it.

    Example:

    >>> check_unicode("path", "caf\\udce9")
    Traceback (most recent call last):
    ValueError: `path` must be valid UTF-8. Received: path='caf\\udce9'. Choose another name.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"`{name}` must be valid UTF-8. {_received(name, text)} Choose another name."
        ) from None


def check_boolean(name: str, value: Any) -> None:
    """Raises `ValueError` unless a value is `True` or `False`. NumPy's booleans are refused."""
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be True or False. {_received(name, value)}")


def check_whole_model_file(path: Any) -> None:
    """Raises `ValueError` for an HDF5 file, from which Keras cannot load models of this package."""
    if str(path).endswith((".h5", ".hdf5")):
        raise ValueError(
            "Keras cannot load this model from an HDF5 file. Received: "
            f"{str(path)!r}. Save it as a .keras file, or its weights by "
            "`save_weights('name.weights.h5')`."
        )


def check_backend() -> None:
    """Raises `ImportError` unless Keras runs on TensorFlow."""
    # Imported here because programs use the other checks before they start TensorFlow.
    import keras

    received = keras.backend.backend()
    if received != "tensorflow":
        raise ImportError(
            f"keras_reptile needs Keras's TensorFlow backend. Received: {received!r}. Set the "
            "environment variable KERAS_BACKEND=tensorflow before Keras is imported."
        )


def local_path(path: str | os.PathLike) -> str:
    """Returns the path of a local file or folder, with `~` replaced by the home folder.

    Shells do not expand the `~` in `--output_dir=~/runs`. Without this function, a folder named `~`
    would be created, and for `gs://bucket` a folder named `gs:`.

    Raises:
        ValueError: For addresses such as `gs://bucket/runs`, and the home folder of an unknown
            user.

    Example:

    >>> local_path("runs/glyphs"), local_path("~") == os.path.expanduser("~")
    ('runs/glyphs', True)
    """
    text = os.fspath(path)
    # `Path` turns two slashes into one. A single letter is a drive of Windows.
    if isinstance(text, str) and re.match(r"[A-Za-z][\w+.-]+:/", text):
        raise ValueError(
            f"Files and folders must be on this machine. Received: {text!r}. Mount or copy the "
            "remote folder, and give the local path."
        )
    expanded = os.path.expanduser(text)
    if isinstance(text, str) and expanded.startswith("~"):
        raise ValueError(
            f"There is no such home folder. Received: {text!r}. For a folder of that name, give "
            f"./{text}."
        )
    return expanded


def as_float(value: Any) -> float:
    """Converts a number to a float. Other values, such as text, become NaN."""
    try:
        return math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _integer(value: Any) -> int | None:
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def _of(least: int, most: int | None) -> str:
    return f"of at least {least}" if most is None else f"in {least} to {most}"


def _received(name: str, value: Any) -> str:
    text = repr(value)
    return f"Received: {name}={text if len(text) <= 200 else text[:200] + '...'}."
