"""A Keras network as a pure function of its weights: f(W, x).

Batch normalization uses the statistics of the batch at hand, in training and in prediction, as the
paper does; the moving averages that a call would update are dropped.
"""

import functools
import inspect
from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.network_checks import check_output
from keras_reptile.kernels.batch_normalization import batch_statistics, normalizations
from keras_reptile.kernels.convolution_biases import separate_biases
from keras_reptile.kernels.switching import held_variables, switched


def train_call(network: keras.Model, weights: Sequence, x: Any, draw: Any) -> tuple:
    """Outputs and summed penalties of the network in training mode.

    Args:
        network: A built `keras.Model`.
        weights: Sequence of tensors, one for each of `network.trainable_variables`.
        x: Structure of tensors, the inputs `(batch, ...)`.
        draw: Integer tensor `(n,)` that tells this call from every other: layers that draw random
            numbers draw others for another `draw`, and the same for the same.

    Returns:
        Tuple `(outputs, penalty)`; `penalty` is the sum of the regularization losses, or 0.
    """
    held = zip(network.non_trainable_variables, held_variables(network), strict=True)
    state = [_folded(value, draw) if _is_seed(v) else value for v, value in held]
    with separate_biases(network), batch_statistics(network):
        outputs, _, losses = network.stateless_call(
            list(weights), state, x, **mode(network, True), return_losses=True
        )
    check_output(outputs)
    return outputs, sum(losses) if losses else 0.0


def predict_call(network: keras.Model, weights: Sequence, x: Any) -> tf.Tensor:
    """Outputs of the network in inference mode, except that batch normalization uses `x`'s own
    statistics."""
    with separate_biases(network), batch_statistics(network):
        outputs, _ = network.stateless_call(
            list(weights), held_variables(network), x, **mode(network, False)
        )
    return outputs


def mode(network: keras.Model, training: bool) -> dict[str, bool]:
    """The argument that tells the network so, if its `call` has it."""
    parameters = inspect.signature(network.call).parameters.values()
    passed_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return {"training": training} if network._call_has_training_arg or passed_on else {}


def support_statistics(network: keras.Model, weights: Sequence, x: Any) -> list:
    """Values for `network.non_trainable_variables` with moving averages set to `x`'s statistics.

    A network that holds them predicts in inference mode, one image at a time if need be, with the
    statistics of the images that it was adapted to.
    """
    held = network.non_trainable_variables
    layers = normalizations(network)
    moving = {id(v) for layer in layers for v in _moving(layer)}
    state = [tf.zeros_like(v) if id(v) in moving else tf.convert_to_tensor(v) for v in held]
    calls: Counter = Counter()
    with switched(layers, "call", functools.partial(_counted, calls)):
        _, updated = network.stateless_call(list(weights), state, x, **mode(network, True))
    # From zero, n updates leave (1 - momentum^n) of a mean of the statistics.
    share = {id(v): 1 - at.momentum ** calls[at] for at in calls for v in _moving(at)}
    return [
        new / share[id(v)] if id(v) in share else tf.convert_to_tensor(v)
        for v, new in zip(held, updated, strict=True)
    ]


def _counted(calls, layer):
    plain = layer.call

    def call(*args, **kwargs):
        calls[layer] += 1
        return plain(*args, **kwargs)

    return call


def _moving(layer):
    return [layer.moving_mean, layer.moving_variance]


def has_randomness(network: keras.Model) -> bool:
    """Whether the network holds layers that draw random numbers, such as `Dropout`."""
    return any(_is_seed(v) for v in network.non_trainable_variables)


def _is_seed(variable) -> bool:
    return variable.name == "seed_generator_state"


def _folded(variable, draw):
    """A seed made from the layer's own and the call's."""
    own = tf.cast(tf.convert_to_tensor(variable), tf.int32)
    seed = tf.zeros((2,), tf.int32)
    for word in tf.unstack(tf.concat([own, draw], axis=0)):
        seed = tf.random.experimental.stateless_fold_in(seed, word)
    return tf.cast(seed, variable.dtype)
