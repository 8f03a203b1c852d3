"""Windows of kernels and of pooling, and their positions along the spatial axes of images."""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

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


def offsets_in_window(axes: Sequence[Axis]) -> Iterator[tuple[int, ...]]:
    """Yields the offset of each element of a window, in row-major order."""
    return itertools.product(*(range(axis.size) for axis in axes))


def elements_at(offsets: Sequence[int], axes: Sequence[Axis]) -> tuple[slice, ...]:
    """Returns the slices of the padded axes with the elements at an offset of all windows."""
    firsts = [k * axis.dilation for k, axis in zip(offsets, axes, strict=True)]
    return tuple(
        slice(first, first + axis.reach, axis.stride)
        for first, axis in zip(firsts, axes, strict=True)
    )


def put_back(part: tf.Tensor, offsets: Sequence[int], axes: Sequence[Axis]) -> tf.Tensor:
    """Computes the adjoint of `elements_at`: the elements at their places, and zeros elsewhere.

    Args:
        part: Tensor `(sets, images, *places, channels)`.
        offsets: Sequence of integers, the offset in a window.
        axes: Sequence of `Axis`.

    Returns:
        Tensor `(sets, images, *spatial, channels)`, without the margins.
    """
    before = [k * a.dilation - a.margin[0] for k, a in zip(offsets, axes, strict=True)]
    after = [a.n - b - a.reach for a, b in zip(axes, before, strict=True)]
    between = [axis.stride - 1 for axis in axes]
    return pad_between(part, *([0, 0, *along, 0] for along in (before, after, between)))
