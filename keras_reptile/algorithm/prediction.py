"""Inductive and transductive prediction with adapted weights."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.known_layers import computes_examples_separately
from keras_reptile.algorithm.network_function import NetworkFunction


def predict(
    f: NetworkFunction, weights: Sequence, support_x: Any, query_x: Any, transductive: bool
) -> tf.Tensor:
    """Returns the outputs for the queries of one task, in the dtype of the weights.

    With batch statistics, a prediction depends on the other examples in its batch. The authors
    choose these in two ways, inductive and transductive. If the network computes each example
    separately, both results are the same, and all queries are one batch.

    Args:
        f: A `NetworkFunction`.
        weights: Sequence of tensors, the adapted weights.
        support_x: Structure of tensors `(ways * shots, ...)`; not used if `transductive`.
        query_x: Structure of tensors `(queries, ...)`.
        transductive: Boolean. See `transductive_outputs` and `inductive_outputs`.

    Returns:
        Tensor `(queries, outputs)`. NaN if a weight is not finite.
    """
    if transductive or computes_examples_separately(f.network):
        outputs = transductive_outputs(f, weights, query_x)
    else:
        outputs = inductive_outputs(f, weights, support_x, query_x)
    return nan_unless_finite(weights, tf.cast(outputs, weights[0].dtype))


def nan_unless_finite(weights: Sequence, outputs: tf.Tensor) -> tf.Tensor:
    """Returns the outputs if all weights are finite, else NaN.

    Outputs may be finite although weights are not: on a CPU, oneDNN's fused normalization and ReLU
    turns NaN into 0.

    Example:

    >>> nan_unless_finite([tf.constant([1.0, float("inf")])], tf.constant([0.5])).numpy()
    array([nan], dtype=float32)
    """
    return tf.where(all_finite(weights), outputs, tf.constant(float("nan"), outputs.dtype))


def all_finite(tensors: Sequence) -> tf.Tensor:
    """Returns whether all values of all tensors are finite, a boolean scalar."""
    # One reduction of all values, because on a GPU each reduction is a kernel launch.
    finite = [tf.reshape(tf.math.is_finite(tf.convert_to_tensor(t)), (-1,)) for t in tensors]
    return tf.reduce_all(tf.concat(finite, axis=0))


def transductive_outputs(f: NetworkFunction, weights: Sequence, query_x: Any) -> tf.Tensor:
    """Returns the outputs for all queries, predicted in one batch without the support set."""
    return f.predict(weights, query_x)


def inductive_outputs(
    f: NetworkFunction, weights: Sequence, support_x: Any, query_x: Any
) -> tf.Tensor:
    """Returns the outputs for each query, predicted in a batch with the whole support set."""

    def output_of(query):
        return inductive_output(f, weights, support_x, query)

    signature = tf.TensorSpec(None, weights[0].dtype)
    return tf.map_fn(output_of, query_x, fn_output_signature=signature)


def with_queries(support: tf.Tensor, queries: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """Returns one tensor of support and query inputs, which may differ in dtype.

    The result has the dtype to which both can be converted, as float64 for float32 and float64.

    Args:
        support, queries: Tensors.
        axis: Integer, along which they are joined. Defaults to `0`.
    """
    if support.dtype != queries.dtype:
        dtype = keras.backend.result_type(support.dtype.name, queries.dtype.name)
        support, queries = tf.cast(support, dtype), tf.cast(queries, dtype)
    return tf.concat([support, queries], axis)


def inductive_output(
    f: NetworkFunction, weights: Sequence, support_x: Any, query: Any
) -> tf.Tensor:
    """Returns the outputs `(outputs,)` for one query, which has no batch axis."""
    joined = tf.nest.map_structure(lambda s, q: with_queries(s, q[None]), support_x, query)
    return tf.cast(f.predict(weights, joined)[-1], weights[0].dtype)
