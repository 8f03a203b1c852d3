"""The figures that `fit` and `evaluate` show, gathered from the tasks' queries."""

import functools
import math
from typing import Any

import keras
import tensorflow as tf
from keras.src.trainers.compile_utils import CompileMetrics

from keras_reptile.algorithm import losses
from keras_reptile.metrics import accuracy, query_metrics
from keras_reptile.metrics.confidence import ConfidenceInterval


class Figures(CompileMetrics):
    """Metrics as the one container in which Keras's callbacks look up a metric's direction.

    Without it `EarlyStopping("val_accuracy")` would ask for a `mode`.
    """

    def __init__(self, metrics: list):
        keras.metrics.Metric.__init__(self, name="figures")
        self._held = metrics
        self.built = True

    @property
    def metrics(self) -> list:
        return self._held

    @property
    def variables(self) -> list:
        return [variable for metric in self._held for variable in metric.variables]

    def reset_state(self) -> None:
        for metric in self._held:
            metric.reset_state()

    def result(self) -> dict[str, Any]:
        return _results(self._held)


class Report:
    """Running means over tasks.

    `loss_before`: loss of the first minibatch at the initialization. `loss_after` and the query
    metrics: of the queries, at the adapted weights. `loss`, which Keras's callbacks look for, is
    `loss_after`, or `loss_before` where tasks have no queries. `confidence_95`: of the tasks'
    accuracies where there is an accuracy among the metrics, else of their losses, in evaluation
    only. Losses are per example, whatever the loss's reduction.

    Args:
        loss: The tasks' loss, from `losses.get_loss`.
        metrics: List of metric identifiers, or `None`.
    """

    def __init__(self, loss: Any, metrics: Any):
        self.loss = loss
        self.monitored = keras.metrics.Mean(name="loss")
        self.loss_before = keras.metrics.Mean(name="loss_before")
        self.loss_after = keras.metrics.Mean(name="loss_after")
        self.query_metrics = query_metrics.get_metrics(metrics, loss)
        self.accuracy = query_metrics.accuracy_among(self.query_metrics)
        self.confidence = ConfidenceInterval()
        of_losses = [self.monitored, self.loss_before, self.loss_after]
        for metric in (*of_losses, self.confidence):
            metric._direction = "down"
        self.figures = Figures([*of_losses, *self.query_metrics, self.confidence])

    def before(
        self,
        first_loss: tf.Tensor,
        inner_batch_size: int,
        real: Any = None,
        monitored: bool = False,
    ) -> dict:
        """Takes the first minibatches' losses `(tasks,)`.

        Args:
            first_loss, inner_batch_size: Those of the tasks; without a minibatch, 0, there is no
                loss, which is so reported as NaN.
            real: Integer tensor `(tasks,)`, 0 for tasks that do not count. Defaults to `None`,
                all count.
            monitored: Boolean, whether these are the values of `loss`. Defaults to `False`.
        """
        value = losses.mean_of(self.loss, first_loss, inner_batch_size)
        if isinstance(inner_batch_size, int) and inner_batch_size == 0:
            value = tf.fill(tf.shape(first_loss), math.nan)
        shown = [self.loss_before, *([self.monitored] if monitored else [])]
        for metric in shown:
            metric.update_state(value, sample_weight=real)
        return _results(shown)

    def after(self, y: tf.Tensor, predictions: tf.Tensor, real: Any = None) -> dict:
        """Takes the targets `(tasks, queries, ...)` and predictions of the queries."""
        weights = {} if real is None else {"sample_weight": tf.repeat(real, tf.shape(y)[1])}
        y, predictions = (tf.reshape(t, (-1, *t.shape[2:])) for t in (y, predictions))
        values = losses.example_losses(self.loss, y, predictions)
        for metric in (self.monitored, self.loss_after):
            metric.update_state(values, **weights)
        for metric in self.query_metrics:
            accuracy.update(metric, y, predictions, **weights)
        return _results([self.monitored, self.loss_after, *self.query_metrics])

    def interval(self, y: tf.Tensor, predictions: tf.Tensor, real: Any = None) -> dict:
        """Takes what `after` takes."""
        of_task = functools.partial(losses.task_losses, self.loss)
        if self.accuracy is not None:
            of_task = functools.partial(accuracy.task_accuracies, self.accuracy)
        self.confidence.update_state(of_task(y, predictions), sample_weight=real)
        return _results([self.confidence])


def _results(metrics) -> dict[str, Any]:
    return {metric.name: metric.result() for metric in metrics}
