"""Convolutions whose bias is left out before normalization, or has its own gradient.

    y = convolution(x, kernel) + bias,    d bias = sum over the batch and all places of dy

Normalization by the batch's statistics removes the mean, and with it the bias:

    normalization(y + bias) = normalization(y),    d bias = 0

In floating-point numbers, the gradient is rounding instead of 0. Adam scales it up to whole steps
of a weight that has no effect. So the normalization takes y itself, and such biases do not change.

The gradients of other biases are separate sums. TensorFlow computes the sum and the kernel's
gradient as one operation of oneDNN. On a CPU, that takes twice as long as the two operations if the
layer has few channels, as the first layer has.
"""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_reptile.kernels.patch_convolution import CONVOLUTIONS
from keras_reptile.kernels.switching import Form

# The tensor that a bias was added to.
BEFORE_BIAS = "before bias"


def has_bias(layer: keras.layers.Layer) -> bool:
    """Returns whether this is a convolution, channels last, that adds a bias.

    Causal convolutions are not included, because Keras pads their inputs separately.
    """
    known = type(layer) in CONVOLUTIONS and "call" not in vars(layer) and layer.padding != "causal"
    return known and layer.use_bias and layer.data_format == "channels_last"


def _convolution_of(layer, plain, origins, add: Callable) -> Callable:
    def call(x):
        kernel, bias = layer.kernel, tf.convert_to_tensor(layer.bias)
        unbiased = layer.convolution_op(x, kernel)
        y = add(unbiased, tf.cast(bias, unbiased.dtype))
        if layer.activation not in (None, keras.activations.linear):
            return layer.activation(y)
        origins.note(BEFORE_BIAS, y, _left_out(unbiased, bias))
        return y

    return call


@tf.custom_gradient
def _left_out(y, bias):
    """Returns y with a gradient of zeros for the bias, so that every weight has a gradient."""
    return tf.identity(y), lambda dy: (dy, tf.zeros_like(bias))


@tf.custom_gradient
def with_bias(y: tf.Tensor, bias: tf.Tensor) -> tuple:
    """Computes `tf.nn.bias_add`, with a matrix product for the gradient of the bias.

    Args:
        y: Tensor `(batch, *spatial, filters)`.
        bias: Tensor `(filters,)` of the same dtype.

    Returns:
        Tensor of the shape of `y`.

    Example:

    >>> with_bias(tf.zeros((1, 2, 2)), tf.constant([1.0, 2.0]))[0, 1].numpy().tolist()
    [1.0, 2.0]
    """

    def gradient(dy):
        rows = tf.reshape(dy, (-1, bias.shape[0]))
        # The sum of the rows. The product is faster than `tf.reduce_sum`.
        ones = tf.ones((1, tf.shape(rows)[0]), rows.dtype)
        return dy, tf.squeeze(ones @ rows, axis=0)

    return tf.nn.bias_add(y, bias), gradient


SUMMED_BIASES = Form(has_bias, functools.partial(_convolution_of, add=with_bias))
PLAIN_BIASES = Form(has_bias, functools.partial(_convolution_of, add=tf.add))
