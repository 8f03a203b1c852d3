"""Windows of kernels and of pooling, and their positions along the spatial axes of images."""

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_reptile.keras_internals import pad_between
from keras_reptile.kernels.patch_convolution import margin, outputs


class Axis(NamedTuple):
    """A spatial axis of n elements, and a window's size and steps along it."""

    n: int
    size: int
    stride: int
    dilation: int
    padding: str

    @property
    def places(self) -> int:
        """The number of the window's positions, which is that of the outputs."""
        return outputs(*self)

    @property
    def margin(self) -> tuple[int, int]:
        """Elements to add before and after the axis."""
        return margin(*self)

    @property
    def reach(self) -> int:
        """The number of elements from the window's first position to its last one."""
        return (self.places - 1) * self.stride + 1


def by_offset(x: tf.Tensor, axes: Sequence[Axis], fill: Any = 0) -> list[tf.Tensor]:
    """Returns the elements of all windows at each offset, in row-major order.

    Args:
        x: Tensor `(sets, images, *spatial, channels)` of known shape.
        axes: Sequence of `Axis`, the spatial axes.
        fill: Number, the value of the elements in the margins. Defaults to `0`.

    Returns:
        List of tensors `(sets, images, *places, channels)`, one for each offset.
    """
    margins = [(0, 0), (0, 0), *(axis.margin for axis in axes), (0, 0)]
    padded = tf.pad(x, margins, constant_values=fill) if any(map(sum, margins)) else x
    each = itertools.product(*(range(axis.size) for axis in axes))
    return [padded[(slice(None), slice(None), *_elements_at(at, axes))] for at in each]


def sum_back(parts: Sequence[tf.Tensor], axes: Sequence[Axis]) -> tf.Tensor:
    """Adds up, for each element of `x`, all parts that contain it: the adjoint of `by_offset`.

    Each part is padded before, after and between its elements to the size of `x`.

    Args:
        parts: Sequence of tensors, as from `by_offset`.
        axes: Sequence of `Axis`.

    Returns:
        Tensor `(sets, images, *spatial, channels)`, the shape of `x`.
    """
    each = itertools.product(*(range(axis.size) for axis in axes))
    spread = [_put_back(part, at, axes) for part, at in zip(parts, each, strict=True)]
    return functools.reduce(tf.add, spread)


def _elements_at(offsets, axes) -> tuple[slice, ...]:
    firsts = [k * axis.dilation for k, axis in zip(offsets, axes, strict=True)]
    return tuple(
        slice(first, first + axis.reach, axis.stride)
        for first, axis in zip(firsts, axes, strict=True)
    )


def _put_back(part, offsets, axes) -> tf.Tensor:
    before = [k * a.dilation - a.margin[0] for k, a in zip(offsets, axes, strict=True)]
    after = [a.n - b - a.reach for a, b in zip(axes, before, strict=True)]
    between = [axis.stride - 1 for axis in axes]
    return pad_between(part, *([0, 0, *along, 0] for along in (before, after, between)))
