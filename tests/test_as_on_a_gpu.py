"""What is chosen for a GPU, run by XLA on a CPU: the numbers of a CPU's own choices."""

import keras
import numpy as np
import pytest
from helpers import differences, small_episodes, small_model

from keras_reptile.distribution import steps
from keras_reptile.methods import METHODS

WAYS = {
    "as one batch": {},
    "one by one": {"task_parallelism": "separate"},
    "in series": {"task_order": "serial", "inner_state": "reset"},
}


@pytest.fixture
def gpu(monkeypatch):
    """Switches to what is chosen where there is a GPU."""
    return lambda: monkeypatch.setattr(steps, "device_kinds", lambda: {"GPU"})


@pytest.mark.parametrize("way", WAYS)
def test_an_evaluation_finds_the_same(way, float64, gpu):
    episodes = small_episodes(meta_batch_size=5).take(2)
    model = small_model(**WAYS[way])
    expected = model.evaluate(episodes, return_dict=True, verbose=0)
    gpu()
    model.make_test_function(force=True)
    found = model.evaluate(episodes, return_dict=True, verbose=0)
    assert model.jit_compile
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("way", WAYS)
def test_predictions_are_the_same(way, float64, gpu):
    episodes = small_episodes(queries=2, meta_batch_size=5).take(2)
    model, other = small_model(**WAYS[way]), small_model(**WAYS[way])
    expected = model.predict(episodes, verbose=0)
    gpu()
    np.testing.assert_allclose(other.predict(episodes, verbose=0), expected, atol=1e-9)
    assert other.jit_compile and not model.jit_compile


@pytest.mark.parametrize("told", ["auto", True, False])
def test_whole_steps_are_compiled_unless_told_otherwise(told, gpu):
    gpu()
    model = small_model()
    model.compile(keras.optimizers.SGD(0.5), jit_compile=told)
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    assert model.jit_compile == bool(told)


def test_mamls_training_is_not_compiled_and_its_evaluation_is(gpu):
    gpu()
    model = small_model(method="maml", task_parallelism="separate")
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    assert not model.jit_compile
    model.evaluate(small_episodes().take(1), verbose=0)
    assert model.jit_compile


@pytest.mark.filterwarnings("ignore:.*MAML's gradient")
@pytest.mark.parametrize("inner_steps", [1, 3])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_the_same(method, way, inner_steps, float64, gpu):
    inner = keras.optimizers.Adam(0.01, beta_1=0.0, epsilon=1e-4)
    episodes = small_episodes(inner_steps=inner_steps)

    def trained():
        model = small_model(inner_optimizer=inner, method=method, **WAYS[way])
        model.fit(episodes, steps_per_epoch=3, verbose=0)
        return model

    expected = trained()
    gpu()
    assert differences(trained(), expected) < 1e-9


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
