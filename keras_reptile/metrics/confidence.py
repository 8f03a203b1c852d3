"""95 % confidence intervals over tasks."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.metrics import student_t


def confidence_95(values: Any) -> float:
    """Half the width of the 95 % confidence interval of a mean over tasks.

        t * s / sqrt(n)

    with the sample standard deviation s, and the 97.5 % point t of Student's distribution with
    n - 1 degrees of freedom: 2.26 for 10 tasks, 1.96 for 1,000.

    Args:
        values: Array `(tasks,)`, one figure a task.

    Returns:
        Float; not a number for fewer than two tasks, or if a figure is none.

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
    """Half the width of the 95 % interval that another choice of the test classes would span.

    The mean over all tasks of `ways` among n classes is a U-statistic (Hoeffding 1948), whose
    deviation over choices of the classes is, to leading order,

        ways * (n - 1) / (n - ways) * sqrt(zeta_1 / n),
        zeta_1 = Var_c E[accuracy | class c is in the task]

    where the middle factor is the jackknife's, for the few classes there are. `confidence_95`
    narrows with the number of tasks; this does not, as the classes stay the same. From the variance
    between classes that of a mean over few tasks is taken off.

    Args:
        values: Array `(tasks,)`, one figure a task.
        classes: Integer array `(tasks, ways)`, the classes of each task, any numbers.

    Returns:
        Float; not a number if there are no more classes than ways, or one has but one task.

    Example:

    >>> confidence_95_over_classes([0.5] * 6, [[0, 1], [1, 2], [0, 2]] * 2)  # all alike
    0.0

    Reference: [Hoeffding, 1948](https://doi.org/10.1214/aoms/1177730196).
    """
    values, classes = np.asarray(values, np.float64), np.asarray(classes)
    of_class = [values[(classes == c).any(axis=1)] for c in np.unique(classes)]
    n, ways = len(of_class), classes.shape[1]
    if n <= ways or min(map(len, of_class)) < 2:
        return float("nan")
    between = np.var([own.mean() for own in of_class], ddof=1)
    noise = np.mean([own.var(ddof=1) / len(own) for own in of_class])
    zeta_1 = max(between - noise, 0.0)
    return float(student_t.quantile(n - 1) * ways * (n - 1) / (n - ways) * np.sqrt(zeta_1 / n))


@keras.saving.register_keras_serializable(package="keras_reptile")
class ConfidenceInterval(keras.metrics.Metric):
    """`confidence_95` of the values seen since the last reset, as a Keras metric.

    Counts, means and squared deviations from these means, merged as by Chan, Golub and LeVeque
    (1979): sums of squares would cancel in float32. Each replica has a place of its own in them, so
    that Keras's sum over replicas has them all side by side.
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
        # In the places of the other replicas there are zeros, here.
        earlier = [tf.reduce_sum(v) for v in self._state()]
        seen = [tf.stack(pair) for pair in zip(earlier, (added, mean, squares), strict=True)]
        place = tf.one_hot(distribution.replica_index(), distribution.replicas(), dtype=self.dtype)
        count, mean, squares = merged(*seen)
        self.count.assign(place * count)
        self.mean.assign(place * mean)
        self.squares.assign(place * squares)

    def result(self) -> Any:
        n, _, squares = merged(*self._state())
        return _quantile(n - 1) * tf.sqrt(squares / (n - 1) / n)

    def _state(self) -> list[tf.Tensor]:
        return [tf.convert_to_tensor(v) for v in (self.count, self.mean, self.squares)]


def _quantile(freedom: tf.Tensor) -> tf.Tensor:
    """`student_t.quantile` in a graph; any number below one degree of freedom."""
    solved = tf.constant(student_t.TABLE, freedom.dtype)
    place = tf.clip_by_value(tf.cast(freedom, tf.int32) - 1, 0, student_t.SOLVED - 1)
    series = student_t.series(tf.maximum(freedom, 1))
    return tf.where(freedom > student_t.SOLVED, series, tf.gather(solved, place))


def merged(counts: tf.Tensor, means: tf.Tensor, squares: tf.Tensor) -> tuple:
    """Count, mean and squared deviations from it of several parts together.

    Example:

    >>> [float(v) for v in merged(np.array([1.0, 2.0]), np.array([3.0, 6.0]), np.array([0.0, 8.0]))]
    [3.0, 5.0, 14.0]
    """
    n, apart = tf.reduce_sum(counts), means - means[0]
    mean = tf.math.divide_no_nan(tf.reduce_sum(counts * apart), n)
    return n, means[0] + mean, tf.reduce_sum(squares + counts * tf.square(apart - mean))
