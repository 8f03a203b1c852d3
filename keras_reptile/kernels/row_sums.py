"""Sums over the rows of a matrix, in one pass over memory.

On a CPU, XLA does not fuse a fast sum over the first axis with the operations that compute the
summands: these are written to memory and read back. But it does fuse element-wise additions. So
the rows are cut into blocks, and the blocks are added element by element. The rest is a sum over
the rows of one block.
"""

from collections.abc import Callable

import tensorflow as tf

MAX_BLOCKS = 8
# A smaller matrix fits in the first-level cache, and is summed in one piece.
MIN_BYTES_TO_CUT = 1 << 16


def sum_of_rows(function: Callable, *matrices: tf.Tensor) -> tf.Tensor:
    """Computes the sum over the rows of `function(*matrices)`.

    Args:
        function: Function from matrices `(rows, columns)` to one matrix. Row i of the result
            depends on row i of the matrices only.
        *matrices: Tensors `(rows, columns)`.

    Returns:
        Tensor `(columns,)`.

    Example:

    >>> sum_of_rows(tf.square, tf.constant([[1.0, 2.0], [3.0, 4.0]])).numpy().tolist()
    [10.0, 20.0]
    """
    rows, columns = matrices[0].shape
    number = blocks(rows, columns, matrices[0].dtype.size)
    if number == 1:
        return tf.reduce_sum(function(*matrices), axis=0)
    cut = [tf.unstack(tf.reshape(m, (number, -1, m.shape[-1]))) for m in matrices]
    return tf.reduce_sum(tf.add_n([function(*b) for b in zip(*cut, strict=True)]), axis=0)


def blocks(rows: int | None, columns: int | None, size: int) -> int:
    """Returns the number of blocks: the largest divisor of the rows up to `MAX_BLOCKS`.

    A small matrix, or one of unknown size, is one block.

    Example:

    >>> blocks(1960, 64, 4), blocks(490, 64, 4), blocks(160, 64, 4), blocks(None, 64, 4)
    (8, 7, 1, 1)
    """
    if not rows or not columns or rows * columns * size < MIN_BYTES_TO_CUT:
        return 1
    return largest_divisor(rows, MAX_BLOCKS)


def largest_divisor(number: int, most: int) -> int:
    """Returns the largest divisor of a number up to `most`, and 1 at least.

    Example:

    >>> largest_divisor(1960, 8), largest_divisor(490, 8), largest_divisor(490, 0)
    (8, 7, 1)
    """
    return max((n for n in range(1, most + 1) if number % n == 0), default=1)
