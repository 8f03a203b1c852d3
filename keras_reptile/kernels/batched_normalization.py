"""Batch normalization of many sets of images at once. Each set has its own statistics."""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_reptile.kernels.batched_sums import sums_of_blocks, sums_of_rows


def batched_normalization(x: tf.Tensor, gamma, beta, epsilon: float) -> tuple[tf.Tensor, Callable]:
    """Normalizes each channel of each set by its mean and variance over all other axes.

        y = gamma z + beta,   z = r (x - mean(x)),   r = 1 / sqrt(var(x) + epsilon)
        dbeta = sum(dy),   dgamma = sum(z dy)
        dx = gamma r (dy - dbeta / n - z dgamma / n)

    Args:
        x: Tensor `(sets, ..., channels)` of known shape.
        gamma, beta: Tensors `(sets, channels)`, or `(channels,)`, the same for all sets; or `None`
            for ones and zeros.
        epsilon: Float.

    Returns:
        Tuple of a tensor of the shape of `x`, and a function from `dy` to `(dx, dgamma, dbeta)`.
        `dgamma` and `dbeta` are `(sets, channels)`.
    """
    rows = tf.reshape(x, (x.shape[0], -1, x.shape[-1]))
    n, mean, r = statistics(rows, epsilon)
    z = (rows - mean) * r
    scale = 1 if gamma is None else _of_rows(gamma)
    y = scale * z if beta is None else scale * z + _of_rows(beta)

    def gradient(dy):
        dy = tf.reshape(dy, rows.shape)
        dbeta, dgamma = sums_of_rows(dy, z * dy)
        dx = scale * r * (dy - dbeta[:, None] / n - z * (dgamma[:, None] / n))
        return tf.reshape(dx, x.shape), dgamma, dbeta

    return tf.reshape(y, x.shape), gradient


def statistics(x: tf.Tensor, epsilon: float) -> tuple:
    """Returns the number of rows n, their mean, and r = 1 / sqrt(var(x) + epsilon).

    One pass over the rows sums d = x - c and d^2, where c is the first row. If c is far from all
    other rows, the variance has an error of about n units in the last place.

    Args:
        x: Tensor `(sets, rows, channels)` of known shape.
        epsilon: Float.

    Returns:
        Tuple of an integer and two tensors `(sets, 1, channels)`.
    """
    n, first = x.shape[1], x[:, :1]
    d = x - first
    return n, *_moments(n, first, sums_of_rows(d, tf.square(d)), epsilon)


def statistics_of_parts(parts: Sequence[tf.Tensor], epsilon: float) -> tuple:
    """Returns the `statistics` of the rows of all parts, of which one pass reads each row once.

    Args:
        parts: Sequence of tensors of one shape, from `batched_sums.in_blocks`.
        epsilon: Float.
    """
    n, first = len(parts) * parts[0].shape[1:3].num_elements(), parts[0][:, :1, :1]
    d = [part - first for part in parts]
    of_parts = (functools.reduce(tf.add, each) for each in (d, map(tf.square, d)))
    sums = sums_of_blocks(*of_parts)
    return n, *_moments(n, first[:, 0], sums, epsilon)


def _moments(n, first, sums, epsilon) -> tuple:
    """Returns the mean and r from the sums of d and d^2 over n rows."""
    mean_d, mean_of_squares = (t[:, None] / n for t in sums)
    variance = tf.maximum(mean_of_squares - tf.square(mean_d), 0)
    return first + mean_d, tf.math.rsqrt(variance + epsilon)


def _of_rows(t):
    """Returns a vector, or one for each set, with an axis that broadcasts over rows."""
    return t[..., None, :]
