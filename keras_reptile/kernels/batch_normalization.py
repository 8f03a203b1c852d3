"""Batch normalization with the statistics of the current batch, as in the paper.

`keras.layers.BatchNormalization` does this in training mode. But it also updates moving averages,
which are not used here, and reads the batch about six times, which takes a third of the time of the
inner loop. So one fused operation replaces the layer while the network is called. Weights and saved
files are those of the plain layer.

The plain layer normalizes by TensorFlow's moments, which treat the mean in the variance as a
constant. Their first derivative is right, and their second is wrong. Both functions here have right
derivatives of any order.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.kernels.convolution_biases import BEFORE_BIAS
from keras_reptile.kernels.row_sums import sum_of_rows
from keras_reptile.kernels.switching import Form

# The layer that has normalized a tensor, and the tensor before.
BEFORE_NORMALIZATION = "before normalization"


def is_normalization(layer: Any) -> bool:
    """Returns whether this is a batch normalization layer that is not frozen.

    Keras runs a frozen layer (`trainable = False`) in inference mode in every call.
    """
    return isinstance(layer, keras.layers.BatchNormalization) and layer.trainable


def _by_batch(layer, plain, origins, fused: bool) -> Callable:
    # Also if it is synchronized: a minibatch is on one replica, which has other tasks than others.
    plain_class = _is_plain(layer)

    def call(inputs, training=None, mask=None):
        if mask is not None or not plain_class:
            return in_training(plain, inputs, mask)
        if layer.axis in (-1, inputs.shape.rank - 1):
            # Normalization removes the bias, see convolution_biases.py.
            unbiased = origins.find(BEFORE_BIAS, inputs)
            inputs = inputs if unbiased is None else unbiased
        if fused and _fusible(layer, inputs):
            outputs = fused_normalization(inputs, layer.gamma, layer.beta, layer.epsilon)
            origins.note(BEFORE_NORMALIZATION, outputs, (layer, inputs))
            return outputs
        return normalization(inputs, layer.gamma, layer.beta, layer.epsilon, layer.axis)

    return call


def in_training(plain: Callable, inputs: Any, mask: Any) -> Any:
    """Returns the outputs of a layer's own method in training mode.

    The `call` of a custom layer may take neither the mode nor a mask. Without the mode, it decides
    by itself which statistics it uses.
    """
    parameters = inspect.signature(plain).parameters.values()
    takes_mode = any(p.name == "training" or p.kind is p.VAR_KEYWORD for p in parameters)
    mode = {"training": True} if takes_mode else {}
    return plain(inputs, **mode, **({} if mask is None else {"mask": mask}))


# With one of these forms, a network uses batch statistics in training and in inference mode.
FUSED_STATISTICS = Form(is_normalization, functools.partial(_by_batch, fused=True))
PLAIN_STATISTICS = Form(is_normalization, functools.partial(_by_batch, fused=False))


def _is_plain(layer) -> bool:
    """Returns whether a layer computes the same as Keras's own class."""
    return type(layer) is keras.layers.BatchNormalization and "call" not in vars(layer)


def _fusible(layer, inputs) -> bool:
    channels_last = layer.axis in (-1, inputs.shape.rank - 1)
    return channels_last and inputs.dtype in (tf.float32, tf.bfloat16, tf.float16)


def fused_normalization(x: tf.Tensor, gamma, beta, epsilon: float) -> tf.Tensor:
    """Computes `normalization` over the last axis in one operation.

    Args:
        x: Tensor `(..., channels)`, float32, bfloat16 or float16.
        gamma, beta, epsilon: See `normalization`.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    channels = x.shape[-1]
    flat = x if x.shape.rank == 4 else tf.reshape(x, (-1, 1, 1, channels))
    scale, offset = scale_and_offset(gamma, beta, channels, tf.float32)
    y, *_ = tf.raw_ops.FusedBatchNormV3(
        x=flat,
        scale=scale,
        offset=offset,
        mean=tf.zeros((0,)),
        variance=tf.zeros((0,)),
        epsilon=epsilon,
        is_training=True,
    )
    return y if x.shape.rank == 4 else tf.reshape(y, tf.shape(x))


def normalization(x: tf.Tensor, gamma, beta, epsilon: float, axis: int = -1) -> tf.Tensor:
    """Normalizes each channel by its mean and variance over all other axes.

        y = gamma * (x - mean(x)) / sqrt(var(x) + epsilon) + beta

    Args:
        x: Tensor of any floating dtype, with the channels along `axis`.
        gamma, beta: Tensors `(channels,)`, or `None` for 1 and 0.
        epsilon: Float.
        axis: Integer. Defaults to `-1`, the last.

    Returns:
        Tensor of the shape and dtype of `x`.
    """
    precise = tf.float64 if x.dtype == tf.float64 else tf.float32
    last = tf.experimental.numpy.moveaxis(x, axis, -1)
    channels = last.shape[-1]
    gamma, beta = scale_and_offset(gamma, beta, channels, precise)
    # With two axes only, XLA computes it much faster on a CPU.
    y = standardized(tf.reshape(tf.cast(last, precise), (-1, channels)), gamma, beta, epsilon)
    y = tf.cast(tf.reshape(y, tf.shape(last)), x.dtype)
    return tf.experimental.numpy.moveaxis(y, -1, axis)


def scale_and_offset(gamma, beta, channels: int, dtype: tf.DType) -> tuple:
    """Returns `gamma` and `beta`, or ones and zeros for a layer without them."""
    return (
        tf.ones((channels,), dtype) if gamma is None else tf.cast(gamma, dtype),
        tf.zeros((channels,), dtype) if beta is None else tf.cast(beta, dtype),
    )


def standardized(x: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Normalizes the columns of a matrix by their mean and variance.

        y = gamma z + beta,   z = r (x - mean(x)),   r = 1 / sqrt(var(x) + epsilon)
        dbeta = sum(dy),   dgamma = sum(z dy)
        dx = gamma r (dy - dbeta / n - z dgamma / n)

    The gradients are explicit. Automatic ones would read the n rows several times as often.
    """

    @tf.custom_gradient
    def function(x, gamma, beta):
        n, mean, r = statistics(x, epsilon)
        z = r * (x - mean)

        def gradient(dy):
            dgamma, dbeta = sum_of_rows(tf.multiply, z, dy), sum_of_rows(tf.identity, dy)
            return gamma * r * (dy - dbeta / n - z * (dgamma / n)), dgamma, dbeta

        return gamma * z + beta, gradient

    return function(x, gamma, beta)


def statistics(x: tf.Tensor, epsilon: float) -> tuple:
    """Returns the number of rows, their mean, and r = 1 / sqrt(var(x) + epsilon)."""
    n = tf.cast(tf.shape(x)[0], x.dtype)
    mean = sum_of_rows(tf.identity, x) / n
    return n, mean, tf.math.rsqrt(sum_of_rows(lambda x: tf.square(x - mean), x) / n + epsilon)
