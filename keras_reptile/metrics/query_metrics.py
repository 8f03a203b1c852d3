"""The query metrics, made from the arguments of `compile`."""

from collections.abc import Callable
from typing import Any

import keras

from keras_reptile.algorithm.losses import names_of
from keras_reptile.metrics.accuracy import BinaryAccuracyOfLogits, is_accuracy

# The accuracy that fits each cross-entropy. It is the default metric for these losses.
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
    """Returns Keras metrics from their identifiers. "accuracy" is the one that fits the loss.

    Args:
        identifiers: List of Keras metrics, functions or names; or `None`, for the accuracy if the
            loss is a cross-entropy, and no metric otherwise.
        loss: The loss, from `losses.get_loss`.

    Raises:
        ValueError: If `identifiers` is not a list, Keras has no such metric, or the loss does not
            determine the accuracy.
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
    if not isinstance(metric, keras.metrics.Metric):
        name = getattr(metric, "__name__", None)
        metric = keras.metrics.MeanMetricWrapper(metric, name=name)
    if isinstance(identifier, str):
        # As in Keras, the key in the logs is the name that the user gave.
        metric.name = identifier
    return metric


def _accuracy(name: str, loss: Any) -> keras.metrics.Metric:
    fitting = _first(loss, FITTING)
    if fitting is None:
        loss_name = next(filter(None, names_of(loss)), type(loss).__name__)
        raise ValueError(
            f"The loss {loss_name!r} does not determine which accuracy {name!r} is. Received: "
            f"metrics={[name]!r}. Give keras.metrics.SparseCategoricalAccuracy(), "
            "CategoricalAccuracy() or BinaryAccuracy()."
        )
    return _of_outputs(fitting, loss)(name=name)


def _of_outputs(fitting: Callable, loss: Any) -> Callable:
    """Returns the accuracy for the kind of outputs that the loss takes: logits or probabilities."""
    logits = fitting is keras.metrics.BinaryAccuracy and getattr(loss, "from_logits", False)
    return BinaryAccuracyOfLogits if logits else fitting


def accuracy_among(metrics: list) -> Any:
    """Returns the first accuracy among metrics, or `None`."""
    return next((metric for metric in metrics if is_accuracy(metric)), None)


def accuracy_of(loss: Any) -> Any:
    """Returns the accuracy that fits a loss, or `None` if the loss does not determine it.

    Example:

    >>> accuracy_of(keras.losses.BinaryCrossentropy()).name
    'binary_accuracy'
    >>> accuracy_of(keras.losses.MeanSquaredError()) is None
    True
    """
    fitting = _first(loss, FITTING)
    return fitting and _of_outputs(fitting, loss)()


def _first(loss, table: dict[str, Callable]) -> Callable | None:
    return next((table[name] for name in names_of(loss) if name in table), None)
