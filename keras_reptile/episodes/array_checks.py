"""Checks of arrays that TensorFlow would take as other numbers, or not at all."""

from typing import Any

import numpy as np
import tensorflow as tf


def check_arrays(name: str, values: Any) -> None:
    """Checks each array of a structure, see `check_array`."""
    for each in tf.nest.flatten(values):
        check_array(name, each)


def check_array(name: str, values: Any) -> None:
    """Raises `ValueError` for masked entries, and for complex or extended-precision numbers.

    TensorFlow would take what lies under a mask, and real parts only.

    Args:
        name: String, the argument.
        values: Any value. Those that are neither arrays nor numbers are not checked.
    """
    if np.ma.is_masked(values):
        masked = np.ma.count_masked(values)
        raise ValueError(
            f"`{name}` must have no masked entries. Received: a masked array, {masked} of its "
            f"{values.size} entries masked. Fill them, as with `filled(0)`, or leave these "
            "examples out."
        )
    dtype = getattr(values, "dtype", type(values) if isinstance(values, complex) else None)
    if dtype is not None and _is_not_taken(dtype):
        raise ValueError(
            f"`{name}` must be real numbers of at most 64 bits. Received: numbers of dtype "
            f"{getattr(dtype, 'name', 'complex')}. Convert them to float32."
        )


def _is_not_taken(dtype: Any) -> bool:
    """Returns whether numbers of a dtype are complex, or floats of more than 64 bits."""
    if isinstance(dtype, tf.DType):
        return dtype.is_complex
    try:
        kind = np.dtype(dtype)
    except TypeError:  # Of another library.
        return False
    return kind.kind == "c" or (kind.kind == "f" and kind.itemsize > 8)
