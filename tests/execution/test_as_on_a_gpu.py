"""What is chosen for a GPU, run by XLA on a CPU: the numbers of a CPU's own choices."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import differences, small_episodes, small_model
from tensorflow.python.ops import control_flow_util

from keras_reptile.algorithm.methods import METHODS
from keras_reptile.kernels import devices

pytestmark = pytest.mark.slow

WAYS = {
    "as one batch": {},
    "one by one": {"task_parallelism": "separate"},
    "in series": {"task_order": "serial", "inner_state": "reset"},
}


@pytest.fixture
def gpu(monkeypatch):
    """Switches to what is chosen where there is a GPU."""
    return lambda: monkeypatch.setattr(devices, "device_kinds", lambda: {"GPU"})


def compiled_steps(model):
    """A dict that fills with whether XLA compiles each kind of step that is traced."""
    found = {}

    def recorded(name, step):
        def with_record(data):
            graph = tf.compat.v1.get_default_graph()
            found[name] = control_flow_util.GraphOrParentsInXlaContext(graph)
            return step(data)

        return with_record

    for name in ("train_step", "test_step", "predict_step"):
        setattr(model, name, recorded(name, getattr(model, name)))
    return found


@functools.cache
def evaluated():
    """What an evaluation and a prediction give in float64 on a CPU, where all ways are one."""
    assert keras.config.floatx() == "float64"
    return steps_without_training(small_model())


def steps_without_training(model):
    episodes = small_episodes(queries=2, meta_batch_size=5).take(2)
    logs = model.evaluate(episodes, return_dict=True, verbose=0)
    return logs, model.predict(episodes, verbose=0)


@pytest.mark.parametrize("way", WAYS)
def test_evaluations_and_predictions_are_the_same(way, float64, gpu):
    expected, expected_predictions = evaluated()
    gpu()
    found, predictions = steps_without_training(small_model(**WAYS[way]))
    assert found == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(predictions, expected_predictions, atol=1e-9)


def dense_model(**arguments):
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    return small_model(network, inner_optimizer=keras.optimizers.SGD(0.1), **arguments)


def run_all_steps(model):
    found, episodes = compiled_steps(model), small_episodes(queries=2, inner_steps=1).take(1)
    model.fit(episodes, verbose=0)
    model.evaluate(episodes, verbose=0)
    model.predict(episodes, verbose=0)
    return found


@pytest.mark.parametrize(
    ("told", "whole"),
    [
        ({}, True),
        ({"jit_compile": True}, True),
        ({"jit_compile": False}, False),
        ({"run_eagerly": True}, False),
    ],
)
def test_whole_steps_are_compiled_unless_told_otherwise(told, whole, gpu):
    gpu()
    model = dense_model()
    model.compile(keras.optimizers.SGD(0.5), **told)
    assert set(run_all_steps(model).values()) == {whole}


def test_on_a_cpu_and_under_a_strategy_steps_are_not_compiled_whole(gpu):
    assert set(run_all_steps(dense_model()).values()) == {False}
    gpu()
    with tf.distribute.OneDeviceStrategy("cpu:0").scope():
        model = dense_model()
    found = compiled_steps(model)
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    assert found == {"train_step": False}


def test_of_maml_all_but_the_training_is_compiled_whole(gpu):
    gpu()
    found = run_all_steps(dense_model(method="maml", task_parallelism="separate"))
    assert found == {"train_step": False, "test_step": True, "predict_step": True}


def trained(method, inner_steps, **way):
    inner = keras.optimizers.Adam(0.01, beta_1=0.0, epsilon=1e-4)
    model = small_model(inner_optimizer=inner, method=method, **way)
    model.fit(small_episodes(inner_steps=inner_steps), steps_per_epoch=3, verbose=0)
    return model


@functools.cache
def as_on_a_cpu(method, inner_steps, task_order="parallel", **way):
    """What `trained` gives in float64 on a CPU, where parallel tasks are computed in one way."""
    assert keras.config.floatx() == "float64"
    return trained(method, inner_steps, task_order=task_order, **way)


# Any two of the three in every combination.
@pytest.mark.filterwarnings("ignore:.*MAML's gradient")
@pytest.mark.parametrize(
    ("method", "way", "inner_steps"),
    [
        (method, way, (1, 3)[(row + column) % 2])
        for row, method in enumerate(METHODS)
        for column, way in enumerate(WAYS)
    ],
)
def test_every_method_learns_the_same(method, way, inner_steps, float64, gpu):
    chosen = {k: v for k, v in WAYS[way].items() if k != "task_parallelism"}
    expected = as_on_a_cpu(method, inner_steps, **chosen)
    gpu()
    assert differences(trained(method, inner_steps, **WAYS[way]), expected) < 1e-9


def test_maml_keeps_its_precision_through_max_pooling(gpu):
    # XLA's second derivative of max pooling has that of bfloat16.
    def trained():
        keras.utils.set_random_seed(0)
        layers = [
            keras.layers.Conv2D(32, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
        network = keras.Sequential([keras.Input((8, 8, 1)), *layers])
        model = small_model(network, inner_optimizer=keras.optimizers.SGD(0.5), method="maml")
        model.fit(small_episodes(inner_steps=2), steps_per_epoch=1, verbose=0)
        return model

    expected = trained()
    gpu()
    with pytest.warns(UserWarning, match="MAML's gradient"):
        assert differences(trained(), expected) < 1e-5


def test_maml_that_is_told_to_be_compiled_says_that_it_is_not(gpu):
    gpu()
    model = small_model(method="maml", task_parallelism="separate")
    model.compile(keras.optimizers.SGD(0.5), jit_compile=True)
    with pytest.warns(UserWarning, match="Training is not compiled: XLA does not compile MAML's"):
        model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
