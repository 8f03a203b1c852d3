"""Max-pooling with a gradient that is fast on a CPU.

    dx[p] = dy[window of p] if p is the first maximum of its window, otherwise 0

TensorFlow's own gradient searches one window after another. On a CPU it takes longer than the
convolution before it. If windows do not overlap, a few comparisons of whole arrays give the same
gradient, and XLA fuses them into one pass.
"""

import itertools
import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_reptile.kernels.patch_convolution import margin, outputs

# MaxPooling3D is left out: there, TensorFlow gives the gradient to all maxima of a window.
POOLINGS = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D)


def separates(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer is max-pooling whose strides equal the size of its windows."""
    known = type(layer) in POOLINGS and layer.data_format == "channels_last"
    return known and tuple(layer.strides) == tuple(layer.pool_size)


def max_pooling(x: tf.Tensor, sizes: Sequence, padding: str) -> tf.Tensor:
    """Computes `keras.ops.max_pool` in one or two dimensions, for windows that do not overlap.

    Args:
        x: Tensor `(batch, *spatial, channels)`, with known spatial sizes.
        sizes: Sequence of integers, the size of the window along each spatial axis.
        padding: String, `"same"` or `"valid"`.

    Returns:
        Tensor `(batch, *outputs, channels)` of the dtype of `x`.

    Example:

    >>> x = tf.reshape(tf.range(25.0), (1, 5, 5, 1))
    >>> max_pooling(x, (2, 2), "same")[0, :, :, 0].numpy().tolist()
    [[6.0, 8.0, 9.0], [16.0, 18.0, 19.0], [21.0, 23.0, 24.0]]
    """

    @tf.custom_gradient
    def pooled(x):
        y = tf.nn.max_pool(x, sizes, sizes, padding.upper())
        return y, lambda dy: _compiled_gradient(x, y, dy, tuple(sizes), padding)

    return pooled(x)


def max_pooling_gradient(
    x: tf.Tensor, y: tf.Tensor, dy: tf.Tensor, sizes: Sequence, padding: str
) -> tf.Tensor:
    """Gives the `dy` of each window to the first of its maxima, as TensorFlow does.

    Args:
        x: Tensor `(batch, *spatial, channels)`.
        y, dy: Tensors `(batch, *outputs, channels)`: the maxima and their gradient.
        sizes: Sequence of integers, the size of the window along each spatial axis.
        padding: String, `"same"` or `"valid"`.

    Returns:
        Tensor of the shape of `x`.
    """
    first = first_offset(by_offset_in_tiles(x, sizes, padding), y)
    return given_to(first, dy, x.shape, sizes, padding)


def given_to(
    offset: tf.Tensor, dy: tf.Tensor, shape: Sequence, sizes: Sequence, padding: str
) -> tf.Tensor:
    """Gives the `dy` of each window to its element at an offset, and 0 to all other elements.

    Args:
        offset: Integer tensor `(batch, *outputs, channels)`, from `first_offset`.
        dy: Tensor `(batch, *outputs, channels)`.
        shape: Sequence of integers, the shape `(batch, *spatial, channels)` of the elements.
        sizes, padding: See `max_pooling_gradient`.

    Returns:
        Tensor of this shape.
    """
    counts, channels = dy.shape[1:-1], shape[-1]
    before, after = _margins(shape[1:-1], sizes, padding)
    ones = [1] * len(sizes)
    offsets = tf.cast(tf.range(math.prod(sizes)), offset.dtype)
    offsets = tf.reshape(offsets, (1, *_pairs(ones, sizes), 1))
    of_window = (-1, *_pairs(counts, ones), channels)
    is_there = tf.reshape(offset, of_window) == offsets
    dx = tf.where(is_there, tf.reshape(dy, of_window), tf.zeros((), dy.dtype))
    whole = [m * size for m, size in zip(counts, sizes, strict=True)]
    dx = tf.reshape(dx, (-1, *whole, channels))
    return _padded_or_cut(dx, [-b for b in before], [-a for a in after], 0)


_compiled_gradient = tf.function(max_pooling_gradient, autograph=False, jit_compile=True)


def by_offset_in_tiles(x: tf.Tensor, sizes: Sequence, padding: str) -> list[tf.Tensor]:
    """Returns the elements of all windows at each offset in a window, in row-major order.

    Returns:
        List of tensors `(batch, *outputs, channels)`, one for each offset.
    """
    before, after = _margins(x.shape[1:-1], sizes, padding)
    tiled = _padded_or_cut(x, before, after, x.dtype.min)
    counts = [n // size for n, size in zip(tiled.shape[1:-1], sizes, strict=True)]
    windows = tf.reshape(tiled, (-1, *_pairs(counts, sizes), x.shape[-1]))
    within = itertools.product(*map(range, sizes))
    return [windows[(slice(None), *_pairs([slice(None)] * len(at), at))] for at in within]


def _margins(shape, sizes, padding):
    """Returns the numbers of elements to add before and after each axis, to fill all windows.

    With padding "valid", elements at the end may be in no window. Then the number is negative.
    """
    geometry = list(zip(shape, sizes, strict=True))
    before = [margin(n, size, size, 1, padding)[0] for n, size in geometry]
    counts = [outputs(n, size, size, 1, padding) for n, size in geometry]
    after = [m * size - n - b for m, (n, size), b in zip(counts, geometry, before, strict=True)]
    return before, after


def first_offset(at_offsets: Sequence, y: tf.Tensor, dtype: tf.DType = tf.int32) -> tf.Tensor:
    """Returns the first offset in each window at which its maximum `y` is.

    Args:
        at_offsets: Sequence of tensors, from `by_offset_in_tiles`.
        y: Tensor `(batch, *outputs, channels)`.
        dtype: Integer dtype. Defaults to `tf.int32`.
    """
    first = tf.fill(tf.shape(y), tf.constant(len(at_offsets), dtype))
    for offset, elements in reversed(list(enumerate(at_offsets))):
        first = tf.where(elements == y, tf.constant(offset, dtype), first)
    return first


def _pairs(outputs, sizes):
    """Returns two numbers for each spatial axis: one of windows, and one in a window."""
    return itertools.chain.from_iterable(zip(outputs, sizes, strict=True))


def _padded_or_cut(x, before, after, value):
    """Adds elements of this value at the ends of spatial axes, or removes -n if n is negative."""
    ends = zip(x.shape[1:-1], before, after, strict=True)
    x = x[(slice(None), *(slice(max(-b, 0), n - max(-a, 0)) for n, b, a in ends))]
    widths = [(max(b, 0), max(a, 0)) for b, a in zip(before, after, strict=True)]
    return (
        tf.pad(x, [(0, 0), *widths, (0, 0)], constant_values=value) if any(map(any, widths)) else x
    )
