"""Batch normalization and the max-pooling after it as one operation.

    max over a window of (gamma z + beta) = gamma z* + beta,   z = r (x - mean(x))

z* is the z of the window's largest x, or of its smallest x where gamma is negative. So only one
element of each window has to be normalized, and the gradients are sums over these elements:

    dbeta = sum(dy),   dgamma = sum(z* dy)
    dx[p] = gamma r (dy[window of p] if p is the first of the largest, else 0
                     - dbeta / n - z[p] dgamma / n)

Two separate operations would read the batch twice as often, which takes most of their time.
"""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_reptile.kernels.batch_normalization import (
    BEFORE_NORMALIZATION,
    scale_and_offset,
    statistics,
)
from keras_reptile.kernels.max_pooling import (
    by_offset_in_tiles,
    max_pooling,
    max_pooling_gradient,
    separates,
)
from keras_reptile.kernels.row_sums import sum_of_rows
from keras_reptile.kernels.switching import Form


def _pooling_of(layer, plain, origins) -> Callable:
    def call(x):
        if None in x.shape[1:]:
            return plain(x)
        normalized = origins.find(BEFORE_NORMALIZATION, x)
        if normalized is None or x.dtype != tf.float32:
            return max_pooling(x, layer.pool_size, layer.padding)
        by, x = normalized
        gamma, beta = scale_and_offset(by.gamma, by.beta, x.shape[-1], x.dtype)
        return normalized_pooling(x, gamma, beta, by.epsilon, layer.pool_size, layer.padding)

    return call


# The separate normalization is not computed if only this pooling reads it: TensorFlow removes
# operations of a graph whose results are not used.
FAST_POOLINGS = Form(separates, _pooling_of)


def normalized_pooling(
    x: tf.Tensor, gamma, beta, epsilon: float, sizes: Sequence, padding: str
) -> tf.Tensor:
    """Computes `max_pooling(normalization(x, gamma, beta, epsilon), sizes, padding)`.

    The result is the same up to rounding. Where gamma is 0, all outputs of a window are equal. The
    gradient of gamma is then that of the largest x, not of the first one.

    Args:
        x: Tensor `(batch, *spatial, channels)`, with known spatial sizes.
        gamma, beta: Tensors `(channels,)`.
        epsilon: Float.
        sizes: Sequence of integers, the window, one for each spatial dimension.
        padding: String, `"same"` or `"valid"`.

    Returns:
        Tensor `(batch, *outputs, channels)` of the dtype of `x`.

    Example:

    >>> x = tf.constant([-3.0, -1.0, 1.0, 3.0])[None, :, None]
    >>> y = normalized_pooling(x, tf.constant([5.0**0.5]), tf.constant([0.0]), 0.0, (2,), "same")
    >>> y[0, :, 0].numpy().round(4).tolist()
    [-1.0, 3.0]
    """

    @tf.custom_gradient
    def function(x, gamma, beta):
        y, *kept = _compiled_forward(x, gamma, beta, epsilon, tuple(sizes), padding)
        return y, lambda dy: _compiled_gradient(x, gamma, *kept, dy, tuple(sizes), padding)

    return function(x, gamma, beta)


def _forward(x, gamma, beta, epsilon, sizes, padding):
    """Returns the result, and the values that the gradient needs: `largest`, mean and r.

    `largest` is the maximum over each window of x, or of -x where gamma is negative.
    """
    _, mean, r = statistics(_rows(x), epsilon)
    largest = functools.reduce(tf.maximum, by_offset_in_tiles(_signed(x, gamma), sizes, padding))
    return gamma * _deviation(largest, gamma, mean, r) + beta, largest, mean, r


def _gradient(x, gamma, largest, mean, r, dy, sizes, padding):
    n = tf.cast(tf.shape(_rows(x))[0], x.dtype)
    z_star, of_dy = _rows(_deviation(largest, gamma, mean, r)), _rows(dy)
    dgamma, dbeta = sum_of_rows(tf.multiply, z_star, of_dy), sum_of_rows(tf.identity, of_dy)
    to_largest = max_pooling_gradient(_signed(x, gamma), largest, dy, sizes, padding)
    dx = gamma * r * (to_largest - dbeta / n - r * (x - mean) * (dgamma / n))
    return dx, dgamma, dbeta


_compiled_forward = tf.function(_forward, autograph=False, jit_compile=True)
_compiled_gradient = tf.function(_gradient, autograph=False, jit_compile=True)


def _signed(x, gamma):
    return tf.where(gamma < 0, -x, x)


def _deviation(largest, gamma, mean, r):
    """Returns z*, from the result of `_forward`."""
    return r * (_signed(largest, gamma) - mean)


def _rows(x):
    return tf.reshape(x, (-1, x.shape[-1]))
