"""XLA on a CPU: compiled tasks with the numbers of TensorFlow's own operations."""

import functools
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    differences,
    small_batches,
    small_convnet,
    small_dense,
    small_episodes,
    small_linear,
    small_model,
    train_on_batches,
)

import keras_reptile as kr
from keras_reptile.algorithm.adaptation import Adaptation
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.execution import compiled_tasks, meta_batch
from keras_reptile.execution.plan import EACH_TASK, NOTHING, Plan
from keras_reptile.execution.weight_vectors import layout_of
from keras_reptile.kernels import image_groups, patch_convolution
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs import compilation

LONG = 10**9


def dropout():
    return [keras.layers.Dropout(0.3, seed=1)]


def frozen():
    network = small_dense()
    network.layers[2].trainable = False
    return network


CASES = {
    "reptile, carried": {},
    "in series, frozen normalization": {"task_order": "serial", "network": frozen},
    "fomaml in series": {"method": "fomaml", "task_order": "serial", "network": small_linear},
}


def pair(network=small_convnet, **arguments):
    """The same model twice, without and with XLA."""
    models = []
    for jit_compile in (False, True):
        models.append(small_model(network(), **arguments))
        optimizer = keras.optimizers.SGD(0.5)
        models[-1].compile(optimizer, jit_compile=jit_compile)
    return models


def trained(model):
    return train_on_batches(model, 5, inner_steps=2)


@functools.cache
def both_trained(name):
    """A case without and with XLA, in float64, once for all who only look at it."""
    assert keras.config.floatx() == "float64"
    return [trained(model) for model in pair(**CASES[name])]


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_compiled_task_has_the_numbers_of_any_other(name, float64):
    assert differences(*both_trained(name)) < 1e-9


# Any two of steps, tail and method in every combination.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "tail_shots", "method", "inner_state"),
    [
        (2, 1, "reptile", "reset"),
        (3, 1, "fomaml", "reset"),
        (2, 2, "fomaml", "carried"),
        (3, 2, "reptile", "carried"),
    ],
)
def test_a_tail_is_the_last_step_of_a_compiled_task(
    steps, tail_shots, method, inner_state, float64
):
    # Of 3 ways, 2 shots are as many images as a minibatch has.
    chosen = dict(tail_shots=tail_shots, inner_steps=steps, inner_batch_size=6, meta_batch_size=3)
    models = pair(small_linear, method=method, inner_state=inner_state)
    assert differences(*(train_on_batches(model, 2, **chosen) for model in models)) < 1e-9


def trained_on_cores(number, model, monkeypatch):
    monkeypatch.setattr(compiled_tasks, "cores_for_tasks", lambda: number)
    return train_on_batches(model, 2, inner_steps=3, meta_batch_size=3)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "other"), [("reptile", 1), ("fomaml", 5)])
