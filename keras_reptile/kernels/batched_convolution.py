"""Convolutions of many sets of images at once. Each set has its own kernel."""

import math
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_reptile.kernels.batched_dense import batched_matmul
from keras_reptile.kernels.devices import device_kinds, on_gpu
from keras_reptile.kernels.grouped_convolution import grouped_convolution
from keras_reptile.kernels.row_convolution import row_convolution
from keras_reptile.kernels.window_axes import Axis, by_offset, sum_back

# Fewer channels are stacked one by one. A GPU copies a few long runs faster than many short ones.
MIN_CHANNELS_TO_JOIN = 8

# Patches with fewer elements are written whole, with fewer launches than in row_convolution.py.
MIN_ELEMENTS_BY_ROWS = 1 << 22


def batched_convolution(
    x: tf.Tensor, kernel: tf.Tensor, strides: Sequence, padding: str, dilation: Sequence
) -> tuple[tf.Tensor, Callable]:
    """Computes `keras.ops.conv`, channels last, as matrix products of patches and kernels.

    On a TPU it is one grouped convolution. On a GPU large patches are those of `row_convolution`.

    Args:
        x: Tensor `(sets, images, *spatial, channels)` of known shape.
        kernel: Tensor `(sets, *sizes, channels, filters)`. Without the first axis, it is the same
            for all sets.
        strides, dilation: Sequences of integers, one for each spatial axis.
        padding: String, `"same"` or `"valid"`.

    Returns:
        Tuple of a tensor `(sets, images, *outputs, filters)`, and a function from `dy` to
        `(dx, dkernel)`. `dkernel` is `(sets, *sizes, channels, filters)`. XLA must compile the
        function.
    """
    rank = x.shape.rank - 3
    *sizes, channels, filters = kernel.shape[-rank - 2 :]
    each = zip(x.shape[2:-1], sizes, strides, dilation, strict=True)
    axes = [Axis(*of_axis, padding) for of_axis in each]
    if "TPU" in device_kinds():
        return grouped_convolution(x, kernel, axes)
    if on_gpu() and _by_rows(x, kernel, axes):
        return row_convolution(x, kernel, axes)
    places, width = [axis.places for axis in axes], math.prod(sizes) * channels
    matrices = tf.reshape(kernel, (*kernel.shape[: -rank - 2], width, filters))
    y, of_product = batched_matmul(_columns(x, axes), matrices)

    def gradient(dy):
        dcolumns, dmatrices = of_product(tf.reshape(dy, y.shape))
        dx = _folded(tf.reshape(dcolumns, (*x.shape[:2], *places, width)), axes, channels)
        return dx, tf.reshape(dmatrices, (-1, *sizes, channels, filters))

    return tf.reshape(y, (*x.shape[:2], *places, filters)), gradient


def _by_rows(x, kernel, axes) -> bool:
    """Returns whether patches within rows, and their products, are much smaller than patches."""
    if len(axes) == 1 or axes[0].stride > 1 or x.shape[-1] < MIN_CHANNELS_TO_JOIN:
        return False
    outputs = math.prod((*x.shape[:2], *(axis.places for axis in axes)))
    size, within = axes[0].size, math.prod(axis.size for axis in axes[1:])
    channels, filters = kernel.shape[-2:]
    whole, by_rows = size * within * channels, within * channels + size * filters
    return by_rows < whole and outputs * whole >= MIN_ELEMENTS_BY_ROWS


def _columns(x, axes) -> tf.Tensor:
    """Returns the patch of `x` for each output, in the order of the kernel's weights.

    Returns:
        Tensor `(sets, images * outputs, product of sizes * channels)`.
    """
    parts = by_offset(x, axes)
    sets, channels = x.shape[0], x.shape[-1]
    if channels < MIN_CHANNELS_TO_JOIN:
        stacked = tf.stack([part[..., c] for part in parts for c in range(channels)])
        # A matrix product reads a transposed matrix without a copy.
        return tf.transpose(tf.reshape(stacked, (stacked.shape[0], sets, -1)), (1, 2, 0))
    joined = tf.concat(parts, axis=-1)
    return tf.reshape(joined, (sets, -1, joined.shape[-1]))


def _folded(columns, axes, channels) -> tf.Tensor:
    """Computes the adjoint of `_columns`: the sum of all columns' elements at each place of `x`."""
    return sum_back(tf.split(columns, columns.shape[-1] // channels, axis=-1), axes)
