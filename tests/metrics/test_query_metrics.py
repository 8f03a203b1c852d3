"""Which accuracy "accuracy" is, by the loss, and its value by NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_reptile.metrics.query_metrics import get_metrics

LOGITS = np.random.RandomState(0).randn(40, 3).astype(np.float32)
CLASSES = np.arange(40) % 3
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]
RIGHT = (LOGITS.argmax(1) == CLASSES).mean()
BITS = (CLASSES > 0).astype(np.float32)[:, None]
L = keras.losses
BY_LOGITS = ((LOGITS[:, :1] > 0) == BITS).mean()
BY_HALF = ((LOGITS[:, :1] > 0.5) == BITS).mean()

CASES = {
    "labels": (L.SparseCategoricalCrossentropy(from_logits=True), CLASSES, LOGITS, RIGHT),
    "one-hot": (L.CategoricalCrossentropy(from_logits=True), ONE_HOT, LOGITS, RIGHT),
    "focal": (L.CategoricalFocalCrossentropy(from_logits=True), ONE_HOT, LOGITS, RIGHT),
    "hinge": (L.CategoricalHinge(), ONE_HOT, LOGITS, RIGHT),
    "divergence": (L.KLDivergence(), ONE_HOT, LOGITS, RIGHT),
    "bits": (L.BinaryCrossentropy(), BITS, LOGITS[:, :1], BY_HALF),
    "bits, a function": (L.binary_crossentropy, BITS, LOGITS[:, :1], BY_HALF),
    "bits by logits": (L.BinaryCrossentropy(from_logits=True), BITS, LOGITS[:, :1], BY_LOGITS),
    "focal bits": (L.BinaryFocalCrossentropy(from_logits=True), BITS, LOGITS[:, :1], BY_LOGITS),
}


@pytest.mark.parametrize("name", CASES)
def test_accuracy_fits_the_loss(name):
    loss, targets, outputs, expected = CASES[name]
    (metric,) = get_metrics(["accuracy"], loss)
    metric.update_state(targets, outputs)
    assert metric.name == "accuracy"
    assert float(metric.result()) == pytest.approx(expected)
    # By which `EarlyStopping("val_accuracy")` knows that more is better.
    assert metric._direction == "up"


def test_of_cross_entropies_it_is_shown_unasked():
    assert BY_LOGITS != BY_HALF
    shown = {name: [m.name for m in get_metrics(None, case[0])] for name, case in CASES.items()}
    assert [name for name in shown if not shown[name]] == ["hinge", "divergence"]


def of_ones_own(y_true, y_pred):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(y_true, y_pred)


@pytest.mark.parametrize(
    ("loss", "name"),
    [(of_ones_own, "of_ones_own"), (L.MeanSquaredError(), "mean_squared_error")],
)
def test_where_it_could_be_any_it_is_refused(loss, name):
    text = f"The loss '{name}' does not determine which accuracy 'accuracy' is. Received: metrics="
    with pytest.raises(ValueError, match=text):
        get_metrics(["accuracy"], loss)
    (metric,) = get_metrics([keras.metrics.SparseCategoricalAccuracy()], loss)
    metric.update_state(CLASSES, LOGITS)
    assert float(metric.result()) == pytest.approx(RIGHT)
