"""Evaluates which predictions are correct. NaN and infinity are never correct."""

from typing import Any

import keras
import tensorflow as tf

from keras_reptile.checks import takes_named
from keras_reptile.keras_internals import equal_values, function_of, set_direction

INFINITY = float("inf")


def binary_accuracy_of_logits(y_true: Any, y_pred: Any) -> Any:
    """Returns the binary accuracy of logits. A logit of 0 is a probability of one half."""
    return keras.metrics.binary_accuracy(y_true, tf.sigmoid(y_pred))


@keras.saving.register_keras_serializable(package="keras_reptile")
class BinaryAccuracyOfLogits(keras.metrics.MeanMetricWrapper):
    """`binary_accuracy_of_logits` as a Keras metric."""

    def __init__(self, name: str = "binary_accuracy", dtype: Any = None):
        super().__init__(binary_accuracy_of_logits, name, dtype)
        set_direction(self, "up")

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


# Functions of targets and outputs that return 1 for a correct output and 0 for a wrong one.
ACCURACIES = (
    equal_values,
    binary_accuracy_of_logits,
    keras.metrics.binary_accuracy,
    keras.metrics.categorical_accuracy,
    keras.metrics.sparse_categorical_accuracy,
)


def is_accuracy(metric: keras.metrics.Metric) -> bool:
    """Returns whether a metric is the share of correct examples.

    Example:

    >>> is_accuracy(keras.metrics.BinaryAccuracy()), is_accuracy(keras.metrics.AUC())
    (True, False)
    """
    wrapper = keras.metrics.MeanMetricWrapper
    plain = isinstance(metric, wrapper) and type(metric).update_state is wrapper.update_state
    return plain and function_of(metric)[0] in ACCURACIES


def are_numbers(predictions: tf.Tensor) -> tf.Tensor:
    """Returns whether all outputs of each example are numbers.

    NaN and infinity are not numbers. Negative infinity is the score of an impossible class: it is
    accepted if at least one other output of the example is a number.

    Args:
        predictions: Outputs `(..., outputs)`.

    Returns:
        Boolean tensor `(...)`.

    Example:

    >>> outputs = [[1.0, 2.0], [1.0, float("nan")], [float("inf"), 0.0], [-float("inf"), 0.0]]
    >>> are_numbers(tf.constant(outputs)).numpy()
    array([ True, False, False,  True])
    """
    all_below = tf.reduce_all(predictions < INFINITY, axis=-1)
    return all_below & tf.reduce_any(predictions > -INFINITY, axis=-1)


def tasks_with_numbers(predictions: tf.Tensor) -> tf.Tensor:
    """Returns whether all predictions of each task are numbers.

    Args:
        predictions: Outputs `(tasks, queries, ..., outputs)`.

    Returns:
        Boolean tensor `(tasks,)`.
    """
    of_examples = are_numbers(predictions)
    return tf.reduce_all(of_examples, axis=list(range(1, of_examples.shape.rank)))


def matches(metric: keras.metrics.Metric, y: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """Returns 1 where predictions are correct, and 0 where they are wrong or not numbers.

    Args:
        metric: An accuracy, see `is_accuracy`.
        y: Targets `(examples, ...)`.
        predictions: Outputs `(examples, ..., outputs)`.

    Returns:
        Float tensor. Its shape is that of the result of the metric's function.

    Example:

    >>> outputs = tf.constant([[2.0, 1.0], [float("nan")] * 2])
    >>> matches(keras.metrics.SparseCategoricalAccuracy(), tf.constant([0, 0]), outputs).numpy()
    array([1., 0.], dtype=float32)
    """
    function, options = function_of(metric)
    correct = function(y, predictions, **options)
    outputs = predictions if predictions.shape.rank > 1 else predictions[:, None]
    numbers = tf.cast(are_numbers(outputs), correct.dtype)
    if correct.shape.rank == outputs.shape.rank:
        return correct * numbers[..., None]
    return correct * tf.reshape(numbers, tf.shape(correct))


def update(metric: keras.metrics.Metric, y: Any, predictions: Any, **weights: Any) -> None:
    """Updates a metric with examples. An accuracy counts a prediction of NaN as wrong."""
    if is_accuracy(metric):
        keras.metrics.Mean.update_state(metric, matches(metric, y, predictions), **weights)
        return
    if weights and not takes_named(metric.update_state, "sample_weight"):
        raise ValueError(
            "On a GPU or TPU, or under a strategy, evaluations add copies of tasks, of weight 0. "
            f"Received: the metric {metric.name!r}, whose `update_state` takes no weights. Add the "
            "argument `sample_weight=None`, and count each example by it."
        )
    metric.update_state(y, predictions, **weights)


def task_accuracies(metric: Any, y: tf.Tensor, predictions: tf.Tensor) -> tf.Tensor:
    """Returns the share of each task's queries that are predicted correctly.

    Args:
        metric: An accuracy, see `is_accuracy`.
        y: Targets `(tasks, queries, ...)`.
        predictions: Outputs `(tasks, queries, ..., outputs)`.

    Returns:
        Float tensor `(tasks,)` in [0, 1].

    Example:

    >>> y, outputs = tf.constant([[0, 1]]), tf.constant([[[2.0, 0.0], [1.0, 0.0]]])
    >>> task_accuracies(keras.metrics.SparseCategoricalAccuracy(), y, outputs).numpy()
    array([0.5], dtype=float32)
    """
    tasks = tf.shape(predictions)[0]
    examples = (tf.reshape(t, (-1, *t.shape[2:])) for t in (y, predictions))
    return tf.reduce_mean(tf.reshape(matches(metric, *examples), (tasks, -1)), axis=1)
