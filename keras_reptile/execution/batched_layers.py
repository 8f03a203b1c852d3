"""Known Keras layers as functions of the images and weights of all tasks.

    forward(x, *weights) -> y, gradient        gradient(dy) -> dx, *dweights

The first axis of all tensors is that of the tasks. Weights that all tasks share may lack it.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_reptile.kernels import max_pooling, patch_convolution
from keras_reptile.kernels.batched_bias import batched_bias
from keras_reptile.kernels.batched_convolution import batched_convolution
from keras_reptile.kernels.batched_dense import batched_dense
from keras_reptile.kernels.batched_normalization import batched_normalization
from keras_reptile.kernels.batched_pooling import batched_max_pooling, batched_normalized_pooling

PRECISIONS = ("float32", "float64")


class BatchedLayer(NamedTuple):
    """A function `forward`, and the variables whose values are its weights."""

    forward: Callable
    weights: tuple = ()


def batched_layers(chain: Sequence) -> list[BatchedLayer] | None:
    """Returns the functions that compute a chain of built Keras layers for all tasks at once.

    It returns `None` if one of the layers is not known. Some layers are computed together with the
    layer before them.
    """
    found: list = []
    for before, layer, after in zip([None, *chain], chain, [*chain[1:], None], strict=False):
        make = KINDS.get(type(layer))
        parts = make(layer, before, after) if make and _is_plain(layer) else None
        if parts is None:
            return None
        found += parts
    return found


def _is_plain(layer) -> bool:
    """Returns whether a layer is as its class makes it, in one precision, without penalties."""
    own = vars(layer)
    penalties = [v for name, v in own.items() if name.endswith("_regularizer") and v is not None]
    changed = "call" in own or own.get("lora_enabled") or getattr(layer, "quantization_mode", None)
    precise = layer.variable_dtype == layer.compute_dtype and layer.compute_dtype in PRECISIONS
    trained = all(v.trainable for v in layer.trainable_weights) and layer.trainable
    return precise and trained and not changed and not penalties


def _convolution(layer, before, after) -> list | None:
    activation = _activation(layer.activation)
    known = patch_convolution.by_patches(layer) and layer.padding != "causal"
    if activation is None or not known:
        return None

    def forward(x, kernel):
        return batched_convolution(x, kernel, layer.strides, layer.padding, layer.dilation_rate)

    left_out = _normalizes(after) and not activation
    return [BatchedLayer(forward, (layer.kernel,)), *_bias(layer, left_out), *activation]


def _dense(layer, before, after) -> list | None:
    activation = _activation(layer.activation)
    if activation is None:
        return None
    return [BatchedLayer(batched_dense, (layer.kernel,)), *_bias(layer), *activation]


def _bias(layer, left_out: bool = False) -> list:
    if not layer.use_bias:
        return []
    return [BatchedLayer(_left_out if left_out else batched_bias, (layer.bias,))]


def _left_out(x, bias) -> tuple:
    """Returns x, and zeros as the gradient of each task's bias, see convolution_biases.py."""
    return x, lambda dy: (dy, tf.zeros((x.shape[0], bias.shape[-1]), bias.dtype))


def _normalization(layer, before, after) -> list | None:
    last = layer.axis in (-1, layer.input_spec.ndim - 1)
    if not last or getattr(layer, "renorm", False):
        return None
    has = (layer.gamma is not None, layer.beta is not None)

    def forward(x, *weights):
        given = iter(weights)
        gamma, beta = (next(given) if there else None for there in has)
        y, gradient = _normalized(layer, after, x, gamma, beta)

        def gradient_of_given(dy):
            dx, *of_both = gradient(dy)
            return dx, *itertools.compress(of_both, has)

        return y, gradient_of_given

    return [BatchedLayer(forward, (*itertools.compress((layer.gamma, layer.beta), has),))]


def _normalizes(layer) -> bool:
    return type(layer) is keras.layers.BatchNormalization


def _normalized(layer, after, x, gamma, beta) -> tuple:
    if after is not None and max_pooling.separates(after):
        window = tuple(after.pool_size), after.padding
        return batched_normalized_pooling(x, gamma, beta, layer.epsilon, *window)
    return batched_normalization(x, gamma, beta, layer.epsilon)


def _max_pooling(layer, before, after) -> list | None:
    if not max_pooling.separates(layer):
        return None
    window = tuple(layer.pool_size), layer.padding
    return [] if _normalizes(before) else [BatchedLayer(lambda x: batched_max_pooling(x, *window))]


def _flatten(layer, before, after) -> list | None:
    if layer.data_format != "channels_last":
        return None
    return [BatchedLayer(_flattened)]


def _flattened(x) -> tuple:
    y = tf.reshape(x, (*x.shape[:2], -1))
    return y, lambda dy: (tf.reshape(dy, x.shape),)


def _rectifier(layer, before, after) -> list | None:
    plain = layer.max_value is None and not layer.negative_slope and not layer.threshold
    return [BatchedLayer(_relu)] if plain else None


def _activation(function) -> list | None:
    """Returns the layers that compute an activation, or `None` if it is not known.

    The list for the identity is empty.
    """
    return ACTIVATIONS.get(function)


def _relu(x) -> tuple:
    y = tf.nn.relu(x)
    return y, lambda dy: (tf.where(y > 0, dy, tf.zeros((), dy.dtype)),)


def _tanh(x) -> tuple:
    y = tf.tanh(x)
    return y, lambda dy: (dy * (1 - tf.square(y)),)


ACTIVATIONS = {
    None: [],
    keras.activations.linear: [],
    keras.activations.relu: [BatchedLayer(_relu)],
    keras.activations.tanh: [BatchedLayer(_tanh)],
}
KINDS: dict[type, Callable] = {
    keras.layers.Conv1D: _convolution,
    keras.layers.Conv2D: _convolution,
    keras.layers.Conv3D: _convolution,
    keras.layers.Dense: _dense,
    keras.layers.BatchNormalization: _normalization,
    keras.layers.MaxPooling1D: _max_pooling,
    keras.layers.MaxPooling2D: _max_pooling,
    keras.layers.Flatten: _flatten,
    keras.layers.ReLU: _rectifier,
    keras.layers.Activation: lambda layer, before, after: _activation(layer.activation),
}
