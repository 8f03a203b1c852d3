import keras
import numpy as np
import pytest
from helpers import scalar_model, small_convnet, small_episodes, small_model

import keras_reptile as kr
from keras_reptile.confidence import ConfidenceInterval, confidence_95
from keras_reptile.prediction import predict

RS = np.random.RandomState(0)
SUPPORT, QUERY = (RS.rand(n, 8, 8, 1).astype(np.float32) for n in (6, 4))


def batch_outputs(network, x):
    """What the network gives for a batch by the batch's own statistics, from Keras's own layers."""
    outputs, _ = network.stateless_call(
        network.trainable_variables, network.non_trainable_variables, x, training=True
    )
    return outputs.numpy()


def test_transductive_prediction_takes_all_queries_in_one_batch():
    network = small_convnet()
    found = predict(network, network.trainable_variables, SUPPORT, QUERY, transductive=True)
    np.testing.assert_allclose(found, batch_outputs(network, QUERY), atol=1e-5)


def test_inductive_prediction_takes_each_query_with_the_whole_support_set():
    network = small_convnet()
    found = predict(network, network.trainable_variables, SUPPORT, QUERY, transductive=False)
    for i, query in enumerate(QUERY):
        batch = np.concatenate([SUPPORT, query[None]])
        np.testing.assert_allclose(found[i], batch_outputs(network, batch)[-1], atol=1e-5)


def test_an_inductive_prediction_does_not_see_the_other_queries():
    network, others = small_convnet(), QUERY[::-1].copy()
    others[3] = QUERY[0]
    first = predict(network, network.trainable_variables, SUPPORT, QUERY, transductive=False)
    second = predict(network, network.trainable_variables, SUPPORT, others, transductive=False)
    np.testing.assert_allclose(first[0], second[3], atol=1e-6)


def test_the_interval_is_that_of_the_textbook():
    # Mean 0.6, sample variance 0.16 / 4 * ... by hand: deviations 0.4, -0.6, 0.4, -0.2, 0.
    values = [1.0, 0.0, 1.0, 0.4, 0.6]
    variance = (0.16 + 0.36 + 0.16 + 0.04 + 0.0) / 4
    assert confidence_95(values) == pytest.approx(1.959964 * np.sqrt(variance / 5), abs=1e-6)
    metric = ConfidenceInterval()
    for part in (values[:2], values[2:]):
        metric.update_state(part)
    assert float(metric.result()) == pytest.approx(confidence_95(values), abs=1e-6)
    assert np.isnan(confidence_95([0.5]))


def test_evaluate_gives_each_tasks_accuracy_whatever_the_batching():
    model = small_model()
    model.fit(small_episodes(), steps_per_epoch=10, verbose=0)
    results = [
        kr.evaluate(model, small_episodes(meta_batch_size=size, tasks=7, seed=4), verbose=0)
        for size in (1, 3, 7)
    ]
    for result in results:
        np.testing.assert_array_equal(result.accuracies, results[0].accuracies)
        assert result.accuracy == result.accuracies.mean()
        assert result.confidence_95 == confidence_95(result.accuracies)


def test_evaluate_agrees_with_keras_evaluate_in_both_modes():
    for transductive in (False, True):
        model = small_model(transductive=transductive)
        model.fit(small_episodes(), steps_per_epoch=5, verbose=0)
        tests = small_episodes(tasks=8, seed=4)
        logs = model.evaluate(tests, verbose=0, return_dict=True)
        result = kr.evaluate(model, tests, verbose=0)
        assert logs["accuracy"] == pytest.approx(result.accuracy, abs=1e-6)
        assert logs["confidence_95"] == pytest.approx(result.confidence_95, abs=1e-5)
        told = kr.evaluate(model, tests, transductive=transductive, verbose=0)
        np.testing.assert_array_equal(told.accuracies, result.accuracies)


def test_the_progress_bar_tells_the_accuracy(capsys):
    kr.evaluate(small_model(), small_episodes(tasks=4), verbose=1)
    assert "accuracy: 0." in capsys.readouterr().out


def test_what_cannot_be_evaluated_is_refused():
    with pytest.raises(ValueError, match=r"Received an endless dataset. Build it with `episode"):
        kr.evaluate(small_model(), small_episodes())
    regression = scalar_model(keras.optimizers.SGD(0.1), keras.optimizers.SGD(1.0))
    with pytest.raises(ValueError, match=r"Accuracy needs integer labels.*Use `model.evaluate`"):
        kr.evaluate(regression, small_episodes(tasks=2))
