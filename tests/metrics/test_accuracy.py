"""Accuracies of examples and of tasks; a prediction that is no number is never right."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_reptile.metrics.accuracy import (
    BinaryAccuracyOfLogits,
    are_numbers,
    is_accuracy,
    matches,
    task_accuracies,
    tasks_with_numbers,
    update,
)

NAN, INF = float("nan"), float("inf")
CLASSES = [[2.0, 1.0], [0.0, NAN], [1.0, 3.0], [INF, 0.0]]
ONE_HOT = np.eye(2, dtype=np.float32)
# Targets that Keras's metric calls right for each of four predictions, NaN and infinity included.
CASES = {
    "sparse": (keras.metrics.SparseCategoricalAccuracy, [0, 0, 1, 0], CLASSES),
    "one-hot": (keras.metrics.CategoricalAccuracy, ONE_HOT[[0, 0, 1, 0]], CLASSES),
    "binary": (keras.metrics.BinaryAccuracy, [[1], [0], [0], [1]], [[0.9], [NAN], [0.1], [INF]]),
    "logits": (BinaryAccuracyOfLogits, [[1], [0], [0], [1]], [[0.4], [NAN], [-0.1], [INF]]),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("jit_compile", [None, False, True], ids=["eager", "graph", "XLA"])
def test_what_is_no_number_is_never_right(case, jit_compile):
    make, y, predictions = CASES[case]
    metric = make()
    run = lambda *arguments: matches(metric, *arguments)  # noqa: E731
    if jit_compile is not None:
        run = tf.function(run, jit_compile=jit_compile, autograph=False)
    found = run(tf.constant(y), tf.constant(predictions))
    assert np.ravel(found).tolist() == [1.0, 0.0, 1.0, 0.0]
    update(metric, tf.constant(y), tf.constant(predictions))
    assert float(metric.result()) == 0.5


@pytest.mark.parametrize("case", CASES)
def test_numbers_count_as_keras_counts_them(case):
    make, y, predictions = CASES[case]
    y, predictions = tf.constant(y)[::2], tf.constant(predictions)[::2]
    wrong = 1 - y
    metric, keras_metric = make(), make()
    for targets in (y, wrong, y):
        update(metric, targets, predictions, sample_weight=[1, 0])
        keras_metric.update_state(targets, predictions, sample_weight=[1, 0])
    assert float(metric.result()) == float(keras_metric.result()) == pytest.approx(2 / 3)


def test_tasks_of_labels_for_every_place_have_the_share_that_numpy_finds():
    rs = np.random.RandomState(0)
    predictions, y = rs.randn(3, 4, 5, 2).astype(np.float32), rs.randint(0, 2, (3, 4, 5))
    # Whether the largest of NaN and a number is the first or the second, one of these is the label.
    predictions[1, 2, 2:4, 0], y[1, 2, 2:4] = np.nan, (0, 1)
    hits = (predictions.argmax(axis=-1) == y) & ~np.isnan(predictions).any(axis=-1)
    for targets in (y, y[..., None]):
        found = task_accuracies(
            keras.metrics.SparseCategoricalAccuracy(), tf.constant(targets), predictions
        )
        np.testing.assert_allclose(found, hits.mean(axis=(1, 2)), rtol=1e-6)


def test_a_class_that_is_ruled_out_leaves_a_number():
    outputs = tf.constant([[-INF, 1.0], [-INF, -INF], [INF, 1.0], [NAN, 1.0]])
    assert are_numbers(outputs).numpy().tolist() == [True, False, False, False]


def test_a_task_with_one_prediction_that_is_no_number_is_told_from_the_others():
    outputs = np.zeros((4, 3, 2), np.float32)
    outputs[1, 2, 0], outputs[3] = NAN, INF
    for each in (outputs, outputs[:, :, None]):
        assert tasks_with_numbers(tf.constant(each)).numpy().tolist() == [True, False, True, False]


def test_metrics_with_an_update_of_their_own_are_not_taken_for_accuracies():
    class Own(keras.metrics.BinaryAccuracy):
        def update_state(self, y_true, y_pred, sample_weight=None):
            super().update_state(y_true, 1 - y_pred)

    assert not is_accuracy(Own())
    assert not is_accuracy(keras.metrics.MeanAbsoluteError())
    own = Own()
    update(own, tf.constant([[1]]), tf.constant([[0.1]]))
    assert float(own.result()) == 1.0


def test_a_metric_without_weights_is_refused_where_tasks_are_weighted():
    class Own(keras.metrics.MeanSquaredError):
        def update_state(self, y_true, y_pred):
            return super().update_state(y_true, y_pred)

    own = Own(name="own")
    update(own, tf.constant([[1.0]]), tf.constant([[3.0]]))
    assert float(own.result()) == 4.0
    with pytest.raises(ValueError, match=r"the metric 'own', whose.*Add the argument `sample_w"):
        update(own, tf.constant([[1.0]]), tf.constant([[3.0]]), sample_weight=[0])
