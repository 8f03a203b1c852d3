"""Runs of networks that have no weights before they are called."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import draw_no_pictures, final_state, image_pool

from keras_reptile.distribution import Workers
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.networks import glorot_uniform
from keras_reptile.recipes import building, named
from keras_reptile.runs.evaluating import evaluate_run
from keras_reptile.runs.other_ways import ModelOfTasks
from keras_reptile.runs.training import train

SMALL = dict(
    image_size=12,
    ways=3,
    train_shots=2,
    meta_iterations=2,
    meta_batch_size=1,
    checkpoint_every=1,
    inner_steps=1,
    eval_inner_steps=1,
    validation_tasks=2,
    test_tasks=2,
)
# Adam has a state, inside and outside.
SEPARATE = named.get("glyphs", meta_optimizer="adam", **SMALL)
SHARED = named.get("glyphs", head="shared", train_ways=4, **SMALL)


@keras.saving.register_keras_serializable(package="tests")
class BuiltLater(keras.Model):
    def __init__(self, outputs, seed, **kwargs):
        super().__init__(**kwargs)
        self.given = {"outputs": outputs, "seed": seed}
        kernel = next(glorot_uniform(seed))
        self.flatten = keras.layers.Flatten()
        self.head = keras.layers.Dense(outputs, kernel_initializer=kernel)

    def call(self, x):
        return self.head(self.flatten(x))

    def get_config(self):
        return {**super().get_config(), **self.given}


def subclassed(recipe, image_shape):
    return BuiltLater(recipe.ways_in_training, recipe.seed)


def without_input(recipe, image_shape):
    kernel = next(glorot_uniform(recipe.seed))
    head = keras.layers.Dense(recipe.ways_in_training, kernel_initializer=kernel)
    return keras.Sequential([keras.layers.Flatten(), head])


UNBUILT = [(subclassed, SEPARATE), (without_input, SEPARATE), (without_input, SHARED)]
with_each_network = pytest.mark.parametrize(("network", "recipe"), UNBUILT)


@pytest.fixture(autouse=True)
def small_data(monkeypatch):
    pools = Pools(*image_pool(classes=15, size=12).split(5, 5, 5))
    monkeypatch.setattr(building, "load_pools", lambda *arguments: pools)
    draw_no_pictures(monkeypatch)


def one_device(is_distributed):
    return tf.distribute.OneDeviceStrategy("CPU:0") if is_distributed else None


def made(recipe, saved, strategy):
    pool = building.load_pools(recipe, None).train
    spec = building.training_episodes(recipe, pool).element_spec
    return building.on_strategy(recipe, spec, saved, strategy, Workers(strategy))


@with_each_network
@pytest.mark.parametrize("is_distributed", [False, True])
def test_a_new_model_has_its_weights_and_those_of_its_optimizer(
    network, recipe, is_distributed, monkeypatch
):
    monkeypatch.setattr(building, "build_network", network)
    model = made(recipe, None, one_device(is_distributed))
    ways = recipe.ways_in_training
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    assert shapes == [(144, ways), (ways,)]
    assert model.optimizer.built and model.inner_variables
    of_tasks = ModelOfTasks(recipe, "auto").of(model)
    assert of_tasks.network(np.zeros((1, 12, 12, 1))).shape == (1, 3)


@with_each_network
def test_a_model_on_a_strategy_has_the_state_of_its_checkpoint(network, recipe, monkeypatch):
    monkeypatch.setattr(building, "build_network", network)
    saved = made(recipe, None, None)
    for variable in building._state_variables(saved):
        variable.assign(tf.ones_like(variable))
    model = made(recipe, saved, one_device(True))
    assert model.has_strategy and model.meta_iteration == saved.meta_iteration == 2
    assert all(np.all(np.asarray(value) == 1) for value in model.get_weights())


@pytest.mark.slow
@pytest.mark.parametrize(("network", "recipe"), [UNBUILT[0], UNBUILT[2]])
def test_a_run_on_a_strategy_is_resumed_and_evaluated_and_has_the_weights_of_one_without(
    network, recipe, monkeypatch, tmp_path
):
    monkeypatch.setattr(building, "build_network", network)
    strategy, path = one_device(True), tmp_path / "run"
    train(recipe, tmp_path / "without", verbose=0)
    result = train(recipe, path, verbose=0, strategy=strategy)["result"]
    assert_close(final_state(path), final_state(tmp_path / "without"))
    (path / "checkpoints" / "iteration-000000002.keras").unlink()
    train(recipe, path, verbose=0, strategy=strategy)
    assert_close(final_state(path), final_state(tmp_path / "without"))
    (found,) = evaluate_run(path, tasks=2, verbose=0, strategy=strategy)
    assert found["accuracy"] == pytest.approx(result["accuracy"])


def assert_close(state, expected):
    for value, other in zip(state, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-6)
