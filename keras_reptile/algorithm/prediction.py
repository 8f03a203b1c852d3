"""Inductive and transductive prediction with adapted weights."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.known_layers import treats_examples_apart
from keras_reptile.algorithm.network_function import predict_call


def predict(
    network: keras.Model, weights: Sequence, support_x: Any, query_x: Any, transductive: bool
) -> tf.Tensor:
    """Outputs for the queries of one task, in the dtype of the weights.

    Batch statistics make a prediction depend on what else is in the batch; the two ways are the
    authors' two. Of a network that treats each example by itself they give the same, and all
    queries are one batch either way.

    Args:
        network: A built `keras.Model`.
        weights: Sequence of tensors, the adapted weights.
        support_x: Structure of tensors `(ways * shots, ...)`; not used if `transductive`.
        query_x: Structure of tensors `(queries, ...)`.
        transductive: Boolean. See `transductive_outputs` and `inductive_outputs`.

    Returns:
        Tensor `(queries, outputs)`. NaN if a weight is not finite.
    """
    if transductive or treats_examples_apart(network):
        outputs = transductive_outputs(network, weights, query_x)
    else:
        outputs = inductive_outputs(network, weights, support_x, query_x)
    return numbers_of(weights, tf.cast(outputs, weights[0].dtype))


def numbers_of(weights: Sequence, outputs: tf.Tensor) -> tf.Tensor:
    """The outputs if all weights are finite, else NaN.

    A network does not tell by itself: normalization and ReLU in one, as oneDNN computes them on a
    CPU, make 0 of NaN.

    Example:

    >>> numbers_of([tf.constant([1.0, float("inf")])], tf.constant([0.5])).numpy()
    array([nan], dtype=float32)
    """
    return tf.where(all_finite(weights), outputs, tf.constant(float("nan"), outputs.dtype))


def all_finite(tensors: Sequence) -> tf.Tensor:
    """Whether all values of all tensors are finite, a boolean scalar."""
    each = [tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(t))) for t in tensors]
    return tf.reduce_all(tf.stack(each))


def transductive_outputs(network: keras.Model, weights: Sequence, query_x: Any) -> tf.Tensor:
    """All queries in one batch by themselves."""
    return predict_call(network, weights, query_x)


def inductive_outputs(
    network: keras.Model, weights: Sequence, support_x: Any, query_x: Any
) -> tf.Tensor:
    """Each query in a batch with the whole support set, so that none sees another."""

    def output_of(query):
        return inductive_output(network, weights, support_x, query)

    signature = tf.TensorSpec(None, weights[0].dtype)
    return tf.map_fn(output_of, query_x, fn_output_signature=signature)


def inductive_output(
    network: keras.Model, weights: Sequence, support_x: Any, query: Any
) -> tf.Tensor:
    """One query, with no batch axis, in a batch with the whole support set: `(outputs,)`."""
    joined = tf.nest.map_structure(lambda s, q: tf.concat([s, q[None]], 0), support_x, query)
    return tf.cast(predict_call(network, weights, joined)[-1], weights[0].dtype)
