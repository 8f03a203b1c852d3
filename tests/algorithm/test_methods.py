"""The three methods as one model: what they share, and what each passes on."""

import functools

import keras
import numpy as np
import pytest
from helpers import (
    differences,
    scalar_episode,
    scalar_model,
    small_batches,
    small_episodes,
    small_linear,
    small_model,
    train_on_batches,
    weight,
)

from keras_reptile.algorithm.methods import METHODS
from keras_reptile.recipes import building, named


def method_model(method, **arguments):
    """Inner Adam with an epsilon large enough to be derived from moments of zero."""
    inner = keras.optimizers.Adam(0.01, beta_1=0.0, epsilon=1e-4)
    return small_model(small_linear(), inner_optimizer=inner, method=method, **arguments)


def trained(method, steps=2, tail_shots=None, run_eagerly=False, **arguments):
    model = method_model(method, **arguments)
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=run_eagerly)
    return train_on_batches(model, steps, tail_shots=tail_shots)


@functools.cache
def in_float64(method, **arguments):
    """What `trained` gives in float64, once for all who only look at it."""
    assert keras.config.floatx() == "float64"
    return trained(method, **arguments)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "tail_shots"), [("reptile", None), ("fomaml", 2), ("maml", None), ("maml", 2)]
)
def test_eager_and_graph_train_alike(method, tail_shots, float64):
    graph = in_float64(method, **({"tail_shots": tail_shots} if tail_shots else {}))
    eager = trained(method, tail_shots=tail_shots, run_eagerly=True)
    assert differences(graph, eager) < 1e-8
    assert all(np.isfinite(v.numpy()).all() for v in graph.weights)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_to_learn(method):
    model = small_model(inner_optimizer=keras.optimizers.SGD(0.05), method=method)
    meta_step_size = {"reptile": 0.5, "fomaml": 2.0, "maml": 0.1}[method]
    model.compile(keras.optimizers.SGD(meta_step_size))
    history = model.fit(small_episodes(), steps_per_epoch=40, epochs=2, verbose=0).history
    assert list(history) == ["accuracy", "loss", "loss_after", "loss_before"]
    assert history["accuracy"][-1] > 0.7
    assert history["loss_after"][-1] < history["loss_after"][0]


@pytest.mark.slow
def test_all_methods_report_and_carry_the_same_after_one_meta_iteration(float64):
    (element,) = small_batches(1, tail_shots=2)
    logs, carried = [], []
    for method in METHODS:
        model = method_model(method)
        logs.append(model.train_on_batch(element, return_dict=True))
        carried.append([v.numpy() for v in model.inner_variables])
    for other, state in zip(logs[1:], carried[1:], strict=True):
        assert other == pytest.approx(logs[0], rel=1e-9)
        for a, b in zip(state, carried[0], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-14)
    # All k steps count, the last on the tail too.
    assert int(carried[0][0]) == 3


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_serial_tasks_with_nothing_carried_are_the_parallel_ones(method, float64):
    serial = trained(method, task_order="serial", inner_state="reset")
    assert differences(in_float64(method, inner_state="reset"), serial) < 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_carried_moments_change_what_the_next_task_does(method, float64):
    carried, serial = in_float64(method), trained(method, task_order="serial")
    assert differences(carried, serial) > 1e-6
    reset = in_float64(method, inner_state="reset")
    theta = [
        np.concatenate([np.ravel(w) for w in m.network.get_weights()]) for m in (carried, reset)
    ]
    assert np.abs(theta[0] - theta[1]).max() > 1e-6


@pytest.mark.slow
def test_saving_and_loading_keeps_the_method(tmp_path):
    method = "fomaml"
    model = trained(method)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.method == model.method == method
    assert differences(*(train_on_batches(m, 2, start=2) for m in (model, loaded))) == 0


def test_a_model_saved_before_there_were_methods_is_reptile():
    config = small_model().get_config()
    del config["method"]
    assert type(small_model()).from_config(config).method == "reptile"


@pytest.mark.slow
def test_evaluation_is_the_same_whatever_the_method():
    (tests,) = small_batches(1, shots=2, seed=9, meta_batch_size=4)
    first, *others = (small_model(method=m).predict_on_batch(tests) for m in METHODS)
    for found in others:
        np.testing.assert_allclose(found, first, atol=1e-6)


@pytest.mark.slow
def test_evaluation_takes_the_step_on_the_tail_too():
    (apart,) = small_batches(1, tail_shots=2)
    # The tail as one more minibatch of an order: of the same size as the others.
    order = keras.ops.concatenate([apart["order"], apart["tail"][:, None]], axis=1)
    joined = {"support": apart["support"], "query": apart["query"], "order": order}
    model = small_model(small_linear())
    found, expected = (model.predict_on_batch(tasks) for tasks in (apart, joined))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*MAML's gradient")
@pytest.mark.parametrize("method", METHODS)
def test_under_xla_the_numbers_are_the_same(method):
    model = scalar_model(keras.optimizers.SGD(0.1), keras.optimizers.SGD(1.0), method=method)
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error", jit_compile=True)
    model.train_on_batch(scalar_episode([1.0, 3.0], steps=2))
    expected = {"reptile": 0.72, "fomaml": 0.32, "maml": 2.56}[method]
    assert weight(model) == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
def test_a_recipes_method_and_tail_reach_model_and_training_tasks_only():
    recipe = named.get("glyphs", method="fomaml", tail_shots=2)
    pools = building.load_pools(recipe, None)
    assert building.build_model(recipe, pools.train.image_shape).method == "fomaml"
    shared = named.get("glyphs")
    train = building.training_episodes(recipe, pools.train).element_spec
    # 5 ways, 10 training shots, of which 2 are kept apart; 5 steps of 10.
    assert train["tail"].shape[1:] == (10,)
    assert train["order"].shape[1:] == (4, 10)
    assert "tail" not in building.evaluation_episodes(recipe, pools.validation, 20).element_spec
    assert "tail" not in building.training_episodes(shared, pools.train).element_spec
