"""Convolutions of many sets of images as one grouped convolution. Each set has its own kernel.

The channels of all sets s are joined, and each set is a group with its own filters:

    y[n, p, (s, f)] = sum over (o, c) of x[n, p * stride + o * dilation, (s, c)] * w[o, c, (s, f)]

Both gradients are grouped convolutions, too. A TPU computes them much faster than patches.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_reptile.keras_internals import convolution_by_xla


def grouped_convolution(
    x: tf.Tensor, kernel: tf.Tensor, axes: Sequence
) -> tuple[tf.Tensor, Callable]:
    """Computes `batched_convolution` in this form.

    Args:
        x, kernel: See `batched_convolution`.
        axes: Sequence of `Axis`, the spatial axes.
    """
    sets, images = x.shape[:2]
    own = kernel.shape.rank == len(axes) + 3

    def by(kernel, x, **options):
        """Returns the convolution of all images with the kernel of their set."""
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
    """Returns the options of the convolution of `dy` that is the gradient of the images."""
    before = [_reach(a) - a.margin[0] for a in axes]
    after = [a.n - _spread(a) - b + _reach(a) for a, b in zip(axes, before, strict=True)]
    return {
        "padding": list(zip(before, after, strict=True)),
        "between": [a.stride for a in axes],
        "dilation": [a.dilation for a in axes],
    }


def _kernel_gradient(x, dy, axes) -> tf.Tensor:
    """Returns the gradient of the kernel, `(sets, *sizes, channels, filters)`."""
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
    """Returns the distance between the first and the last element that a kernel covers."""
    return (axis.size - 1) * axis.dilation


def _spread(axis) -> int:
    """Returns the number of elements from the kernel's first position to its last one."""
    return (axis.places - 1) * axis.stride + 1


def _joined(x) -> tf.Tensor:
    """Returns `(sets, ..., channels)` as `(..., sets * channels)`."""
    last = x.shape.rank - 1
    moved = tf.transpose(x, (*range(1, last), 0, last))
    return tf.reshape(moved, (*moved.shape[:-2], x.shape[0] * x.shape[-1]))


def _apart(x, sets) -> tf.Tensor:
    """Returns `(..., sets * channels)` as `(sets, ..., channels)`."""
    cut = tf.reshape(x, (*x.shape[:-1], sets, x.shape[-1] // sets))
    last = cut.shape.rank - 1
    return tf.transpose(cut, (last - 1, *range(last - 1), last))
