"""A convolution as one product of patches and kernel.

    y[p, f] = sum over (o, c) of x[p * strides + o * dilation, c] * kernel[o, c, f]

For each task its own kernel, TensorFlow's convolutions run one task at a time. A product of
matrices runs for all tasks in one batched product, and so do its two gradients.
"""

import itertools
import math
from collections.abc import Sequence

import tensorflow as tf


def convolution(
    x: tf.Tensor, kernel: tf.Tensor, strides: Sequence, padding: str, dilation: Sequence
) -> tf.Tensor:
    """What `keras.ops.conv` computes, channels last, in any number of spatial dimensions.

    Args:
        x: Tensor `(batch, *spatial, channels)`, with known spatial sizes.
        kernel: Tensor `(*sizes, channels, filters)`.
        strides: Sequence of integers, one for each spatial dimension.
        padding: String, `"same"`, `"valid"` or, in one dimension, `"causal"`.
        dilation: Sequence of integers, one for each spatial dimension.

    Returns:
        Tensor `(batch, *outputs, filters)` of the dtype of `x`.

    Example:

    >>> x, kernel = tf.ones((2, 5, 5, 3)), tf.ones((3, 3, 3, 4))
    >>> y = convolution(x, kernel, (2, 2), "same", (1, 1))
    >>> tuple(y.shape), float(y[0, 1, 1, 0])
    ((2, 3, 3, 4), 27.0)
    """
    *sizes, channels, filters = kernel.shape
    columns = patches(x, sizes, strides, padding, dilation)
    outer, width = columns.shape[1:-1], math.prod(sizes) * channels
    y = tf.reshape(columns, (-1, width)) @ tf.reshape(kernel, (width, filters))
    return tf.reshape(y, (-1, *outer, filters))


def patches(
    x: tf.Tensor, sizes: Sequence, strides: Sequence, padding: str, dilation: Sequence
) -> tf.Tensor:
    """The part of `x` that each output sees, in the order of the kernel's weights.

    Returns:
        Tensor `(batch, *outputs, product of sizes * channels)`.
    """
    geometry = list(zip(x.shape[1:-1], sizes, strides, dilation, strict=True))
    margins = [(0, 0), *(margin(*g, padding) for g in geometry), (0, 0)]
    padded = tf.pad(x, margins) if any(map(sum, margins)) else x
    ends = [
        n + sum(m) - (k - 1) * d for (n, k, _, d), m in zip(geometry, margins[1:-1], strict=True)
    ]
    columns = []
    for offsets in itertools.product(*map(range, sizes)):
        steps = zip(offsets, ends, strides, dilation, strict=True)
        within = [slice(o * d, o * d + end, stride) for o, end, stride, d in steps]
        columns.append(padded[(slice(None), *within)])
    return tf.concat(columns, axis=-1)


def margin(n: int, size: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """Zeros before and after an axis of n elements.

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
