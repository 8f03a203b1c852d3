"""95 % confidence intervals over tasks."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.metrics import student_t


def confidence_95(values: Any) -> float:
    """Returns half the width of the 95 % confidence interval of a mean over tasks.

        t * s / sqrt(n)

    Here s is the sample standard deviation, and t is the 97.5 % quantile of Student's distribution
    with n - 1 degrees of freedom: 2.26 for 10 tasks, 1.96 for 1,000 tasks.

    Args:
        values: Array `(tasks,)`, one value a task.

    Returns:
        Float. NaN for fewer than two tasks, or if a value is NaN or infinite.

    Example:

    >>> round(confidence_95([0.0, 1.0, 1.0, 1.0]), 2)
    0.8
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return float("nan")
    t = student_t.quantile(len(values) - 1)
    return float(t * values.std(ddof=1) / np.sqrt(len(values)))


def confidence_95_over_classes(values: Any, classes: Any) -> float:
    """Returns half the width of the 95 % confidence interval over choices of the test classes.

    The mean over all tasks of `ways` among n classes is a U-statistic (Hoeffding, 1948). To leading
    order, its standard deviation over choices of the n classes is

        ways * (n - 1) / (n - ways) * sqrt(zeta_1 / n),
        zeta_1 = Var_c E[accuracy | class c is in the task]

    The factor (n - 1) / (n - ways) is the jackknife's correction for a small n. zeta_1 is estimated
    by the variance between the means of classes, minus the variance that such a mean has because
    the number of tasks is finite.

    `confidence_95` narrows with the number of tasks. This interval does not, because more tasks
    bring no new classes.

    Args:
        values: Array `(tasks,)`, one value a task.
        classes: Integer array `(tasks, ways)`, the identifiers of each task's classes.

    Returns:
        Float. NaN if there are not more classes than ways, or if a class is in only one task.

    Example:

    >>> confidence_95_over_classes([0.5] * 6, [[0, 1], [1, 2], [0, 2]] * 2)  # equal values
    0.0

    Reference: [Hoeffding, 1948](https://doi.org/10.1214/aoms/1177730196).
    """
    values, classes = np.asarray(values, np.float64), np.asarray(classes)
    of_class = [values[(classes == c).any(axis=1)] for c in np.unique(classes)]
    n, ways = len(of_class), classes.shape[1]
    if n <= ways or min(map(len, of_class)) < 2:
        return float("nan")
    between = np.var([v.mean() for v in of_class], ddof=1)
    noise = np.mean([v.var(ddof=1) / len(v) for v in of_class])
    zeta_1 = max(between - noise, 0.0)
    return float(student_t.quantile(n - 1) * ways * (n - 1) / (n - ways) * np.sqrt(zeta_1 / n))


@keras.saving.register_keras_serializable(package="keras_reptile")
class ConfidenceInterval(keras.metrics.Metric):
    """`confidence_95` of the values since the last reset, as a Keras metric.

    The state is the count, the mean and the sum of squared deviations from that mean. Two states
    are merged by the formula of Chan, Golub and LeVeque (1979): the difference of sums of squares
    would cancel in float32. Each variable has one element for each replica, and a replica writes
    its own element only. So Keras's sum over replicas keeps the states apart.

    Args:
        name: String. Defaults to `"confidence_95"`.
        dtype: The dtype of the state. Defaults to `None`, the float type of Keras.
    """

    def __init__(self, name: str = "confidence_95", dtype: Any = None):
        super().__init__(name=name, dtype=dtype)
        names, shape = ("count", "mean", "squares"), (distribution.replicas(),)
        self.count, self.mean, self.squares = (
            self.add_variable(shape, "zeros", name=name) for name in names
        )

    def update_state(self, values: Any, sample_weight: Any = None) -> None:
        values = tf.cast(values, self.dtype)
        weights = tf.ones_like(values) if sample_weight is None else sample_weight
        weights = tf.cast(weights, self.dtype)
        added = tf.reduce_sum(weights)
        mean = tf.math.divide_no_nan(tf.reduce_sum(weights * values), added)
        squares = tf.reduce_sum(weights * tf.square(values - mean))
        # On this replica the elements of the other replicas are zeros: the sum is its own element.
        earlier = [tf.reduce_sum(v) for v in self._state()]
        parts = [tf.stack(pair) for pair in zip(earlier, (added, mean, squares), strict=True)]
        own = tf.one_hot(distribution.replica_index(), distribution.replicas(), dtype=self.dtype)
        count, mean, squares = merged(*parts)
        self.count.assign(own * count)
        self.mean.assign(own * mean)
        self.squares.assign(own * squares)

    def result(self) -> Any:
        n, _, squares = merged(*self._state())
        return _quantile(n - 1) * tf.sqrt(squares / (n - 1) / n)

    def _state(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(v) for v in (self.count, self.mean, self.squares)]


def _quantile(freedom: tf.Tensor) -> tf.Tensor:
    """Computes `student_t.quantile` in a graph. Below 1, the value is arbitrary."""
    table = tf.constant(student_t.TABLE, freedom.dtype)
    index = tf.clip_by_value(tf.cast(freedom, tf.int32) - 1, 0, student_t.TABLE_SIZE - 1)
    series = student_t.series(tf.maximum(freedom, 1))
    return tf.where(freedom > student_t.TABLE_SIZE, series, tf.gather(table, index))


def merged(counts: tf.Tensor, means: tf.Tensor, squares: tf.Tensor) -> tuple:
    """Merges the statistics of several parts into those of the whole.

    Args:
        counts: Float tensor `(parts,)`, the number of values in each part.
        means: Float tensor `(parts,)`.
        squares: Float tensor `(parts,)`, the sum of squared deviations from the part's mean.

    Returns:
        Tuple of the count, the mean and the sum of squared deviations of all values.

    Example:

    >>> [float(v) for v in merged(np.array([1.0, 2.0]), np.array([3.0, 6.0]), np.array([0.0, 8.0]))]
    [3.0, 5.0, 14.0]
    """
    n, shifted = tf.reduce_sum(counts), means - means[0]
    mean = tf.math.divide_no_nan(tf.reduce_sum(counts * shifted), n)
    return n, means[0] + mean, tf.reduce_sum(squares + counts * tf.square(shifted - mean))
