"""The metrics that `fit` and `evaluate` report, computed from the tasks' queries."""

import functools
import math
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm import losses
from keras_reptile.episodes.episode_format import (
    IS_REAL,
    first_minibatch_size,
    number_of_queries,
)
from keras_reptile.keras_internals import MetricsContainer, set_direction
from keras_reptile.metrics import accuracy, query_metrics
from keras_reptile.metrics.confidence import ConfidenceInterval


class AllMetrics(MetricsContainer):
    """All metrics of a model, as the container in which callbacks look up their direction."""

    def __init__(self, metrics: list):
        super().__init__("task_metrics", metrics)

    def reset_state(self) -> None:
        for metric in self.metrics:
            metric.reset_state()

    def result(self) -> dict[str, Any]:
        return _results(self.metrics)


class TaskMetrics:
    """Metrics as running means over tasks.

    * `loss_before` is the loss of the first minibatch at the initialization.
    * `loss_after` is the loss of the queries at the adapted weights.
    * The query metrics are computed from the queries' predictions at the adapted weights.
    * `loss` is the key that Keras's callbacks look for. It is `loss_after`; if tasks have no
      queries, it is `loss_before`.
    * `confidence_95` is computed in evaluation only, from the tasks' accuracies. If there is no
      accuracy among the metrics, it is computed from their losses.

    Losses are means over examples, whatever the loss's reduction.

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
            set_direction(metric, "down")
        _check_names(self.query_metrics, [m.name for m in (*of_losses, self.confidence)])
        self.container = AllMetrics([*of_losses, *self.query_metrics, self.confidence])

    def of_training(self, episodes: dict, first_loss: tf.Tensor, predictions: Any) -> dict:
        """Updates the metrics of `fit` by a meta-batch. Tasks may have no queries.

        Args:
            episodes: Dict of tensors, the meta-batch.
            first_loss: Tensor `(tasks,)`, the losses of the first minibatches.
            predictions: Tensor `(tasks, queries, ..., outputs)`; not used without queries.

        Returns:
            Dict, the updated metrics by name.
        """
        size, queries = first_minibatch_size(episodes), number_of_queries(episodes) != 0
        logs = self.before(first_loss, size, monitored=not queries)
        if queries:
            logs |= self.after(episodes["query"][1], predictions)
        return logs

    def of_evaluation(self, episodes: dict, first_loss: tf.Tensor, predictions: Any) -> dict:
        """Updates the metrics of `evaluate` by a meta-batch.

        Arguments and returns are those of `of_training`. Tasks that fill up a replica's share do
        not count.
        """
        y, is_real = episodes["query"][1], episodes.get(IS_REAL)
        return {
            **self.before(first_loss, first_minibatch_size(episodes), is_real),
            **self.after(y, predictions, is_real),
            **self.interval(y, predictions, is_real),
        }

    def before(
        self,
        first_loss: tf.Tensor,
        inner_batch_size: int,
        is_real: Any = None,
        monitored: bool = False,
    ) -> dict:
        """Updates `loss_before` with the losses of the tasks' first minibatches.

        Args:
            first_loss: Tensor `(tasks,)`.
            inner_batch_size: The number of examples in these minibatches. If it is 0, there is no
                loss, and the metric becomes NaN.
            is_real: Integer tensor `(tasks,)`, 0 for tasks that do not count. Defaults to `None`:
                all tasks count.
            monitored: Boolean, whether `loss` is updated with the same values. Defaults to `False`.

        Returns:
            Dict, the updated metrics by name.
        """
        value = losses.mean_of(self.loss, first_loss, inner_batch_size)
        if isinstance(inner_batch_size, int) and inner_batch_size == 0:
            value = tf.fill(tf.shape(first_loss), math.nan)
        metrics = [self.loss_before, *([self.monitored] if monitored else [])]
        for metric in metrics:
            metric.update_state(value, sample_weight=is_real)
        return _results(metrics)

    def after(self, y: tf.Tensor, predictions: tf.Tensor, is_real: Any = None) -> dict:
        """Updates the losses and metrics of the queries.

        Args:
            y: Targets `(tasks, queries, ...)`.
            predictions: Outputs `(tasks, queries, ..., outputs)`.
            is_real: See `before`.

        Returns:
            Dict, the updated metrics by name.
        """
        weights = {} if is_real is None else {"sample_weight": tf.repeat(is_real, tf.shape(y)[1])}
        values = losses.query_losses(self.loss, y, predictions)
        y, predictions = (tf.reshape(t, (-1, *t.shape[2:])) for t in (y, predictions))
        for metric in (self.monitored, self.loss_after):
            metric.update_state(values, **weights)
        for metric in self.query_metrics:
            accuracy.update(metric, y, predictions, **weights)
        return _results([self.monitored, self.loss_after, *self.query_metrics])

    def interval(self, y: tf.Tensor, predictions: tf.Tensor, is_real: Any = None) -> dict:
        """Updates `confidence_95`. The arguments are those of `after`."""
        of_task = functools.partial(losses.task_losses, self.loss)
        if self.accuracy is not None:
            of_task = functools.partial(accuracy.task_accuracies, self.accuracy)
        self.confidence.update_state(of_task(y, predictions), sample_weight=is_real)
        return _results([self.confidence])


def _check_names(metrics: list, taken: list[str]) -> None:
    """Raises `ValueError` for metrics that logs, which have one value for a name, cannot tell."""
    names = [metric.name for metric in metrics]
    if len({*names, *taken}) < len(names) + len(taken):
        raise ValueError(
            f"Each metric needs a name of its own, other than {', '.join(taken)}. Received: metrics"
            f" named {', '.join(names)}. Name them, as in `keras.metrics.AUC(name='area')`."
        )


def _results(metrics) -> dict[str, Any]:
    return {metric.name: metric.result() for metric in metrics}
