"""Sums over rows in the form that is fast on a GPU.

A GPU sums each column in only one of its many processors. So the rows are cut into blocks, which
are summed in parallel, and then the sums of the blocks are added. XLA would merge these two steps
into one sum over all rows. It does not if several arrays are summed by one operation.
"""

import math

import tensorflow as tf

from keras_reptile.keras_internals import sums_together
from keras_reptile.kernels.devices import device_kinds
from keras_reptile.kernels.row_sums import largest_divisor

# Fewer rows are summed as one block.
MIN_ROWS_TO_CUT = 256


def sums_of_rows(*arrays: tf.Tensor) -> list[tf.Tensor]:
    """Returns the sums over rows of several arrays, in one pass. XLA must compile them.

    Args:
        *arrays: Tensors `(sets, rows, columns)` of one dtype and known shape.

    Returns:
        List of tensors `(sets, columns)`.
    """
    if "TPU" in device_kinds():
        # Its compiler fuses these sums, and the computation of the arrays, into one pass.
        return [tf.reduce_sum(array, axis=1) for array in arrays]
    if blocks(arrays[0].shape[1]) == 1:
        return sums_together(arrays, axis=1)
    return sums_of_blocks(*map(in_blocks, arrays))


def sums_of_blocks(*arrays: tf.Tensor) -> list[tf.Tensor]:
    """Computes `sums_of_rows` of arrays from `in_blocks`."""
    return sums_together(sums_together(arrays, axis=2), axis=1)


def in_blocks(array: tf.Tensor) -> tf.Tensor:
    """Returns an array `(sets, rows, columns)` as `(sets, blocks, rows of a block, columns)`."""
    sets, rows, columns = array.shape
    return tf.reshape(array, (sets, blocks(rows), -1, columns))


def blocks(rows: int) -> int:
    """Returns the number of blocks: the largest divisor of `rows` up to its square root.

    It is 1 for few rows.

    Example:

    >>> blocks(1960), blocks(70560), blocks(160), blocks(7919)
    (40, 252, 1, 1)
    """
    if rows < MIN_ROWS_TO_CUT:
        return 1
    return largest_divisor(rows, math.isqrt(rows))
