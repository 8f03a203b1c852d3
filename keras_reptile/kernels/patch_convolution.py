"""A convolution as one product of patches and kernel.

    y[p, f] = sum over (o, c) of x[p * strides + o * dilation, c] * kernel[o, c, f]

When each task has its own kernel, TensorFlow's convolutions run one task at a time. A matrix
product and its two gradients run for all tasks as one batched product. On a CPU, XLA's own
convolutions are slow, but its matrix products are fast.
"""

import functools
import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_reptile.keras_internals import optimization_barrier
from keras_reptile.kernels.image_groups import group_size, in_groups
from keras_reptile.kernels.switching import Form

CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


def by_patches(layer: keras.layers.Layer) -> bool:
    """Returns whether a layer is a convolution that `convolution` computes."""
    kind = type(layer) in CONVOLUTIONS
    return kind and layer.groups == 1 and layer.data_format == "channels_last"


def _convolution_of(layer, plain, origins, by_xla: bool) -> Callable:
    return lambda x, kernel: convolution(
        x, kernel, layer.strides, layer.padding, layer.dilation_rate, by_xla=by_xla
    )


PATCHES = Form(by_patches, functools.partial(_convolution_of, by_xla=False), "convolution_op")
# Where XLA compiles for a CPU: see `kernel_gradient`.
PATCHES_BY_XLA = Form(by_patches, functools.partial(_convolution_of, by_xla=True), "convolution_op")


def _has_own_call(layer) -> bool:
    """Returns whether the layer's call computes a convolution without `convolution_op`."""
    return type(layer) is keras.layers.Conv1D and by_patches(layer) and "call" not in vars(layer)


def _call_of(layer, plain, origins) -> Callable:
    def call(inputs):
        if None in inputs.shape[1:]:
            return plain(inputs)
        y = layer.convolution_op(inputs, layer.kernel)
        if layer.use_bias:
            y += tf.cast(tf.convert_to_tensor(layer.bias), y.dtype)
        return y if layer.activation is None else layer.activation(y)

    return call


# `Conv1D` pads causal inputs in its call. With this form it calls `convolution_op`.
IN_ONE_DIMENSION = Form(_has_own_call, _call_of)


def convolution(
    x: tf.Tensor,
    kernel: tf.Tensor,
    strides: Sequence,
    padding: str,
    dilation: Sequence,
    *,
    by_xla: bool = False,
) -> tf.Tensor:
    """Computes `keras.ops.conv`, channels last, in any number of spatial dimensions.

    Args:
        x: Tensor `(batch, *spatial, channels)`, with known spatial sizes.
        kernel: Tensor `(*sizes, channels, filters)`.
        strides: Sequence of integers, one for each spatial dimension.
        padding: String, `"same"`, `"valid"` or, in one dimension, `"causal"`.
        dilation: Sequence of integers, one for each spatial dimension.
        by_xla: Boolean, whether XLA compiles it for a CPU, see `kernel_gradient`. If true, wide
            patches of many images are computed in groups of images, and the result can be
            differentiated only once. Defaults to `False`.

    Returns:
        Tensor `(batch, *outputs, filters)` of the dtype of `x`.

    Example:

    >>> x, kernel = tf.ones((2, 5, 5, 3)), tf.ones((3, 3, 3, 4))
    >>> y = convolution(x, kernel, (2, 2), "same", (1, 1))
    >>> tuple(y.shape), float(y[0, 1, 1, 0])
    ((2, 3, 3, 4), 27.0)
    """
    if by_xla and x.dtype.size < 4:
        # XLA multiplies in float32 on a CPU. It would convert each element of the patches, which
        # repeat those of `x`.
        x, kernel, dtype = tf.cast(x, tf.float32), tf.cast(kernel, tf.float32), x.dtype
        return tf.cast(convolution(x, kernel, strides, padding, dilation, by_xla=True), dtype)
    *sizes, channels, filters = kernel.shape
    geometry = (sizes, strides, padding, dilation)
    width = math.prod(sizes) * channels

    @tf.custom_gradient
    def product(x, kernel):
        columns = patches(x, *geometry)
        p, w = tf.reshape(columns, (-1, width)), tf.reshape(kernel, (width, filters))

        def gradient(upstream):
            dy = tf.reshape(upstream, (-1, filters))
            dp = tf.reshape(tf.matmul(dy, w, transpose_b=True), (-1, *columns.shape[1:]))
            dw = kernel_gradient(p, dy, by_xla)
            dx = folded(dp, x.shape, *geometry, by_xla=by_xla)
            return dx, tf.reshape(dw, kernel.shape)

        return tf.reshape(p @ w, (-1, *columns.shape[1:-1], filters)), gradient

    places = [
        outputs(*g, padding) for g in zip(x.shape[1:-1], sizes, strides, dilation, strict=True)
    ]
    some = images = x.shape[0]
    # Narrow patches, such as those of grey images, are smaller than the outputs.
    if by_xla and images and width > filters:
        bytes_of_patches = math.prod(places) * width * x.dtype.size
        some = group_size(images, bytes_of_patches, width * filters * x.dtype.size)
    if some == images:
        return product(x, kernel)
    return in_groups(product, some, (*places, filters), x, kernel)


