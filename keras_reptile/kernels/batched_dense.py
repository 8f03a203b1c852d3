"""Matrix products of many sets of rows at once. Each set has its own matrix."""

from collections.abc import Callable

import tensorflow as tf

from keras_reptile.kernels.devices import on_gpu

# A product with up to this many terms is summed element by element on a GPU. XLA fuses the sums
# with the next operation. A matrix product would be a kernel launch of its own.
MAX_TERMS_BY_ELEMENTS = 1 << 19


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
        return _product(dy, w, transpose_b=True), tf.matmul(x, dy, transpose_a=True)

    return _product(x, w), gradient


def _product(x, w, transpose_b=False):
    if w.shape.rank == 3:
        return tf.matmul(x, w, transpose_b=transpose_b)
    rows = tf.reshape(x, (-1, x.shape[-1]))
    return tf.reshape(tf.matmul(rows, w, transpose_b=transpose_b), (*x.shape[:-1], -1))
