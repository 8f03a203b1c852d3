"""Matrix products of many sets of rows at once. Each set has its own matrix."""

from collections.abc import Callable

import tensorflow as tf

from keras_reptile.kernels.devices import on_gpu
from keras_reptile.kernels.row_sums import largest_divisor

# A product with up to this many terms is summed element by element on a GPU. XLA fuses the sums
# with the next operation. A matrix product would be a kernel launch of its own.
MAX_TERMS_BY_ELEMENTS = 1 << 19

# A GPU computes 64 x 64 elements of a product in one of its processors. This many of these tiles
# keep all processors busy: two for each of the 132 of an H100.
TILE, BUSY = 64, 264
# The rows of a block, and the number of blocks, of `product_of_rows`: fewer are not faster.
MIN_ROWS_OF_BLOCK, MIN_BLOCKS = 200, 4


def batched_dense(x: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Computes `x @ kernel` for each set.

    Args:
        x: Tensor `(sets, ..., inputs)` of known shape.
        kernel: Tensor `(sets, inputs, units)`, or `(inputs, units)`, the same for all sets.

    Returns:
        Tuple of a tensor `(sets, ..., units)`, and a function from `dy` to `(dx, dkernel)`.
        `dkernel` is `(sets, inputs, units)`.
    """
    rows = tf.reshape(x, (x.shape[0], -1, x.shape[-1]))
    small = on_gpu() and rows.shape.num_elements() * kernel.shape[-1] <= MAX_TERMS_BY_ELEMENTS
    y, gradient_of_rows = (_by_elements if small else batched_matmul)(rows, kernel)

    def gradient(dy):
        dx, dkernel = gradient_of_rows(tf.reshape(dy, y.shape))
        return tf.reshape(dx, x.shape), dkernel

    return tf.reshape(y, (*x.shape[:-1], -1)), gradient


def _by_elements(x, w) -> tuple:
    w = w if w.shape.rank == 3 else w[None]
    # The axes of the terms are sets, rows, inputs and units.
    y = tf.reduce_sum(x[..., None] * w[:, None], axis=2)

    def gradient(dy):
        dy = dy[:, :, None]
        return tf.reduce_sum(dy * w[:, None], axis=3), tf.reduce_sum(x[..., None] * dy, axis=1)

    return y, gradient


def batched_matmul(x: tf.Tensor, w: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Computes `batched_dense` of rows `(sets, rows, inputs)` by a matrix product."""

    def gradient(dy):
        return _product(dy, w, transpose_b=True), product_of_rows(x, dy)

    return _product(x, w), gradient


def product_of_rows(x: tf.Tensor, dy: tf.Tensor) -> tf.Tensor:
    """Computes `x^T dy` for each set, the sum of products over its rows.

    On a GPU, one processor sums all rows of a tile of a product. Of many rows and a small product,
    this would be slow, with most processors idle. So the rows are cut into blocks. Their products
    are computed in parallel, and are then added.

    Args:
        x, dy: Tensors `(sets, rows, inputs)` and `(sets, rows, units)` of known shape.

    Returns:
        Tensor `(sets, inputs, units)`.
    """
    sets, rows, inputs = x.shape
    number = blocks(sets, rows, inputs, dy.shape[-1]) if on_gpu() else 1
    if number == 1:
        return tf.matmul(x, dy, transpose_a=True)
    cut = (tf.reshape(t, (sets * number, -1, t.shape[-1])) for t in (x, dy))
    products = tf.matmul(*cut, transpose_a=True)
    return tf.reduce_sum(tf.reshape(products, (sets, number, *products.shape[1:])), axis=1)


def blocks(sets: int, rows: int, inputs: int, units: int) -> int:
    """Returns the number of blocks for `product_of_rows`, a divisor of `rows`.

    It is 1 for few rows, and if the tiles of all products keep a GPU busy.

    Example:

    >>> blocks(5, 70560, 27, 32), blocks(5, 17640, 96, 96), blocks(5, 490, 576, 64)
    (49, 12, 1)
    >>> blocks(200, 70560, 27, 32)
    1
    """
    tiles = sets * -(-inputs // TILE) * -(-units // TILE)
    number = largest_divisor(rows, min(BUSY // tiles, rows // MIN_ROWS_OF_BLOCK))
    return number if number >= MIN_BLOCKS else 1


def _product(x, w, transpose_b=False):
    if w.shape.rank == 3:
        return tf.matmul(x, w, transpose_b=transpose_b)
    rows = tf.reshape(x, (-1, x.shape[-1]))
    return tf.reshape(tf.matmul(rows, w, transpose_b=transpose_b), (*x.shape[:-1], -1))
