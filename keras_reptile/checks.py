"""Checks of arguments, before any work starts: each raises `ValueError` and says what to give."""

import difflib
import inspect
import math
import operator
import os
import re
from collections.abc import Collection, Iterable
from typing import Any

# Task numbers and seeds reach TensorFlow as int64, NumPy's generators as uint32.
INT64 = 2**63 - 1
UINT32 = 2**32 - 1
# Sizes of tensors are counted so.
INT32 = 2**31 - 1


def check_integer(name: str, value: Any, least: int, most: int | None = None) -> None:
    """Raises `ValueError` unless a value is an integer in a range; booleans are none.

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


def check_positive(name: str, value: Any, most: int | None = None) -> None:
    """Raises `ValueError` unless a value is an integer of at least 1."""
    check_integer(name, value, 1, most)


def check_seed(name: str, value: Any, least: int = 0, most: int = UINT32) -> None:
    """Raises `ValueError` for what a generator of random numbers cannot start from."""
    check_integer(name, value, least, most)


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
    """A question that follows an unknown name; nothing if no name is like it.

    Example:

    >>> did_you_mean("omnglot", ["glyphs", "omniglot"]), did_you_mean("x", ["glyphs"])
    (" Did you mean 'omniglot'?", '')
    """
    near = difflib.get_close_matches(str(value), list(names), 1)
    return f" Did you mean {near[0]!r}?" if near else ""


def check_new_name(kind: str, name: Any, built_in: Collection[str]) -> None:
    """Raises `ValueError` for a name that cannot be registered: none, or one of the package's.

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
    ValueError: A network needs a function of ways, seed. Received one of ways.
    """
    if not callable(function):
        raise ValueError(f"A {kind} needs a function. Received: {function!r}.")
    parameters = inspect.signature(function).parameters
    try:
        inspect.signature(function).bind(**dict.fromkeys(needed))
    except TypeError:
        raise ValueError(
            f"A {kind} needs a function of {', '.join(needed)}. "
            f"Received one of {', '.join(parameters) or 'nothing'}."
        ) from None


def check_boolean(name: str, value: Any) -> None:
    """Raises `ValueError` unless a value is `True` or `False`; NumPy's are neither."""
    if not isinstance(value, bool):
        raise ValueError(f"`{name}` must be True or False. {_received(name, value)}")


def check_backend() -> None:
    """Raises `ImportError` unless Keras runs on TensorFlow."""
    # Imported here: the other checks are for programs, too, before they start TensorFlow.
    import keras

    received = keras.backend.backend()
    if received != "tensorflow":
        raise ImportError(
            f"keras_reptile needs Keras's TensorFlow backend. Received: {received!r}. Set the "
            "environment variable KERAS_BACKEND=tensorflow before Keras is imported."
        )


def local_path(path: str | os.PathLike) -> str:
    """The path of a file or folder of this machine, where `~` is the home folder.

    Shells do not expand the `~` in `--output_dir=~/runs`. Taken as it is, it would be a folder of
    that name here, and so would `gs://bucket`.

    Raises:
        ValueError: For addresses such as `gs://bucket/runs`, and the home of nobody.

    Example:

    >>> local_path("runs/glyphs"), local_path("~") == os.path.expanduser("~")
    ('runs/glyphs', True)
    """
    text = os.fspath(path)
    # `Path` makes one slash of two. A single letter is a drive of Windows.
    if isinstance(text, str) and re.match(r"[A-Za-z][\w+.-]+:/", text):
        raise ValueError(
            f"Files and folders must be on this machine. Received: {text!r}. Mount what is there, "
            "or copy it."
        )
    expanded = os.path.expanduser(text)
    if isinstance(text, str) and expanded.startswith("~"):
        raise ValueError(
            f"There is no such home folder. Received: {text!r}. A folder of that name is ./{text}."
        )
    return expanded


def as_float(value: Any) -> float:
    """A number as a float; not a number for what is none, text among it."""
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
