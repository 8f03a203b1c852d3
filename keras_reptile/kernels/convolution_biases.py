"""Convolutions whose bias is left out before normalization, or has a gradient of its own.

    y = convolution(x, kernel) + bias,    d bias = sum over the batch and all places of dy

Normalization by the batch's statistics takes the mean out, and the bias with it:

    normalization(y + bias) = normalization(y),    d bias = 0

What floating-point numbers leave of that zero is rounding, which Adam scales up to whole steps of a
weight that nothing depends on. So the normalization is of y itself, and such biases stay as they
are.

Of the others, TensorFlow hands the sum and the kernel's gradient to oneDNN as one operation, which
on a CPU takes twice the time of the two if the layer has few channels, as the first layer on images
has.
"""

import contextlib
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_reptile.kernels.devices import accelerated
from keras_reptile.kernels.patch_convolution import CONVOLUTIONS
from keras_reptile.kernels.switching import fuses, switched


def separate_biases(network: keras.Model) -> contextlib.AbstractContextManager:
    """While this is open, normalization leaves the biases of the network's convolutions out, and
    others sum their gradient by themselves."""
    layers = [layer for layer in network._flatten_layers(include_self=False) if has_bias(layer)]
    return switched(layers, "call", _convolution_of)


def has_bias(layer: keras.layers.Layer) -> bool:
    """Whether this is a convolution, channels last, that adds a bias.

    Keras pads for a causal one before it convolves.
    """
    known = type(layer) in CONVOLUTIONS and "call" not in vars(layer) and layer.padding != "causal"
    return known and layer.use_bias and layer.data_format == "channels_last"


def _convolution_of(layer) -> Callable:
    def call(x):
        kernel, bias = layer.kernel, tf.convert_to_tensor(layer.bias)
        unbiased = layer.convolution_op(x, kernel)
        add = with_bias if fuses() and not accelerated() else tf.add
        y = add(unbiased, tf.cast(bias, unbiased.dtype))
        if layer.activation not in (None, keras.activations.linear):
            return layer.activation(y)
        y._before_bias = _left_out(unbiased, bias)
        return y

    return call


@tf.custom_gradient
def _left_out(y, bias):
    """y, and a gradient of zeros for the bias: whoever derives it finds one for every weight."""
    return tf.identity(y), lambda dy: (dy, tf.zeros_like(bias))


@tf.custom_gradient
def with_bias(y: tf.Tensor, bias: tf.Tensor) -> tuple:
    """What `tf.nn.bias_add` computes.

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
        # The sum of the rows; as a product it takes less time than `tf.reduce_sum`.
        ones = tf.ones((1, tf.shape(rows)[0]), rows.dtype)
        return dy, tf.squeeze(ones @ rows, axis=0)

    return tf.nn.bias_add(y, bias), gradient
