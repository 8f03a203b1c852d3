"""Large arrays that NumPy and TensorFlow share, so that a pool is in memory once."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

# TensorFlow's kernels need it of memory that they did not allocate.
ALIGNMENT = 64


def empty(shape: Sequence[int], dtype: Any) -> np.ndarray:
    """An uninitialized array whose memory TensorFlow can use as it is.

    Example:

    >>> empty((2, 3), np.uint8).ctypes.data % ALIGNMENT
    0
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)


def aligned(array: np.ndarray) -> np.ndarray:
    """The array itself where TensorFlow can use its memory, otherwise a copy that it can."""
    if array.flags.c_contiguous and array.flags.writeable and not array.ctypes.data % ALIGNMENT:
        return array
    copy = empty(array.shape, array.dtype)
    copy[...] = array
    return copy


def as_tensor(array: np.ndarray) -> tf.Tensor:
    """An eager tensor on the array's own memory; a change of the array changes the tensor.

    `tf.convert_to_tensor` would copy twice. What is not of numbers, or not aligned, is copied.

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
