"""Convolutions of many sets of images at once. Each set has its own kernel."""

import functools
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_reptile.keras_internals import pad_between
from keras_reptile.kernels.batched_dense import batched_matmul
from keras_reptile.kernels.devices import device_kinds
from keras_reptile.kernels.grouped_convolution import grouped_convolution
from keras_reptile.kernels.patch_convolution import margin, outputs

# Fewer channels are stacked one by one. A GPU copies a few long runs faster than many short ones.
MIN_CHANNELS_TO_JOIN = 8


class Axis(NamedTuple):
    """A spatial axis of n elements, and a kernel's size and steps along it."""

    n: int
    size: int
    stride: int
    dilation: int
    padding: str

    @property
    def places(self) -> int:
        """The number of the kernel's positions, which is that of the outputs."""
        return outputs(*self)

    @property
    def margin(self) -> tuple[int, int]:
        """Zeros before and after the axis."""
        return margin(*self)


def batched_convolution(
    x: tf.Tensor, kernel: tf.Tensor, strides: Sequence, padding: str, dilation: Sequence
) -> tuple[tf.Tensor, Callable]:
    """Computes `keras.ops.conv`, channels last, as matrix products of patches and kernels.

    On a TPU it is one grouped convolution.

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
    places, width = [axis.places for axis in axes], math.prod(sizes) * channels
    matrices = tf.reshape(kernel, (*kernel.shape[: -rank - 2], width, filters))
    y, of_product = batched_matmul(_columns(x, axes), matrices)

    def gradient(dy):
        dcolumns, dmatrices = of_product(tf.reshape(dy, y.shape))
        dx = _folded(tf.reshape(dcolumns, (*x.shape[:2], *places, width)), axes, channels)
        return dx, tf.reshape(dmatrices, (-1, *sizes, channels, filters))

    return tf.reshape(y, (*x.shape[:2], *places, filters)), gradient


def _columns(x, axes) -> tf.Tensor:
    """Returns the patch of `x` for each output, in the order of the kernel's weights.

    Returns:
        Tensor `(sets, images * outputs, product of sizes * channels)`.
    """
    margins = [(0, 0), (0, 0), *(axis.margin for axis in axes), (0, 0)]
    padded = tf.pad(x, margins) if any(map(sum, margins)) else x
    parts = [padded[(slice(None), slice(None), *at)] for at in _within(axes)]
    sets, channels = x.shape[0], x.shape[-1]
    if channels < MIN_CHANNELS_TO_JOIN:
        stacked = tf.stack([part[..., c] for part in parts for c in range(channels)])
        # A matrix product reads a transposed matrix without a copy.
        return tf.transpose(tf.reshape(stacked, (stacked.shape[0], sets, -1)), (1, 2, 0))
    joined = tf.concat(parts, axis=-1)
    return tf.reshape(joined, (sets, -1, joined.shape[-1]))


def _within(axes) -> Iterator[tuple]:
    """Yields, for each weight of a kernel, the slices of `x` that it is multiplied with."""
    starts = itertools.product(*(range(axis.size) for axis in axes))
    for offsets in starts:
        firsts = [k * axis.dilation for k, axis in zip(offsets, axes, strict=True)]
        yield tuple(
            slice(first, first + (axis.places - 1) * axis.stride + 1, axis.stride)
            for first, axis in zip(firsts, axes, strict=True)
        )


def _folded(columns, axes, channels) -> tf.Tensor:
    """Computes the adjoint of `_columns`: the sum of all columns' elements at each place of `x`.

    Zeros before, after and between the elements of each part move them to their places.
    """
    parts = tf.split(columns, columns.shape[-1] // channels, axis=-1)
    offsets = itertools.product(*(range(axis.size) for axis in axes))
    spread = [_spread(part, at, axes) for part, at in zip(parts, offsets, strict=True)]
    return functools.reduce(tf.add, spread)


def _spread(part, offsets, axes) -> tf.Tensor:
    before = [k * a.dilation - a.margin[0] for k, a in zip(offsets, axes, strict=True)]
    reach = [(axis.places - 1) * axis.stride + 1 for axis in axes]
    after = [a.n - b - r for a, b, r in zip(axes, before, reach, strict=True)]
    between = [axis.stride - 1 for axis in axes]
    return pad_between(part, *([0, 0, *along, 0] for along in (before, after, between)))
