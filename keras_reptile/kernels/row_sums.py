"""Sums over the rows of a matrix, in one pass over it.

On a CPU, XLA computes a sum over the first axis fast only apart from what is summed, which goes to
memory and back before. Blocks of rows, added to each other element by element, it sums together
with whatever is done with them, and what is left is a fraction of the rows.
"""

from collections.abc import Callable

import tensorflow as tf

MAX_BLOCKS = 8
# A smaller matrix lies in the nearest cache, and is summed in one piece.
MIN_BYTES_TO_CUT = 1 << 16


def sum_of_rows(function: Callable, *matrices: tf.Tensor) -> tf.Tensor:
    """The sum over the rows of `function(*matrices)`, which maps rows to rows.

    Args:
        function: Maps matrices `(rows, columns)` to one, each row for itself.
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
    """Into how many blocks rows are cut: the most that divide them, 1 for few or unknown ones.

    Example:

    >>> blocks(1960, 64, 4), blocks(490, 64, 4), blocks(160, 64, 4), blocks(None, 64, 4)
    (8, 7, 1, 1)
    """
    if not rows or not columns or rows * columns * size < MIN_BYTES_TO_CUT:
        return 1
    return max(n for n in range(1, MAX_BLOCKS + 1) if rows % n == 0)
