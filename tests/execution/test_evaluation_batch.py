"""How many tasks of an evaluation a GPU or TPU computes at once: the numbers of one by one."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_episodes, small_linear, small_model

import keras_reptile as kr
from keras_reptile.distribution import regrouped
from keras_reptile.execution import evaluation_batch as batches
from keras_reptile.execution.plan import Plan
from keras_reptile.kernels import devices
from keras_reptile.recipes import building, named

MEASURED = Path(__file__).resolve().parents[2] / "docs" / "results" / "accelerators.json"


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, 2, 4, 6, 100])
@pytest.mark.parametrize(("tasks", "size"), [(7, 3), (5, 1), (9, 7)])
def test_every_task_is_in_one_meta_batch_and_in_its_place(tasks, size, most):
    dataset = tf.data.Dataset.range(tasks).map(lambda i: {"x": i}).batch(size)
    found = list(regrouped(dataset, most))
    numbers = [e["x"].numpy()[e["real"].numpy() == 1] for e in found]
    assert np.concatenate(numbers).tolist() == list(range(tasks))
    assert regrouped(dataset, most).cardinality() == len(found)
    (batch,) = {len(e["x"]) for e in found}
    assert regrouped(dataset, most).element_spec["x"].shape == batch
    assert batch <= most
    # Meta-batches are cut or joined whole.
    assert len(found) <= -(-tasks // size) * -(-size // most)


def spec_of(recipe):
    """The spec of an evaluation's meta-batches, without its data."""
    shape = (None, recipe.ways * recipe.shots, recipe.image_size, recipe.image_size)
    support = tf.TensorSpec((*shape, recipe.channels), tf.uint8), tf.TensorSpec(shape[:2], tf.int32)
    queries = (None, recipe.ways * recipe.queries)
    query = tf.TensorSpec((*queries, *support[0].shape[2:]), tf.uint8)
    order = (None, recipe.eval_inner_steps, recipe.eval_inner_batch_size)
    return {
        "support": support,
        "order": tf.TensorSpec(order, tf.int32),
        "query": (query, tf.TensorSpec(queries, tf.int32)),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["omniglot_5way", "omniglot_20way", "mini_imagenet_5way_1shot"])
def test_the_estimate_is_near_the_memory_of_the_compiled_program(name):
    recipe = named.get(name)
    model = building.build_model(recipe, (recipe.image_size, recipe.image_size, recipe.channels))
    programs = {row["program"]: row for row in json.loads(MEASURED.read_text())["gpu"]}
    # The programs have 20 tasks, and 34 MB for cuBLAS.
    of_program = programs[f"{name}/test"]["memory_bytes"]
    needed = (of_program["temp"] - 34e6 + of_program["argument"]) / 20
    found = batches.bytes_of_task(model._inner_loop.for_evaluation(), spec_of(recipe))
    assert needed <= found <= 3 * needed


def on_a_gpu(monkeypatch, most):
    monkeypatch.setattr(devices, "device_kinds", lambda: {"GPU"})
    monkeypatch.setattr(batches, "MOST_TASKS", most)


@pytest.mark.slow
def test_tasks_at_once_have_the_losses_of_one_by_one(float64, monkeypatch):
    chosen = dict(tasks=7, inner_steps=1, seed=4)
    one_by_one, model = small_episodes(meta_batch_size=1, **chosen), small_model(small_linear())
    expected = kr.evaluate_loss(model, one_by_one, verbose=0).losses
    whole = model.evaluate(one_by_one, verbose=0, return_dict=True)
    on_a_gpu(monkeypatch, 4)
    model, tests = small_model(small_linear()), small_episodes(meta_batch_size=3, **chosen)
    found = kr.evaluate_loss(model, tests, verbose=0).losses
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert model.evaluate(tests, verbose=0, return_dict=True) == pytest.approx(whole, rel=1e-9)


