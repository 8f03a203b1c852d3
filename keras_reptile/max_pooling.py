"""Max-pooling with a gradient that is fast on a CPU.

    dx[p] = dy[window of p] where p is the first of the largest in its window, otherwise 0

TensorFlow's own gradient searches one window after another, and on a CPU takes longer than the
convolution before it. Where windows do not overlap, the same is a few comparisons of whole arrays,
which XLA joins into one pass.
"""

import contextlib
import itertools
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_reptile.batch_normalization import switched
from keras_reptile.patch_convolution import margin

# In three dimensions TensorFlow gives the gradient to all of the largest.
POOLINGS = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D)


def fast_poolings(network: keras.Model) -> contextlib.AbstractContextManager:
    """While this is open, the network's max-pooling has the gradient of this file."""
    layers = [layer for layer in network._flatten_layers(include_self=False) if separates(layer)]
    return switched(layers, "call", _pooling_of)


def separates(layer: keras.layers.Layer) -> bool:
    """Whether this is a max-pooling layer whose windows touch and do not overlap."""
    known = type(layer) in POOLINGS and layer.data_format == "channels_last"
    return known and tuple(layer.strides) == tuple(layer.pool_size)


def _pooling_of(layer) -> Callable:
    plain = layer.call

    def call(x):
        if None in x.shape[1:]:
            return plain(x)
        return max_pooling(x, layer.pool_size, layer.padding)

    return call


def max_pooling(x: tf.Tensor, sizes: Sequence, padding: str) -> tf.Tensor:
    """What `keras.ops.max_pool` computes in one or two dimensions, where windows do not overlap.

    Args:
        x: Tensor `(batch, *spatial, channels)`, with known spatial sizes.
        sizes: Sequence of integers, the window, one for each spatial dimension.
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
    """Gives the `dy` of each window to the first of its largest elements, as TensorFlow does.

    Args:
        x: Tensor `(batch, *spatial, channels)`.
        y, dy: Tensors `(batch, *outputs, channels)`: largest elements, and their gradient.
        sizes: Sequence of integers, the window, one for each spatial dimension.
        padding: String, `"same"` or `"valid"`.

    Returns:
        Tensor of the shape of `x`.
    """
    outputs, channels = y.shape[1:-1], x.shape[-1]
    geometry = list(zip(x.shape[1:-1], outputs, sizes, strict=True))
    before = [margin(n, size, size, 1, padding)[0] for n, _, size in geometry]
    # Of "valid" the last elements may be in no window, and are cut off.
    after = [m * size - n - b for (n, m, size), b in zip(geometry, before, strict=True)]
    tiled = _grown(x, before, after, x.dtype.min)
    first = _first_place(tf.reshape(tiled, (-1, *_pairs(outputs, sizes), channels)), y, sizes)
    ones = [1] * len(sizes)
    places = tf.reshape(tf.range(tf.reduce_prod(sizes)), (1, *_pairs(ones, sizes), 1))
    of_window = (-1, *_pairs(outputs, ones), channels)
    here = tf.reshape(first, of_window) == places
    dx = tf.where(here, tf.reshape(dy, of_window), tf.zeros((), dy.dtype))
    return _grown(tf.reshape(dx, tf.shape(tiled)), [-b for b in before], [-a for a in after], 0)


_compiled_gradient = tf.function(max_pooling_gradient, autograph=False, jit_compile=True)


def _first_place(windows, y, sizes):
    """The place in its window, counted row by row, where each of `y` is first found."""
    places = list(itertools.product(*map(range, sizes)))
    first = tf.fill(tf.shape(y), len(places))
    for number, place in reversed(list(enumerate(places))):
        within = itertools.chain.from_iterable((slice(None), at) for at in place)
        first = tf.where(windows[(slice(None), *within)] == y, number, first)
    return first


def _pairs(outputs, sizes):
    """Spatial axes as pairs: windows, and elements in a window."""
    return itertools.chain.from_iterable(zip(outputs, sizes, strict=True))


def _grown(x, before, after, value):
    """Spatial axes with so many elements of this value more, or where negative so many less."""
    ends = zip(x.shape[1:-1], before, after, strict=True)
    x = x[(slice(None), *(slice(max(-b, 0), n - max(-a, 0)) for n, b, a in ends))]
    widths = [(max(b, 0), max(a, 0)) for b, a in zip(before, after, strict=True)]
    return (
        tf.pad(x, [(0, 0), *widths, (0, 0)], constant_values=value) if any(map(any, widths)) else x
    )
