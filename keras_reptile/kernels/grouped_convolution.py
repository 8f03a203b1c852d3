"""Convolutions of many sets of images, each set by a kernel of its own, as one in groups.

The channels of all sets s lie side by side, and each group of them has filters of its own:

    y[n, p, (s, f)] = sum over (o, c) of x[n, p * stride + o * dilation, (s, c)] * w[o, c, (s, f)]

Both gradients are convolutions in groups, too. A TPU computes them much faster than patches.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_reptile.keras_internals import convolution_by_xla


def grouped_convolution(
    x: tf.Tensor, kernel: tf.Tensor, axes: Sequence
) -> tuple[tf.Tensor, Callable]:
    """Computes what `batched_convolution` computes, with the same arguments and results.

    Args:
        x, kernel: See `batched_convolution`.
        axes: Sequence of `Axis`, the spatial axes.
    """
    sets, images = x.shape[:2]
    own = kernel.shape.rank == len(axes) + 3

    def by(kernel, x, **options):
        """The convolution of all images by the kernel of their set."""
        if own:
            return _apart(_convolved(_joined(x), _joined(kernel), sets, **options), sets)
        y = _convolved(tf.reshape(x, (-1, *x.shape[2:])), kernel, 1, **options)
        return tf.reshape(y, (sets, images, *y.shape[1:]))

    def gradient(dy):
        turned = tf.reverse(kernel, range(own, own + len(axes)))
        turned = tf.linalg.matrix_transpose(turned)
        return by(turned, dy, **_of_images(axes)), _kernel_gradient(x, dy, axes)

    along = {
        "padding": [axis.margin for axis in axes],
        "strides": [axis.stride for axis in axes],
        "dilation": [axis.dilation for axis in axes],
    }
    return by(kernel, x, **along), gradient


def _of_images(axes) -> dict:
    """How the gradient goes along the axes to be that of images."""
    before = [_reach(a) - a.margin[0] for a in axes]
    after = [a.n - _spread(a) - b + _reach(a) for a, b in zip(axes, before, strict=True)]
    return {
        "padding": list(zip(before, after, strict=True)),
        "between": [a.stride for a in axes],
        "dilation": [a.dilation for a in axes],
    }


def _kernel_gradient(x, dy, axes) -> tf.Tensor:
    """The sum over images and places, `(sets, *sizes, channels, filters)`."""
    before = [a.margin[0] for a in axes]
    after = [_reach(a) + _spread(a) - a.n - b for a, b in zip(axes, before, strict=True)]
    dw = convolution_by_xla(
        _joined(x),
        _joined(dy),
        strides=[a.dilation for a in axes],
        padding=list(zip(before, after, strict=True)),
        dilation=[a.stride for a in axes],
        groups=x.shape[0],
        sum_over_batch=True,
    )
    return _apart(dw, x.shape[0])


def _convolved(x, kernel, groups, padding, dilation, strides=None, between=None) -> tf.Tensor:
    return convolution_by_xla(
        x,
        kernel,
        strides=strides or [1] * len(padding),
        padding=padding,
        dilation=dilation,
        between=between,
        groups=groups,
    )


def _reach(axis) -> int:
    """From the first to the last element that a kernel is multiplied with."""
    return (axis.size - 1) * axis.dilation


def _spread(axis) -> int:
    """Elements from the first place of the kernel to the last, both counted."""
    return (axis.places - 1) * axis.stride + 1


def _joined(x) -> tf.Tensor:
    """`(sets, ..., channels)` as `(..., sets * channels)`."""
    last = x.shape.rank - 1
    moved = tf.transpose(x, (*range(1, last), 0, last))
    return tf.reshape(moved, (*moved.shape[:-2], x.shape[0] * x.shape[-1]))


def _apart(x, sets) -> tf.Tensor:
    """`(..., sets * channels)` as `(sets, ..., channels)`."""
    cut = tf.reshape(x, (*x.shape[:-1], sets, x.shape[-1] // sets))
    last = cut.shape.rank - 1
    return tf.transpose(cut, (last - 1, *range(last - 1), last))
