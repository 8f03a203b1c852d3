"""Sums over rows as a GPU computes them: several of the same rows at once, and blocks side by side.

A GPU sums a column in one of its many processors. So rows are cut into blocks, which are summed
side by side, and then the blocks' sums. XLA would join two such sums to one over all rows again,
but for one of several arrays.
"""

import math

import tensorflow as tf

from keras_reptile.keras_internals import sums_together
from keras_reptile.kernels.devices import device_kinds

# Fewer rows are summed in one piece.
MIN_ROWS_TO_CUT = 256


def sums_of_rows(*arrays: tf.Tensor) -> list[tf.Tensor]:
    """The sums over the rows of arrays of one shape, in one pass. XLA has to compile them.

    Args:
        *arrays: Tensors `(sets, rows, columns)` of one dtype and known shape.

    Returns:
        List of tensors `(sets, columns)`.
    """
    if "TPU" in device_kinds():
        # Its compiler joins these to one pass, and does what they sum in the same.
        return [tf.reduce_sum(array, axis=1) for array in arrays]
    sets, rows, columns = arrays[0].shape
    number = blocks(rows)
    if number == 1:
        return sums_together(arrays, axis=1)
    cut = (sets, number, rows // number, columns)
    return sums_together(
        sums_together([tf.reshape(array, cut) for array in arrays], axis=2), axis=1
    )


def blocks(rows: int) -> int:
    """Into how many blocks rows are cut: the most up to the root that divide them; 1 for few.

    Example:

    >>> blocks(1960), blocks(70560), blocks(160), blocks(7919)
    (40, 252, 1, 1)
    """
    if rows < MIN_ROWS_TO_CUT:
        return 1
    return max(n for n in range(1, math.isqrt(rows) + 1) if rows % n == 0)
