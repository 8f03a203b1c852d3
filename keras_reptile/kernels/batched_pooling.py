"""Max-pooling of many sets of images at once, and the batch normalization before it.

The forward pass keeps the offset of the largest element in each window, as a byte. Otherwise the
backward pass would have to read all elements of all windows again.
"""

import functools
import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_reptile.keras_internals import optimization_barriers
from keras_reptile.kernels.batch_normalization import scale_and_offset
from keras_reptile.kernels.batched_normalization import statistics, statistics_of_parts
from keras_reptile.kernels.batched_sums import blocks, in_blocks, sums_of_rows
from keras_reptile.kernels.devices import device_kinds, on_gpu
from keras_reptile.kernels.max_pooling import by_offset_in_tiles, first_offset, given_to
from keras_reptile.kernels.window_axes import Axis, by_offset, sum_back


def batched_max_pooling(x: tf.Tensor, sizes: Sequence, padding: str) -> tuple[tf.Tensor, Callable]:
    """Computes `max_pooling` for each set. Windows do not overlap.

    Args:
        x: Tensor `(sets, images, *spatial, channels)` of known shape.
        sizes, padding: See `max_pooling.max_pooling`.

    Returns:
        Tuple of a tensor `(sets, images, *outputs, channels)`, and a function from `dy` to `(dx,)`.
    """
    y, to_largest = _largest(*_windows(x, sizes, padding))
    return y, lambda dy: (to_largest(dy),)


def _largest(at_offsets, to_offset) -> tuple:
    """Returns the largest element of each window, and the function from `dy` to `dx`.

    If several elements of a window are the largest, the first one gets the gradient.
    """
    y = functools.reduce(tf.maximum, at_offsets)
    dtype = tf.uint8 if len(at_offsets) < 256 else tf.int32
    y, first = optimization_barriers(y, first_offset(at_offsets, y, dtype))
    return y, lambda dy: to_offset(first, dy)


def _windows(x, sizes, padding) -> tuple:
    """Returns the elements of all windows at each offset, and the function of their gradients."""
    if "TPU" in device_kinds():
        return _strided_windows(x, sizes, padding)
    images, of_sets = tf.reshape(x, (-1, *x.shape[2:])), x.shape[:2]
    at_offsets = by_offset_in_tiles(images, sizes, padding)
    of_images = at_offsets[0].shape

    def to_offset(first, dy):
        first, dy = (tf.reshape(t, of_images) for t in (first, dy))
        return tf.reshape(given_to(first, dy, images.shape, sizes, padding), x.shape)

    return [tf.reshape(elements, (*of_sets, *of_images[1:])) for elements in at_offsets], to_offset


def _strided_windows(x, sizes, padding) -> tuple:
    """Computes `_windows` without an axis for the window, which a TPU would pad."""
    axes = [Axis(n, size, size, 1, padding) for n, size in zip(x.shape[2:-1], sizes, strict=True)]
    at_offsets = by_offset(x, axes, fill=x.dtype.min)

    def to_offset(first, dy):
        zero = tf.zeros((), dy.dtype)
        own = [tf.where(first == offset, dy, zero) for offset in range(len(at_offsets))]
        return sum_back(own, axes)

    return at_offsets, to_offset


def batched_normalized_pooling(
    x: tf.Tensor, gamma, beta, epsilon: float, sizes: Sequence, padding: str
) -> tuple[tf.Tensor, Callable]:
    """Computes `batched_max_pooling` of `batched_normalization`, see normalized_pooling.py.

        y = gamma z* + beta,   z* = r (x* - mean(x)),   dbeta = sum(dy),   dgamma = sum(z* dy)

    x* is the largest element of a window, or the smallest one where gamma is negative.

    Args:
        x: Tensor `(sets, images, *spatial, channels)` of known shape.
        gamma, beta, epsilon: See `batched_normalization`.
        sizes, padding: See `batched_max_pooling`.

    Returns:
        Tuple of a tensor `(sets, images, *outputs, channels)`, and a function from `dy` to
        `(dx, dgamma, dbeta)`. `dgamma` and `dbeta` are `(sets, channels)`.
    """
    scale, offset = scale_and_offset(gamma, beta, x.shape[-1], x.dtype)
    scale, offset = _of_images(scale, x), _of_images(offset, x)
    signed = lambda t: tf.where(scale < 0, -t, t)  # noqa: E731
    largest, to_largest, n, *moments = _largest_and_statistics(x, signed, epsilon, sizes, padding)
    mean, r = (_of_images(t, x) for t in moments)
    z = (signed(largest) - mean) * r

    def gradient(dy):
        dbeta, dgamma = sums_of_rows(_rows(dy), _rows(z * dy))
        by_beta, by_gamma = (_of_images(t / n, x) for t in (dbeta, dgamma))
        dx = scale * r * (to_largest(dy) - by_beta - (x - mean) * r * by_gamma)
        return dx, dgamma, dbeta

    return scale * z + offset, gradient


def _largest_and_statistics(x, signed, epsilon, sizes, padding) -> tuple:
    """Returns `_largest` of signed(x), and the `statistics` of x.

    On a GPU one pass over x computes both, if windows have all elements and there are many. XLA
    fuses a sum with an operation of the same shape only.
    """
    whole = not any(n % size for n, size in zip(x.shape[2:-1], sizes, strict=True))
    windows = x.shape[1:-1].num_elements() // math.prod(sizes)
    if not on_gpu() or not whole or blocks(windows) == 1:
        largest = _largest(*_windows(signed(x), sizes, padding))
        return *largest, *statistics(_rows(x), epsilon)
    at_offsets, to_offset = _windows(x, sizes, padding)
    parts = [in_blocks(_rows(elements)) for elements in at_offsets]
    # XLA would copy all parts if the sums were those of signed parts.
    y, to_largest = _largest(
        [in_blocks(_rows(signed(elements))) for elements in at_offsets], to_offset
    )
    return tf.reshape(y, at_offsets[0].shape), to_largest, *statistics_of_parts(parts, epsilon)


def _rows(x):
    return tf.reshape(x, (x.shape[0], -1, x.shape[-1]))


def _of_images(t, x):
    """Returns a vector, or one for each set, with axes that broadcast over images."""
    return tf.reshape(t, (-1, *[1] * (x.shape.rank - 2), x.shape[-1]))
