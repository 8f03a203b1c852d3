"""Biases of many sets of images at once. Each set has its own bias."""

from collections.abc import Callable

import tensorflow as tf

from keras_reptile.kernels.batched_sums import sums_of_rows


def batched_bias(x: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Adds a bias to each channel of each set.

    Args:
        x: Tensor `(sets, ..., channels)` of known shape.
        bias: Tensor `(sets, channels)`, or `(channels,)`, the same for all sets.

    Returns:
        Tuple of a tensor of the shape of `x`, and a function from `dy` to `(dx, dbias)`. `dbias` is
        `(sets, channels)`.
    """
    rows = tf.reshape(x, (x.shape[0], -1, x.shape[-1]))

    def gradient(dy):
        (dbias,) = sums_of_rows(tf.reshape(dy, rows.shape))
        return dy, dbias

    return tf.reshape(rows + bias[..., None, :], x.shape), gradient
