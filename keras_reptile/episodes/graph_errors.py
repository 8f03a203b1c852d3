"""Errors that checks raise inside a TensorFlow graph, for the user."""

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def explained(*patterns: str) -> Iterator[None]:
    """Raises TensorFlow's errors whose text has one of the patterns as `ValueError` with this part.

    Args:
        *patterns: Strings, regular expressions.

    Example:

    >>> with explained("must be [a-z]+"):
    ...     tf.debugging.Assert(False, ["x must be positive"])
    Traceback (most recent call last):
    ValueError: must be positive
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        match = re.search("|".join(patterns), str(error))
        if not match:
            raise
        raise ValueError(match[0]) from None
