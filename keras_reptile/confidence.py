"""95 % confidence intervals over tasks."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

# The 97.5 % point of the normal distribution.
Z_95 = 1.959964


def confidence_95(values: Any) -> float:
    """Half the width of the 95 % confidence interval of a mean over tasks.

        1.96 * s / sqrt(n), with the sample standard deviation s

    Args:
        values: Array `(tasks,)`, one figure a task.

    Returns:
        Float; not a number for fewer than two tasks.

    Example:

    >>> round(confidence_95([0.0, 1.0, 1.0, 1.0]), 2)
    0.49
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return float("nan")
    return float(Z_95 * values.std(ddof=1) / np.sqrt(len(values)))


@keras.saving.register_keras_serializable(package="keras_reptile")
class ConfidenceInterval(keras.metrics.Metric):
    """`confidence_95` of the values seen since the last reset, as a Keras metric."""

    def __init__(self, name: str = "confidence_95", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        names = ("count", "total", "squares")
        self.count, self.total, self.squares = (
            self.add_variable((), "zeros", name=name) for name in names
        )

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values = tf.cast(values, self.dtype)
        weights = tf.ones_like(values) if sample_weight is None else sample_weight
        weights = tf.cast(weights, self.dtype)
        self.count.assign_add(tf.reduce_sum(weights))
        self.total.assign_add(tf.reduce_sum(weights * values))
        self.squares.assign_add(tf.reduce_sum(weights * tf.square(values)))

    def result(self) -> Any:
        n, total, squares = (
            tf.convert_to_tensor(v) for v in (self.count, self.total, self.squares)
        )
        variance = tf.maximum(squares - total * total / n, 0) / (n - 1)
        return Z_95 * tf.sqrt(variance / n)
