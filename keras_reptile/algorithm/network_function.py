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
    state = [_folded(value, draw) if is_seed(v) else value for v, value in held]
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
    statistics of the images that it was adapted to. They are taken as that prediction will be made:
    dropout and other noise of training is off, batch normalization alone is in training mode.
    """
    held = list(zip(network.non_trainable_variables, held_variables(network), strict=True))
    layers = normalizations(network)
    moving = {id(v) for layer in layers for v in _moving(layer)}
    state = [
        tf.zeros_like(v) if id(v) in moving else tf.convert_to_tensor(value) for v, value in held
    ]
    calls: Counter = Counter()
    with switched(layers, "call", functools.partial(_counted_in_training, calls)):
        _, updated = network.stateless_call(list(weights), state, x, **mode(network, False))
    # From zero, n updates leave (1 - momentum^n) of a mean of the statistics.
    share = {id(v): 1 - at.momentum ** calls[at] for at in calls for v in _moving(at)}
    return [
        new / share[id(v)] if id(v) in share else tf.convert_to_tensor(value)
        for (v, value), new in zip(held, updated, strict=True)
    ]


def _counted_in_training(calls, layer):
    plain = layer.call

    def call(inputs, training=None, mask=None):
        calls[layer] += 1
        return plain(inputs, training=True, mask=mask)

    return call


def _moving(layer):
    return [layer.moving_mean, layer.moving_variance]


def has_randomness(network: keras.Model) -> bool:
    """Whether the network holds layers that draw random numbers, such as `Dropout`."""
    return any(is_seed(v) for v in network.non_trainable_variables)


def task_numbers(tasks: Any) -> tf.Tensor:
    """A number for each task that follows from all that the task holds, int32 `(tasks,)`.

    Random layers that draw by it draw alike for a task, whatever else is evaluated with it.

    Args:
        tasks: Structure of tensors with the tasks along the first axis.

    Example:

    >>> images = tf.random.stateless_uniform((3, 4, 2), (0, 0))
    >>> bool(task_numbers(images)[2] == task_numbers(images[2:])[0])
    True
    """
    numbers = [_checksums(_words(t)) for t in tf.nest.flatten(tasks)]
    return _checksums(tf.stack(numbers, axis=1))


def _words(t) -> tf.Tensor:
    """The bits of each task's values, int32 `(tasks, values)`."""
    t = tf.convert_to_tensor(t)
    if t.dtype.is_floating:
        t = tf.bitcast(tf.cast(t, tf.float32), tf.int32)
    return tf.reshape(tf.cast(t, tf.int32), (tf.shape(t)[0], -1))


def _checksums(words) -> tf.Tensor:
    """One number for each row, by a sum modulo 2^32, which is the same in any order."""
    # Floats such as 1.0 have low bits of zero, which products would keep.
    mixed = tf.bitwise.bitwise_xor(words, tf.bitwise.right_shift(words, 15)) + 1
    odd = 2 * 40503 * tf.range(tf.shape(words)[1]) + 2654435
    mixed = mixed * odd
    return tf.reduce_sum(tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 13)), axis=1)


def is_seed(variable: Any) -> bool:
    """Whether this is the state of a `keras.random.SeedGenerator`."""
    return variable.name == "seed_generator_state"


def _folded(variable, draw):
    """A seed made from the layer's own and the call's."""
    own = tf.cast(tf.convert_to_tensor(variable), tf.int32)
    seed = tf.zeros((2,), tf.int32)
    for word in tf.unstack(tf.concat([own, draw], axis=0)):
        seed = tf.random.experimental.stateless_fold_in(seed, word)
    return tf.cast(seed, variable.dtype)
