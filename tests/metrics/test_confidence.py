"""The metric that gathers an interval batch by batch, against that of all values at once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_reptile.metrics.confidence import ConfidenceInterval, confidence_95


def values_around(mean, number=1000):
    return (mean + np.random.RandomState(0).randn(number)).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("mean", [0.0, 1000.0, -1e4])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_large_mean_costs_no_digits(mean, size):
    values, metric = values_around(mean), ConfidenceInterval()
    for start in range(0, len(values), size):
        metric.update_state(values[start : start + size])
    assert float(metric.result()) == pytest.approx(confidence_95(values), rel=1e-4)


def test_values_of_no_weight_do_not_count():
    metric = ConfidenceInterval()
    metric.update_state([5.0, 7.0], sample_weight=[0, 0])
    assert np.isnan(metric.result())
    metric.update_state([1.0, 50.0, 4.0], sample_weight=[1, 0, 1])
    assert float(metric.result()) == pytest.approx(confidence_95([1.0, 4.0]), rel=1e-6)


def test_fewer_than_two_values_have_no_interval():
    metric = ConfidenceInterval()
    assert np.isnan(metric.result())
    metric.update_state([3.0])
    assert np.isnan(metric.result())
    metric.update_state([3.0])
    assert float(metric.result()) == 0.0
    metric.reset_state()
    assert np.isnan(metric.result())


def test_in_float64_it_is_as_exact_as_all_at_once(float64):
    values, metric = values_around(1000.0).astype(np.float64), ConfidenceInterval()
    metric.update_state(values[:400])
    metric.update_state(values[400:])
    assert keras.backend.standardize_dtype(metric.result().dtype) == "float64"
    assert float(metric.result()) == pytest.approx(confidence_95(values), rel=1e-12)


def test_it_is_the_same_over_replicas(monkeypatch):
    """Three replicas whose variables are each its own, and then summed, as Keras sums them."""
    parts = np.split(values_around(1000.0, 999), 3)
    states = []
    monkeypatch.setattr("keras_reptile.distribution.replicas", lambda: 3)
    for replica, values in enumerate(parts):
        monkeypatch.setattr("keras_reptile.distribution.replica_index", lambda i=replica: i)
        metric = ConfidenceInterval()
        for batch in np.split(values, 37):
            metric.update_state(batch)
        states.append([v.numpy() for v in metric.variables])
    for variable, values in zip(metric.variables, zip(*states, strict=True), strict=True):
        variable.assign(tf.add_n(values))
    expected = confidence_95(np.concatenate(parts))
    assert float(metric.result()) == pytest.approx(expected, rel=1e-4)
