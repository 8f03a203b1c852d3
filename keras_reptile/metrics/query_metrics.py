"""The query metrics, from what `compile` was given."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.losses import names_of

# The accuracy that fits a cross-entropy, and is shown by default.
CROSS_ENTROPIES = {
    "sparse_categorical_crossentropy": keras.metrics.SparseCategoricalAccuracy,
    "categorical_crossentropy": keras.metrics.CategoricalAccuracy,
    "categorical_focal_crossentropy": keras.metrics.CategoricalAccuracy,
    "binary_crossentropy": keras.metrics.BinaryAccuracy,
    "binary_focal_crossentropy": keras.metrics.BinaryAccuracy,
}
FITTING = CROSS_ENTROPIES | {
    "kl_divergence": keras.metrics.CategoricalAccuracy,
    "categorical_hinge": keras.metrics.CategoricalAccuracy,
}


def get_metrics(identifiers: Any, loss: Any) -> list:
    """Keras metrics from their identifiers; "accuracy" fits the loss.

    Raises:
        ValueError: If they are no list, Keras knows no such metric, or "accuracy" could mean
            several for this loss.
    """
    if identifiers is None:
        identifiers = ["accuracy"] if _first(loss, CROSS_ENTROPIES) else []
    if not isinstance(identifiers, (list, tuple)):
        raise ValueError(
            "`metrics` must be a flat list of metrics or their names. "
            f"Received: metrics={identifiers!r}."
        )
    return [_get_metric(identifier, loss) for identifier in identifiers]


def _get_metric(identifier: Any, loss: Any) -> keras.metrics.Metric:
    if identifier in ("accuracy", "acc"):
        return _accuracy(identifier, loss)
    metric = keras.metrics.get(identifier)
    if isinstance(metric, keras.metrics.Metric):
        return metric
    return keras.metrics.MeanMetricWrapper(metric, name=getattr(metric, "__name__", None))


def _accuracy(name: str, loss: Any) -> keras.metrics.Metric:
    fitting = _first(loss, FITTING)
    if fitting is None:
        named = next(filter(None, names_of(loss)), type(loss).__name__)
        raise ValueError(
            f"What {name!r} means depends on the loss, and is not known of {named!r}. Received: "
            f"metrics={[name]!r}. Name it: keras.metrics.SparseCategoricalAccuracy(), "
            "CategoricalAccuracy() or BinaryAccuracy()."
        )
    if fitting is keras.metrics.BinaryAccuracy and getattr(loss, "from_logits", False):
        return BinaryAccuracyOfLogits(name=name)
    return fitting(name=name)


def _first(loss, table: dict[str, Callable]) -> Callable | None:
    return next((table[name] for name in names_of(loss) if name in table), None)


class BinaryAccuracyOfLogits(keras.metrics.BinaryAccuracy):
    """Binary accuracy where outputs are logits: 0 is a probability of one half."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        super().update_state(y_true, tf.sigmoid(y_pred), sample_weight)
