"""A Keras network as a pure function of its weights: f(W, x).

Batch normalization uses the statistics of the current batch, in training and in prediction, as the
paper does. Updates of moving averages are discarded.
"""

import dataclasses
import functools
import inspect
from collections import Counter
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.network_checks import check_output
from keras_reptile.keras_internals import call_takes_training
from keras_reptile.kernels import forms
from keras_reptile.kernels.batch_normalization import in_training, is_normalization
from keras_reptile.kernels.forms import Forms
from keras_reptile.kernels.switching import Form, fast_forms

# The name of the state of a `keras.random.SeedGenerator`.
SEED = "seed_generator_state"


def values_of(variables: Sequence) -> list[tf.Tensor]:
    """Returns the present values of variables, as tensors."""
    return [tf.convert_to_tensor(v) for v in variables]


@dataclasses.dataclass(frozen=True, eq=False)
class NetworkFunction:
    """A network as a function of its trainable weights and its inputs.

    network: A built `keras.Model`.
    forms: Tuple of `Form`, the forms of its layers while it is called. Defaults to forms that run
        on any device.
    non_trainable: Sequence of tensors, the values of `network.non_trainable_variables`. Defaults to
        `None`: the variables are read. A function that XLA compiles locks every variable that it
        reads, and waits for all other readers. With tensors it does not wait.
    """

    network: keras.Model
    forms: Forms = forms.ANYWHERE
    non_trainable: Sequence | None = None

    def train(self, weights: Sequence, x: Any, call_id: Any) -> tuple:
        """Returns the outputs and the sum of penalties in training mode.

        Args:
            weights: Sequence of tensors, one for each of `network.trainable_variables`.
            x: Structure of tensors, the inputs `(batch, ...)`.
            call_id: Integer tensor `(n,)`. In calls with the same one, layers draw the same random
                numbers.

        Returns:
            Tuple `(outputs, penalty)`; `penalty` is the sum of the layers' losses, such as those of
            regularizers, in the dtype of the weights, or 0.
        """
        state = [
            _folded(value, call_id) if is_seed(v) else value
            for v, value in self._variables_and_values()
        ]
        with fast_forms(self.network, self.forms):
            outputs, _, losses = self.network.stateless_call(
                list(weights), state, x, **mode(self.network, True), return_losses=True
            )
        check_output(outputs)
        # In mixed precision these losses have several dtypes. `add_loss` takes any shape.
        losses = [tf.reduce_sum(tf.cast(t, weights[0].dtype)) for t in losses]
        return outputs, sum(losses) if losses else 0.0

    def predict(self, weights: Sequence, x: Any) -> tf.Tensor:
        """Returns the outputs in inference mode, with `x`'s statistics in batch normalization."""
        state = [value for _, value in self._variables_and_values()]
        with fast_forms(self.network, self.forms):
            outputs, _ = self.network.stateless_call(
                list(weights), state, x, **mode(self.network, False)
            )
        return outputs

    def _variables_and_values(self) -> list[tuple]:
        variables = self.network.non_trainable_variables
        values = variables if self.non_trainable is None else self.non_trainable
        return list(zip(variables, values, strict=True))

    def support_statistics(self, weights: Sequence, x: Any) -> list:
        """Returns values of the non-trainable variables, with `x`'s statistics as moving averages.

        A network with these values predicts in inference mode with the statistics of the images
        that it was adapted to, also for one image at a time. The statistics are computed without
        dropout and other noise: only batch normalization is in training mode. A layer whose own
        `call` updates no moving averages keeps them.
        """
        state = [tf.convert_to_tensor(value) for _, value in self._variables_and_values()]
        calls: Counter = Counter()
        counted = Form(is_normalization, functools.partial(_counted_in_training, calls))
        with fast_forms(self.network, [counted]):
            _, updated = self.network.stateless_call(
                list(weights), state, x, **mode(self.network, False)
            )
        # From zero, n updates leave (1 - momentum^n) of a mean of the statistics.
        share = {id(v): 1 - n.momentum ** calls[n] for n in calls for v in _moving(n)}
        return [
            new / share[id(v)] if id(v) in share else tf.convert_to_tensor(value)
            for (v, value), new in zip(self._variables_and_values(), updated, strict=True)
        ]