def test_neither_cores_nor_another_run_change_what_dropout_does(method, other, monkeypatch):
    # On two cores one of three tasks is cut in two.
    models = [pair(lambda: small_linear(dropout()), method=method)[1] for _ in range(2)]
    one, another = (
        trained_on_cores(cores, model, monkeypatch)
        for cores, model in zip((2, other), models, strict=True)
    )
    for a, b in zip(one.weights, another.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    # XLA's random numbers are others than TensorFlow's, so that nothing else tells whether it has
    # any.
    without, _ = pair(small_linear, method=method)
    trained_on_cores(2, without, monkeypatch)
    assert not np.allclose(one.network.get_weights()[0], without.network.get_weights()[0])


def test_small_last_steps_of_large_weights_are_not_lost_in_their_mean():
    # A mean of weights around 1 is rounded to 1e-7, as much as the steps here.
    model = small_model(method="fomaml", inner_state="reset")
    steps, one = np.float32([2, 3, 6]) * 2**-23, tf.ones((2,))
    tasks = [
        Adaptation((one + step,), InnerState(tf.constant(1), ()), tf.zeros(()), (one,))
        for step in steps
    ]
    plan = Plan.of(model._settings, {"CPU"})
    loop = model._inner_loop
    layout = layout_of([one], loop.optimizer)
    (gradient,) = compiled_tasks._outcome(loop, plan, layout, [one], tasks).gradient
    np.testing.assert_allclose(gradient, -np.mean(steps), rtol=1e-6)


@pytest.mark.of_a_cpu
@pytest.mark.slow
@pytest.mark.parametrize("name", ["reptile, carried", "fomaml in series"])
def test_many_tasks_and_images_in_groups_have_the_numbers_of_few(name, float64, monkeypatch):
    _, few = both_trained(name)
    in_groups = mock.Mock(side_effect=image_groups.in_groups)
    monkeypatch.setattr(patch_convolution, "in_groups", in_groups)
    # As if three of a minibatch's six images filled a cache.
    monkeypatch.setattr(patch_convolution, "group_size", lambda *_: 3)
    monkeypatch.setattr(compiled_tasks, "MAX_TASKS_PER_GRAPH", 1)
    many = trained(pair(**CASES[name])[1])
    assert in_groups.called == ("network" not in CASES[name])
    assert differences(few, many) < 1e-9


@pytest.mark.slow
def test_many_tasks_have_the_predictions_of_few(float64, monkeypatch):
    (tasks,), found = small_batches(1), []
    for most in (100, 1):
        monkeypatch.setattr(compiled_tasks, "MAX_TASKS_PER_GRAPH", most)
        found.append(pair(small_linear)[1].predict_on_batch(tasks))
    np.testing.assert_allclose(*found)


def change(model):
    """What some training changes in the trained weights, in one vector."""
    before = [w.numpy() for w in model.trainable_variables]
    train_on_batches(model, 3, inner_steps=2)
    after = [w.numpy() for w in model.trainable_variables]
    return np.concatenate([(a - b).ravel() for a, b in zip(after, before, strict=True)])


@functools.cache
def exact_change():
    return change(pair(inner_optimizer=keras.optimizers.SGD(0.1))[0])


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_compiled_task_in_half_precision_goes_where_float32_does(precision):
    # With SGD: Adam's first steps are a sign of the gradient, which may be that of rounding.
    inner, exact = keras.optimizers.SGD, exact_change()
    keras.config.set_dtype_policy(precision)
    try:
        plain, compiled = (change(model) for model in pair(inner_optimizer=inner(0.1)))
    finally:
        keras.config.set_dtype_policy("float32")
    for found in (plain, compiled):
        assert 0 < np.linalg.norm(found - exact) < 0.03 * np.linalg.norm(exact)


@pytest.mark.slow
def test_compiled_evaluation_has_the_accuracies_of_any_other():
    tasks = small_episodes(tasks=4)
    plain, compiled = (kr.evaluate_both(m, tasks, verbose=0) for m in pair(small_dense))
    for a, b in zip(plain, compiled, strict=True):
        np.testing.assert_array_equal(a.accuracies, b.accuracies)


@pytest.mark.slow
def test_mamls_training_is_not_compiled_and_says_so(float64):
    inner = keras.optimizers.SGD(0.05, momentum=0.5)
    models = pair(small_linear, method="maml", inner_optimizer=inner)
    train_on_batches(models[0], 2, inner_steps=2)
    with pytest.warns(UserWarning, match="not compiled: XLA does not compile MAML's gradient"):
        train_on_batches(models[1], 2, inner_steps=2)
    assert differences(*models) == 0


@pytest.mark.of_a_cpu
def test_a_compiled_task_reads_no_variable(monkeypatch):
    # A program of XLA locks the variables that it reads, and tasks would wait for each other.
    made, make = [], tf.function

    def remembered(*arguments, **options):
        made.append(make(*arguments, **options))
        return made[-1]

    _, model = pair(lambda: small_convnet(extra=dropout()))
    episodes = next(iter(small_episodes()))
    model.build()
    monkeypatch.setattr(meta_batch.tf, "function", remembered)
    make(model.train_step, autograph=False).get_concrete_function(episodes)
    steps_and_queries = made
    assert len(steps_and_queries) == 2
    for compiled in steps_and_queries:
        (concrete,) = compiled._list_all_concrete_functions()
        assert concrete.function_def.attr["_XlaMustCompile"].b
        assert all(t.dtype != tf.resource for t in concrete.captured_inputs)


@pytest.mark.of_a_cpu
def test_eagerly_nothing_is_compiled():
    model = pair()[1]
    assert model._plan(training=True, eagerly=False).compiled == EACH_TASK
    assert model._plan(training=True).compiled == NOTHING


@pytest.mark.parametrize(
    ("fields", "images", "expected"),
    [
        ({}, LONG, True),
        ({}, 250_000_000 // 28**2 + 1, True),
        ({}, 250_000_000 // 28**2, "auto"),
        ({"image_size": 56}, 250_000_000 // 56**2 + 1, True),
        ({"precision": "mixed_bfloat16"}, 25_000_000 // 28**2 + 1, True),
        ({"precision": "mixed_bfloat16"}, 25_000_000 // 28**2, "auto"),
        ({"precision": "mixed_float16"}, 25_000_000 // 28**2 + 1, True),
        ({"precision": "float64"}, LONG, "auto"),
        ({"method": "maml"}, LONG, "auto"),
        ({"network": "mini_imagenet_convnet"}, LONG, "auto"),
        ({"jit_compile": "true"}, 1, True),
        ({"jit_compile": "false"}, LONG, False),
    ],
)
def test_long_runs_of_a_network_that_gains_are_compiled(fields, images, expected):
    assert compilation.chosen(Recipe(**fields), images) == expected


@pytest.mark.parametrize(
    ("fields", "shared"),
    [
        ({}, False),
        ({"meta_batch_size": 3}, True),
        ({"meta_batch_size": 100}, False),
        ({"meta_batch_size": 101}, True),
        ({"task_order": "serial"}, True),
        ({"task_order": "serial", "inner_state": "reset"}, False),
    ],
)
def test_threads_share_idle_cores_where_tasks_do_not_each_keep_a_core(fields, shared, monkeypatch):
    monkeypatch.setattr(compilation, "usable_cores", lambda: 4)
    at_once = compilation.tasks_at_once(Recipe(**fields))
    assert compilation.threads(True, at_once) == {"jit_compile": True, "share_idle_cores": shared}
    assert not any(compilation.threads("auto", at_once).values())


def test_a_gpu_is_left_to_decide_for_itself(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    assert compilation.chosen(Recipe(), LONG) == "auto"


def test_what_counts_is_all_images_of_a_run():
    # 5 tasks of 5 steps of 10 images in a meta-iteration; 50 steps of 5 in a test task.
    least = 250_000_000 // 28**2 + 1
    for iterations, expected in ((-(-least // 250), True), (least // 250, "auto")):
        assert compilation.of_training(Recipe(meta_iterations=iterations)).jit_compile == expected
    assert compilation.of_evaluation(Recipe(), -(-least // 250)) is True
    assert compilation.of_evaluation(Recipe(), least // 250) == "auto"
