"""Max-pooling that keeps the shape of its inputs, in a form whose second derivative is right.

    y = maximum over the offsets k in a window of x shifted by k

In a graph, TensorFlow's second derivative of such a layer is wrong: it overwrites an array of the
same shape that it still reads. All derivatives of the maximum of two arrays are right.
"""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_reptile.kernels.patch_convolution import margin
from keras_reptile.kernels.switching import Form

POOLINGS = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D, keras.layers.MaxPooling3D)


def _pooling_of(layer, plain, origins) -> Callable:
    def call(x):
        if not _keeps_shape(layer, x):
            return plain(x)
        first = 1 if layer.data_format == "channels_last" else 2
        return shape_keeping_pooling(x, layer.pool_size, first)

    return call


SHAPE_KEEPING_POOLINGS = Form(lambda layer: isinstance(layer, POOLINGS), _pooling_of)


def _keeps_shape(layer, x) -> bool:
    """Returns whether outputs have the shape of `x`, and windows more than one element."""
    if max(layer.pool_size) == 1 or layer.padding != "same":
        return False
    spatial = x.shape[1:-1] if layer.data_format == "channels_last" else x.shape[2:]
    # Along an axis of size 1 the stride has no effect.
    return all(s == 1 or n == 1 for n, s in zip(spatial, layer.strides, strict=True))


def shape_keeping_pooling(x: tf.Tensor, sizes: Sequence, first: int = 1) -> tf.Tensor:
    """Computes max-pooling with strides of 1 and padding "same".

    Args:
        x: Tensor of any sizes. Its spatial axes begin at `first`.
        sizes: Sequence of integers, the size of the window along each spatial axis.
        first: Integer, the first spatial axis. Defaults to `1`, for channels last.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:

    >>> x = tf.constant([3.0, 1.0, 2.0, 0.0])[None, :, None]
    >>> shape_keeping_pooling(x, (3,))[0, :, 0].numpy().tolist()
    [3.0, 3.0, 2.0, 2.0]
    """
    # The last axis comes first: as in TensorFlow, the first of equal elements in row-major order
    # gets the gradient.
    for axis, size in reversed(list(enumerate(sizes, start=first))):
        x = _along(x, axis, size)
    return x


def _along(x, axis, size):
    length = tf.shape(x)[axis]
    widths = [(0, 0)] * x.shape.rank
    widths[axis] = margin(1, size, 1, 1, "same")
    padded = tf.pad(x, widths, constant_values=x.dtype.min)
    largest = None
    for k in range(size):
        shifted = padded[(slice(None),) * axis + (slice(k, k + length),)]
        largest = shifted if largest is None else tf.maximum(largest, shifted)
    return tf.ensure_shape(largest, x.shape)