def mode(network: keras.Model, training: bool) -> dict[str, bool]:
    """Returns the argument that sets the network's mode, if its `call` has it."""
    parameters = inspect.signature(network.call).parameters.values()
    passed_on = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return {"training": training} if call_takes_training(network) or passed_on else {}


def _counted_in_training(calls, layer, plain, origins):
    """Calls a layer in training mode, with moving averages from zero, and counts their updates."""

    def call(inputs, training=None, mask=None):
        kept = [v.value for v in _moving(layer)]
        if layer not in calls:
            _assign(layer, [tf.zeros_like(value) for value in kept])
        before = layer.moving_mean.value
        outputs = in_training(plain, inputs, mask)
        if layer.moving_mean.value is before:
            _assign(layer, kept)
            return in_training(plain, inputs, mask)
        calls[layer] += 1
        return outputs

    return call


def _moving(layer) -> tuple:
    return layer.moving_mean, layer.moving_variance


def _assign(layer, values) -> None:
    for variable, value in zip(_moving(layer), values, strict=True):
        variable.assign(value)


def seeds_of(network: keras.Model) -> list:
    """Returns the states of a network's random generators. `get_weights` does not contain them."""
    return [v for v in network.non_trainable_variables if is_seed(v)]


def set_seeds(network: keras.Model, values: Sequence) -> None:
    """Sets the states of a network's random generators.

    Args:
        network: A `keras.Model`.
        values: Sequence of arrays or variables, as many as `seeds_of` returns.
    """
    for seed, value in zip(seeds_of(network), values, strict=True):
        seed.assign(value)


def has_randomness(network: keras.Model) -> bool:
    """Returns whether the network contains layers that draw random numbers, such as `Dropout`."""
    return bool(seeds_of(network))


def task_numbers(tasks: Any) -> tf.Tensor:
    """Returns a number for each task, computed from the task's content, int32 `(tasks,)`.

    Random layers that use it draw the same numbers for a task in every evaluation.

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
    """Returns the bits of each task's values, int32 `(tasks, values)`."""
    t = tf.convert_to_tensor(t)
    if t.dtype == tf.string:
        t = tf.strings.to_hash_bucket_fast(t, 2**31 - 1)
    if t.dtype.is_floating:
        t = tf.bitcast(tf.cast(t, tf.float32), tf.int32)
    return tf.reshape(tf.cast(t, tf.int32), (tf.shape(t)[0], -1))


def _checksums(words) -> tf.Tensor:
    """Returns one number for each row: a sum modulo 2^32, so that its order does not matter."""
    # The low bits of floats such as 1.0 are zero, and a product alone would keep them zero.
    mixed = tf.bitwise.bitwise_xor(words, tf.bitwise.right_shift(words, 15)) + 1
    odd = 2 * 40503 * tf.range(tf.shape(words)[1]) + 2654435
    mixed = mixed * odd
    return tf.reduce_sum(tf.bitwise.bitwise_xor(mixed, tf.bitwise.right_shift(mixed, 13)), axis=1)


def is_seed(variable: Any) -> bool:
    """Returns whether this is the state of a `keras.random.SeedGenerator`."""
    return variable.name == SEED


def _folded(variable, call_id):
    """Returns a seed made from the layer's own and the call's."""
    own = tf.cast(tf.convert_to_tensor(variable), tf.int32)
    seed = tf.zeros((2,), tf.int32)
    for word in tf.unstack(tf.concat([own, call_id], axis=0)):
        seed = tf.random.experimental.stateless_fold_in(seed, word)
    return tf.cast(seed, variable.dtype)
