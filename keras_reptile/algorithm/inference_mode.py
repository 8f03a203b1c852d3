"""A check for batch normalization that a network calls in inference mode while it trains.

Keras would keep the layer's moving averages in training. Inner loops normalize by the batch's
statistics in every mode, and a learner replaces the moving averages by those of its support set.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.known_layers import is_keras_own
from keras_reptile.algorithm.network_function import mode
from keras_reptile.keras_internals import all_layers
from keras_reptile.kernels.batch_normalization import is_normalization
from keras_reptile.kernels.switching import Form, fast_forms


def check_normalizations(network: keras.Model, inputs: Any) -> None:
    """Raises `ValueError` for a network that sets `training=False` for its batch normalization.

    Args:
        network: A built `keras.Model`.
        inputs: Structure of tensors, symbolic or not, or of their specs.
    """
    found = called_in_inference(network, inputs)
    if found:
        raise ValueError(
            "Batch normalization uses the batch's statistics in every mode. Received: a network "
            f"that calls the layers {found} with training=False. Set their `trainable = False` to "
            "keep their moving averages, or leave out the argument."
        )


def called_in_inference(network: keras.Model, inputs: Any) -> list[str]:
    """Returns the names of the layers that a call in training mode calls with `training=False`.

    Layers of Keras and functional networks pass the mode on, so only networks with other code are
    traced.
    """
    layers = all_layers(network, itself=True)
    own_code = any(not is_keras_own(type(layer)) for layer in layers)
    if not own_code or not any(map(is_normalization, layers)):
        return []
    specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), inputs)
    found: list[str] = []
    noted = Form(is_normalization, functools.partial(_noted, found))
    whole = _InTraining(lambda x: network(x, **mode(network, True)))

    def trace(x):
        with keras.StatelessScope(collect_losses=True), fast_forms(network, [noted]):
            whole(x, training=True)

    tf.function(trace, autograph=False).get_concrete_function(specs)
    return [*dict.fromkeys(found)]


class _InTraining(keras.layers.Layer):
    """Calls a function of layers in training mode.

    Layers take the mode from the layer that calls them, also past a `call` without `training`.
    """

    def __init__(self, function: Callable):
        super().__init__(name="in_training", autocast=False)
        self.function = function

    def call(self, x: Any, training: bool | None = None) -> Any:
        return self.function(x)


def _noted(found: list[str], layer: Any, plain: Callable, origins: Any) -> Callable:
    def call(*args, **kwargs):
        training = kwargs.get("training")
        if isinstance(training, int) and not training:
            found.append(layer.name)
        return plain(*args, **kwargs)

    return call