def watched(model, monkeypatch):
    """A list, to which each program of the model's evaluations adds how many tasks it computes."""
    computed, evaluate_tasks = [], model._evaluate_tasks

    def seen(tasks, modes):
        computed.append(tasks["order"].shape[0])
        return evaluate_tasks(tasks, modes)

    monkeypatch.setattr(model, "_evaluate_tasks", seen)
    return computed


@pytest.mark.slow
def test_tasks_in_four_orientations_count_as_four_tasks_at_once(monkeypatch):
    tests, model = small_episodes(tasks=7, meta_batch_size=3), small_model(small_linear())
    expected = kr.evaluate(model, tests, orientations=4, verbose=0).accuracies
    on_a_gpu(monkeypatch, 8)
    model = small_model(small_linear())
    computed = watched(model, monkeypatch)
    found = kr.evaluate(model, tests, orientations=4, verbose=0).accuracies
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert {*computed} == {8}


@pytest.mark.of_a_cpu
@pytest.mark.slow
def test_a_cpu_has_no_more_copies_at_once_than_it_had_tasks(monkeypatch):
    for number, size, copies in ((1, 9, 9), (4, 9, 8), (8, 9, 8), (8, 3, 8)):
        model = small_model(small_linear())
        computed = watched(model, monkeypatch)
        tests = small_episodes(tasks=9, meta_batch_size=size)
        found = kr.evaluate(model, tests, orientations=number, verbose=0)
        assert ({*computed}, found.accuracies.shape) == ({copies}, (9,))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Tasks are computed separately")
def test_random_layers_draw_as_they_do_one_by_one(float64, monkeypatch):
    def losses(most):
        keras.utils.set_random_seed(0)
        dropout = keras.layers.Dropout(0.5, seed=0)
        on_a_gpu(monkeypatch, most)
        tests = small_episodes(tasks=5, inner_steps=1, meta_batch_size=1, seed=4)
        return kr.evaluate_loss(small_model(small_linear([dropout])), tests, verbose=0).losses

    np.testing.assert_allclose(losses(3), losses(1), rtol=1e-9)


def steps_of(model, tests, **arguments):
    """The number of meta-batches that `evaluate` computes, of which nothing is computed here."""
    seen = []
    model.test_step = lambda data: {"loss": tf.zeros(())}
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=None)
    callback.on_test_batch_end = lambda batch, logs=None: seen.append(batch)
    model.evaluate(tests, verbose=0, callbacks=[callback], **arguments)
    return len(seen)


@pytest.mark.of_a_cpu
def test_meta_batches_are_joined_where_tasks_are_one_batch(monkeypatch):
    def model(**arguments):
        return small_model(small_linear(), **arguments)

    tests = small_episodes(tasks=6, meta_batch_size=1)
    assert steps_of(model(), tests) == 6
    on_a_gpu(monkeypatch, 3)
    assert steps_of(model(), tests) == 2
    # A number of steps is that of the dataset's meta-batches.
    assert steps_of(model(), tests, steps=2) == 2
    assert steps_of(model(task_parallelism="separate"), tests) == 6


def test_memory_bounds_the_tasks_at_once(monkeypatch):
    model, spec = small_model(), small_episodes().element_spec
    loop = model._inner_loop.for_evaluation()
    needed = batches.bytes_of_task(loop, spec)
    for memory, tasks in ((20 * needed, 10), (1, 1), (10**6 * needed, 200)):
        monkeypatch.setattr(batches, "memory_of", lambda kind, memory=memory: memory)
        batch = batches.evaluation_batch(loop, Plan.of(model._settings, {"GPU"}), spec)
        assert batch == (tasks, needed)
        assert f"up to {tasks} task" in str(batch)
    assert (
        batches.evaluation_batch(loop, Plan.of(model._settings, {"TPU"}), spec).bytes_of_task
        > needed
    )
    assert batches.evaluation_batch(loop, Plan.of(model._settings, {"CPU"}), spec) is None
