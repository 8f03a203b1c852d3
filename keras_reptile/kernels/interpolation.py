"""Layers that interpolate images, with derivatives of any order.

    y = A x,    dx = A^T dy

TensorFlow implements only the first derivative of its interpolations. It takes the second
derivative of the bilinear one to be zero, which is wrong if `dy` depends on weights. A is linear,
so the derivative of A^T by `dy` is A.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.kernels.switching import Form

KINDS = (keras.layers.UpSampling2D, keras.layers.Resizing)


def _interpolation_of(layer, plain, origins) -> Callable:
    return lambda x, **options: linear(functools.partial(plain, **options), x)


INTERPOLATIONS = Form(lambda layer: isinstance(layer, KINDS), _interpolation_of)


def linear(function: Callable, x: tf.Tensor) -> tf.Tensor:
    """Computes `function(x)` so that it can be differentiated any number of times.

    Args:
        function: Function of a tensor with the shape of `x`. It is linear up to a constant, and
            TensorFlow has its first derivative.
        x: Tensor of a floating dtype.

    Example:

    >>> linear(lambda t: 3.0 * t, tf.constant([1.0, 2.0])).numpy()
    array([3., 6.], dtype=float32)
    """

    @tf.custom_gradient
    def forward(x) -> Any:
        return function(x), backward

    @tf.custom_gradient
    def backward(dy) -> Any:
        # Created here because the gradient of a loop is a separate graph.
        zeros = tf.zeros_like(x)
        with tf.GradientTape() as tape:
            tape.watch(zeros)
            constant = function(zeros)
        dx = tape.gradient(constant, zeros, output_gradients=dy)
        return dx, lambda upstream: forward(upstream) - function(tf.zeros_like(upstream))

    return forward(x)
