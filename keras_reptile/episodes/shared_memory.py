"""Large arrays that NumPy and TensorFlow share. A pool is in memory only once."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# The alignment in bytes that TensorFlow's kernels need.
ALIGNMENT = 64


def empty(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """Returns an uninitialized array whose memory TensorFlow can use without a copy.

    Example:

    >>> empty((2, 3), np.uint8).ctypes.data % ALIGNMENT
    0
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def aligned(array: np.ndarray) -> np.ndarray:
    """Returns the array itself if TensorFlow can use its memory, otherwise an aligned copy."""
    if array.flags.c_contiguous and array.flags.writeable and not array.ctypes.data % ALIGNMENT:
        return array
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """Returns an eager tensor that shares the array's memory.

    A change of the array changes the tensor. `tf.convert_to_tensor` would copy twice. An array is
    still copied if it is not aligned, empty or of another dtype than integers and floats.

    Example:

    >>> array = empty((2,), np.float32)
    >>> array[:] = 5
    >>> tensor = as_tensor(array)
    >>> array[1] = 7
    >>> tensor.numpy().tolist()
    [5.0, 7.0]
    """
    numbers = array.dtype.kind in "uif" and array.dtype.isnative and array.size
    if not numbers or aligned(array) is not array:
        return tf.convert_to_tensor(array)
    return tf.experimental.dlpack.from_dlpack(array.__dlpack__())