def kernel_gradient(p: tf.Tensor, dy: tf.Tensor, by_xla: bool) -> tf.Tensor:
    """Computes p^T dy, or the transpose of dy^T p if its rows are longer, which is faster.

    XLA would simplify the transposed product to p^T dy, which takes 1.5 times as long on a CPU. A
    barrier prevents this.
    """
    turned, longer = (dy, p) if p.shape[-1] > dy.shape[-1] else (p, dy)
    product = tf.matmul(turned, longer, transpose_a=True)
    if by_xla:
        product = optimization_barrier(product)
    return product if turned is p else tf.transpose(product)


def patches(
    x: tf.Tensor, sizes: Sequence, strides: Sequence, padding: str, dilation: Sequence
) -> tf.Tensor:
    """Returns the part of `x` that each output sees, in the order of the kernel's weights.

    Returns:
        Tensor `(batch, *outputs, product of sizes * channels)`.
    """
    geometry = list(zip(x.shape[1:-1], sizes, strides, dilation, strict=True))
    margins = [(0, 0), *(margin(*g, padding) for g in geometry), (0, 0)]
    padded = tf.pad(x, margins) if any(map(sum, margins)) else x
    ends = [(outputs(n, k, s, d, padding) - 1) * s + 1 for n, k, s, d in geometry]
    # One axis after another creates few tensors. The last axis comes first, the order of kernels.
    for axis in reversed(range(len(geometry))):
        _, size, stride, step = geometry[axis]
        within = [slice(k * step, k * step + ends[axis], stride) for k in range(size)]
        along = (slice(None),) * (axis + 1)
        padded = tf.concat([padded[(*along, part)] for part in within], axis=-1)
    return padded


def folded(
    columns: tf.Tensor,
    shape: Sequence,
    sizes: Sequence,
    strides: Sequence,
    padding: str,
    dilation: Sequence,
    *,
    by_xla: bool = False,
) -> tf.Tensor:
    """Sums the elements of all patches at each position of `x`: the adjoint of `patches`.

    Args:
        columns: Tensor `(batch, *outputs, product of sizes * channels)`.
        shape: The shape of `x`, `(batch, *spatial, channels)`.
        sizes, strides, padding, dilation: As in `patches`.
        by_xla: Boolean, whether XLA compiles it, see `_spread`. Defaults to `False`.

    Returns:
        Tensor `(batch, *spatial, channels)`.
    """
    outer = columns.shape[1:-1]
    parts = tf.reshape(columns, (-1, *outer, *sizes, shape[-1]))
    geometry = zip(shape[1:-1], sizes, strides, dilation, strict=True)
    for axis, (n, size, stride, step) in enumerate(geometry, start=1):
        before, _ = margin(n, size, stride, step, padding)
        # The axes of offsets follow the axes of outputs. The first of them belongs to this axis.
        parts = tf.unstack(parts, axis=1 + len(outer))
        parts = _spread(parts, axis, stride, step, before, n, by_xla)
    return parts


def _spread(parts, axis, stride, step, before, n, by_xla):
    """Adds element o of part k to element o * stride + k * step - before, of n along this axis.

    The elements of the result whose positions have the same remainder modulo `stride` form one sum.
    Then the sums are interleaved. XLA would fuse both, and select the sum for each element. With a
    barrier between them, it adds whole vectors and copies whole blocks.
    """
    shifts = [divmod(k * step, stride) for k in range(len(parts))]
    furthest = max(shift for shift, _ in shifts)
    at = functools.partial(_padded, axis=axis)
    phases: list[list] = [[] for _ in range(stride)]
    for part, (shift, phase) in zip(parts, shifts, strict=True):
        phases[phase].append(at(part, before=shift, after=furthest - shift))
    empty = tf.zeros_like(phases[0][0])
    sums = [tf.add_n(phase) if phase else empty for phase in phases]
    stacked = tf.stack([optimization_barrier(s) for s in sums] if by_xla else sums, axis + 1)
    length = stride * (parts[0].shape[axis] + furthest)
    whole = tf.reshape(stacked, (-1, *stacked.shape[1:axis], length, *stacked.shape[axis + 2 :]))
    whole = at(whole, before=0, after=max(0, before + n - length))
    return whole[(slice(None),) * axis + (slice(before, before + n),)]


def _padded(t, axis, before, after):
    widths = [(before, after) if i == axis else (0, 0) for i in range(t.shape.rank)]
    return tf.pad(t, widths) if before or after else t


def margin(n: int, size: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """Returns the number of zeros before and after an axis of n elements.

    Example:

    >>> margin(28, 3, 2, 1, "same"), margin(28, 3, 1, 1, "same"), margin(28, 3, 1, 1, "valid")
    ((0, 1), (1, 1), (0, 0))
    """
    reach = (size - 1) * dilation
    if padding == "valid":
        return 0, 0
    if padding == "causal":
        return reach, 0
    total = max((-(-n // stride) - 1) * stride + reach + 1 - n, 0)
    return total // 2, total - total // 2


def outputs(n: int, size: int, stride: int, dilation: int, padding: str) -> int:
    """Returns the number of outputs along an axis of n elements.

    Example:

    >>> outputs(28, 3, 2, 1, "same"), outputs(28, 3, 1, 1, "valid")
    (14, 26)
    """
    whole = n + sum(margin(n, size, stride, dilation, padding))
    return (whole - (size - 1) * dilation - 1) // stride + 1
