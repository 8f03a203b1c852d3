"""A head whose outputs all start from one learned vector.

The head is the last layer, z_j = k_j . h + b_j for output j of the features h. The order of labels
is random, so at the start of a task all outputs have the same role. In a shared head they have the
same weights, too: k_j = k and b_j = b for all j at theta. The inner loop then makes them different.
The order of labels does not change the result, and theta fits any number of classes.

The outer gradient is projected onto heads of equal outputs: each output gets the mean over all
outputs. This projection is orthogonal. Optimizers that compute the same for all outputs keep them
equal, bit by bit.

With softmax cross-entropy, the values of k and b have no effect: they add the same number to every
logit, and the gradients of the outputs sum to zero. Only their equality at the start has an effect.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.network_checks import end_in_words, last_operation


def head_of(network: keras.Model) -> keras.layers.Dense:
    """Returns the last layer of a network.

    Raises:
        ValueError: If the network is not functional or sequential, or does not end in a `Dense`
            layer.
    """
    last = last_operation(network)
    if not isinstance(last, keras.layers.Dense):
        raise ValueError(
            "head='shared' needs a functional or sequential network that ends in a `Dense` layer. "
            f"Received: {end_in_words(network)}. Build such a network, or use head='separate'."
        )
    return last


def positions(network: keras.Model) -> list[int]:
    """Returns the positions of the head's variables among the trainable variables.

    Raises:
        ValueError: If the head is frozen, or a part of it as with LoRA. Its outputs would not be
            equal.
    """
    last = head_of(network)
    head = {id(v) for v in last.trainable_variables}
    if len(head) < len(last.weights):
        raise ValueError(
            "With head='shared' both loops move all weights of the last layer. Received: a network "
            "whose last layer is frozen, or a part of it. Set its `trainable = True`, or use "
            "head='separate'."
        )
    return [i for i, v in enumerate(network.trainable_variables) if id(v) in head]


def check_moved(network: keras.Model, moved: Sequence[int]) -> None:
    """Raises `ValueError` if the inner loop does not move a shared head.

    Args:
        network: A built `keras.Model`.
        moved: Sequence of integers, the positions of the weights that it moves.
    """
    if not set(positions(network)) <= set(moved):
        raise ValueError(
            "With head='shared' all outputs start equal, and the inner loop must train the last "
            "layer. Received: inner_trainable without it. Add it, as inner_trainable='all' does, "
            "or use head='separate'."
        )


def with_equal_outputs(tensors: Sequence, head: Sequence[int]) -> list:
    """Returns the tensors. Those of the head have the mean over outputs at every output.

    Args:
        tensors: Sequence of tensors shaped like the trainable variables.
        head: Sequence of integers, see `positions`.

    Example:

    >>> kernel = tf.constant([[1.0, 2.0, 6.0]])
    >>> with_equal_outputs([kernel, kernel], [1])[1].numpy()
    array([[3., 3., 3.]], dtype=float32)
    """
    return [_equal(t) if i in head else t for i, t in enumerate(tensors)]


def _equal(tensor: tf.Tensor) -> tf.Tensor:
    mean = tf.reduce_mean(tensor, axis=-1, keepdims=True)
    return tf.broadcast_to(mean, tf.shape(tensor))


def make_equal(variables: Sequence) -> None:
    """Gives all outputs of a head the mean of their values, unless they are equal.

    Args:
        variables: Sequence of variables `(..., outputs)`, weights of the head or their moments.
    """
    for variable in variables:
        variable.assign(_equal_or_mean(tf.convert_to_tensor(variable)))


def _equal_or_mean(value: Any) -> tf.Tensor:
    # The mean of equal numbers may differ from them in the last bit.
    are_equal = tf.reduce_all(value == value[..., :1])
    return tf.where(are_equal, value, _equal(value))


def repeat_output(variables: Sequence, source: Sequence) -> None:
    """Assigns to heads' variables the output of others, once for each of their outputs.

    If the others' outputs are not equal, it is their mean.

    Args:
        variables: Sequence of variables `(..., outputs)`.
        source: Sequence of tensors or variables `(..., other number of outputs)`.
    """
    for variable, value in zip(variables, source, strict=True):
        one: Any = _equal_or_mean(tf.convert_to_tensor(value))[..., :1]
        variable.assign(tf.repeat(one, variable.shape[-1], axis=-1))
