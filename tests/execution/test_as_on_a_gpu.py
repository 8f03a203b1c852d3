"""What is chosen for a GPU, run by XLA on a CPU: the numbers of a CPU's own choices."""

import functools
import warnings

import keras
import pytest
import tensorflow as tf
from helpers import (
    differences,
    small_convnet,
    small_dense,
    small_episodes,
    small_linear,
    small_model,
    train_on_batches,
)
from tensorflow.python.ops import control_flow_util

from keras_reptile.kernels import devices

pytestmark = pytest.mark.slow

WAYS = {
    "as one batch": {},
    "one by one": {"task_parallelism": "separate"},
    "in series": {"task_order": "serial", "inner_state": "reset"},
}
# One by one, convolutions have forms for XLA. As one batch they are in test_vectorized.py.
NETWORKS = {"as one batch": small_dense, "one by one": small_convnet, "in series": small_linear}


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
def evaluated(network, step):
    """What `evaluate` or `predict` gives in float64 on a CPU, where all ways are one."""
    assert keras.config.floatx() == "float64"
    return step_without_training(small_model(network()), step)


def step_without_training(model, step):
    episodes = small_episodes(queries=2, inner_steps=2, meta_batch_size=5).take(2)
    if step == "predict":
        return model.predict(episodes, verbose=0)
    return model.evaluate(episodes, return_dict=True, verbose=0)


# Evaluations compute no task in series. As one batch they are in test_evaluation_batch.py.
@pytest.mark.parametrize(
    ("way", "step"),
    [
        ("as one batch", "predict"),
        ("one by one", "evaluate"),
        ("in series", "predict"),
    ],
)
def test_evaluations_and_predictions_are_the_same(way, step, float64, gpu):
    expected = evaluated(NETWORKS[way], step)
    gpu()
    found = step_without_training(small_model(NETWORKS[way](), **WAYS[way]), step)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9 if step == "predict" else 1e-12)


def linear_model(**arguments):
    inner_optimizer = keras.optimizers.SGD(0.1)
    return small_model(small_linear(), inner_optimizer=inner_optimizer, **arguments)


class Traced(Exception):
    """Ends a step."""


def trace_all_steps(model):
    """What `compiled_steps` finds. A step ends after its record, so that XLA compiles nothing."""

    def end(data):
        raise Traced

    for name in ("train_step", "test_step", "predict_step"):
        setattr(model, name, end)
    found, episodes = compiled_steps(model), small_episodes(queries=2, inner_steps=1).take(1)
    for method in (model.fit, model.evaluate, model.predict):
        with pytest.raises(Traced):
            method(episodes, verbose=0)
    return found


@pytest.mark.parametrize("told", [{}, {"jit_compile": True}])
def test_whole_steps_are_compiled(told, gpu):
    gpu()
    model = linear_model()
    model.compile(keras.optimizers.SGD(0.5), **told)
    found = trace_all_steps(model)
    assert found == {"train_step": True, "test_step": True, "predict_step": True}


@pytest.mark.parametrize("told", [{"jit_compile": False}, {"run_eagerly": True}])
def test_whole_steps_are_not_compiled_if_told_so(told, gpu):
    gpu()
    model = linear_model()
    model.compile(keras.optimizers.SGD(0.5), **told)
    assert set(trace_all_steps(model).values()) == {False}


@pytest.mark.of_a_cpu
def test_on_a_cpu_and_under_a_strategy_steps_are_not_compiled_whole(gpu):
    assert set(trace_all_steps(linear_model()).values()) == {False}
    gpu()
    with tf.distribute.OneDeviceStrategy("cpu:0").scope():
        model = linear_model()
    assert set(trace_all_steps(model).values()) == {False}


def test_of_maml_all_but_the_training_is_compiled_whole(gpu):
    gpu()
    found = trace_all_steps(linear_model(method="maml", task_parallelism="separate"))
    assert found == {"train_step": False, "test_step": True, "predict_step": True}


def trained(network, method, inner_steps, **way):
    inner = keras.optimizers.Adam(0.01, beta_1=0.0, epsilon=1e-4)
    model = small_model(network(), inner_optimizer=inner, method=method, **way)
    return train_on_batches(model, 3, inner_steps=inner_steps)


# Each number of steps in every way and of every method.
@pytest.mark.filterwarnings("ignore:.*MAML's gradient")
@pytest.mark.parametrize(
    ("method", "way", "inner_steps"),
    [
        ("reptile", "as one batch", 1),
        ("reptile", "one by one", 3),
        ("fomaml", "as one batch", 3),
        ("fomaml", "in series", 1),
        ("maml", "one by one", 1),
        ("maml", "in series", 3),
    ],
)
def test_every_method_learns_the_same(method, way, inner_steps, float64, gpu):
    chosen = {k: v for k, v in WAYS[way].items() if k != "task_parallelism"}
    network = NETWORKS[way]
    expected = trained(network, method, inner_steps, **chosen)
    gpu()
    assert differences(trained(network, method, inner_steps, **WAYS[way]), expected) < 1e-9


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
        return train_on_batches(model, 1, inner_steps=2)

    expected = trained()
    gpu()
    with pytest.warns(UserWarning, match="MAML's gradient"):
        assert differences(trained(), expected) < 1e-5


def test_maml_that_is_told_to_be_compiled_says_that_it_is_not(gpu):
    gpu()
    model = linear_model(method="maml", task_parallelism="separate")
    model.compile(keras.optimizers.SGD(0.5), jit_compile=True)
    with pytest.warns(UserWarning, match="Training is not compiled: XLA does not compile MAML's"):
        train_on_batches(model, 1)


@pytest.mark.parametrize("way", ["as one batch", "one by one"])
def test_a_layer_that_xla_does_not_compile_is_computed_without_it(gpu, way):
    translation = keras.layers.RandomTranslation(0.1, 0.1, seed=1)

    def trained():
        network = keras.Sequential([keras.Input((8, 8, 1)), translation, *small_linear().layers])
        model = small_model(network, **WAYS[way])
        train_on_batches(model, 1)
        return model, model.evaluate(small_episodes(tasks=2), verbose=0)

    expected = trained()
    gpu()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = trained()
    assert differences(found[0], expected[0]) < 1e-5
    assert found[1] == pytest.approx(expected[1], abs=1e-5)
    told = [str(w.message) for w in caught if "XLA does not compile the layers" in str(w.message)]
    assert bool(told) == (way == "as one batch")
