"""Shares of meta-batches, without a strategy: the workers are played one after another."""

import functools
import importlib

import numpy as np
import pytest
import tensorflow as tf
from helpers import small_dense, small_episodes

import keras_reptile as kr
from keras_reptile.distribution import shares


class Played:
    """A strategy of so many workers with so many replicas each."""

    def __init__(self, workers, each):
        self.workers, self.num_replicas_in_sync = workers, workers * each

    def distribute_datasets_from_function(self, dataset_of):
        contexts = [
            tf.distribute.InputContext(self.workers, i, self.num_replicas_in_sync)
            for i in range(self.workers)
        ]
        return [dataset_of(context) for context in contexts]


def steps(strategy, dataset, number, **arguments):
    """The first meta-batches as replicas see them: lists of shares, in the replicas' order."""
    each = strategy.num_replicas_in_sync // strategy.workers
    parts = [
        list(part.take(number * each))
        for part in shares.distributed(dataset, strategy, **arguments)
    ]
    return [
        [share for part in parts for share in part[step * each : (step + 1) * each]]
        for step in range(number)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "each"), [(1, 1), (1, 2), (2, 1), (3, 1), (3, 2)])
def test_the_shares_of_all_replicas_are_the_stream_of_one_device(workers, each):
    dataset = small_episodes(meta_batch_size=6)
    found = steps(Played(workers, each), dataset, 2)
    for whole, parts in zip(dataset.take(2), found, strict=True):
        joined = tf.nest.map_structure(lambda *ts: np.concatenate(ts), *parts)
        tf.nest.map_structure(np.testing.assert_array_equal, joined, whole)


@pytest.mark.parametrize("tasks", [None, 6])
def test_tasks_without_queries_have_shares(tasks):
    # `Dataset.unbatch` ends the process at a tensor without elements.
    episodes = small_episodes(meta_batch_size=6, queries=0, tasks=tasks)
    whole = next(iter(episodes))
    (parts,) = steps(Played(1, 2), episodes, 1)
    joined = tf.nest.map_structure(lambda *ts: np.concatenate(ts), *parts)
    tf.nest.map_structure(np.testing.assert_array_equal, joined, whole)


def test_the_number_of_parts_is_known_where_unbatch_knows_it():
    with_queries, without = (small_episodes(queries=n, tasks=4) for n in (1, 0))
    endless = small_episodes(queries=0)
    numbers = [int(shares.unbatched(data).cardinality()) for data in (with_queries, without)]
    assert numbers == [int(data.unbatch().cardinality()) for data in (with_queries, without)]
    assert shares.unbatched(endless).cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "each"), [(1, 2), (2, 2), (3, 1)])
def test_shares_that_are_filled_up_hold_every_task_once(workers, each):
    dataset = small_episodes(meta_batch_size=5, tasks=7)
    found = steps(Played(workers, each), dataset, 2, fill=True)
    for whole, parts in zip(dataset, found, strict=True):
        assert len({part["order"].shape[0] for part in parts}) == 1
        real = np.concatenate([part["real"] for part in parts])
        order = np.concatenate([part["order"] for part in parts])
        np.testing.assert_array_equal(order[real == 1], whole["order"])


def test_copies_do_not_count_in_shares_of_meta_batches_that_were_joined():
    dataset = tf.data.Dataset.range(7).map(lambda i: {"x": i}).batch(2)
    joined = shares.regrouped(dataset, 5)
    found = steps(Played(1, 3), joined, len(joined), fill=True)
    parts = [part for step in found for part in step]
    assert {part["x"].shape[0] for part in parts} == {2}
    numbers = [part["x"].numpy()[part["real"].numpy() == 1] for part in parts]
    assert np.concatenate(numbers).tolist() == list(range(7))


def test_shares_of_a_dataset_of_unknown_size_end_with_it():
    dataset = small_episodes(meta_batch_size=6, tasks=12).filter(lambda tasks: True)
    found = steps(Played(1, 2), dataset, 3)
    assert found.pop() == []
    for whole, parts in zip(dataset, found, strict=True):
        order = np.concatenate([part["order"] for part in parts])
        np.testing.assert_array_equal(order, whole["order"])


def test_meta_batches_that_differ_or_do_not_divide_are_refused():
    with pytest.raises(ValueError, match=r"have different sizes. Make `tasks` a multiple of"):
        shares.distributed(small_episodes(meta_batch_size=4, tasks=6), Played(1, 2))
    with pytest.raises(ValueError, match=r"meta_batch_size=4, with 3 replicas. Use a .* of 3, or"):
        shares.distributed(small_episodes(meta_batch_size=4), Played(3, 1))


def test_nan_of_one_replica_stays_in_its_place(monkeypatch):
    """Three replicas whose values are placed one after another, and then summed."""
    # The package has a function of the module's name.
    module = importlib.import_module("keras_reptile.distribution.replicas")
    values = [tf.constant([[1.0, i], [np.nan if i == 1 else 2.0, i]]) for i in range(3)]
    placed = []
    monkeypatch.setattr(module, "replicas", lambda: 3)
    monkeypatch.setattr(module, "sum_over_replicas", lambda tensors: tensors)
    for i, of_replica in enumerate(values):
        monkeypatch.setattr(module, "replica_index", lambda i=i: i)
        placed.append(module.gathered(of_replica))
    np.testing.assert_array_equal(tf.add_n(placed), np.concatenate(values))


@pytest.mark.slow
def test_an_execution_ends_with_a_finite_dataset():
    """Three meta-batches by executions of two are three on replicas, too, and not four."""
    with tf.distribute.OneDeviceStrategy("CPU:0").scope():
        model = kr.ReptileModel(small_dense())
        model.compile("sgd", steps_per_execution=2, run_eagerly=True)
    tasks = small_episodes(meta_batch_size=1, tasks=3, inner_steps=1)
    model.fit(tasks, epochs=2, validation_data=tasks, verbose=0)
    assert model.meta_iteration == 6
    assert np.sum(model.task_metrics.confidence.count) == 3
    model.evaluate(tasks.take(1), verbose=0)
    assert np.sum(model.task_metrics.confidence.count) == 1


def test_a_model_that_was_made_outside_of_a_scope_is_refused_in_it(monkeypatch):
    model = kr.ReptileModel(small_dense())
    model.compile("sgd")
    tasks = small_episodes(tasks=2)
    batch = next(iter(tasks))
    module = importlib.import_module("keras_reptile.distribution.replicas")
    monkeypatch.setattr(module, "replicas", lambda: 2)
    methods = (model.fit, model.evaluate, model.predict, functools.partial(kr.evaluate, model))
    of_batch = (model.train_on_batch, model.test_on_batch, model.predict_on_batch)
    for call, data in [*((m, tasks) for m in methods), *((m, batch) for m in of_batch)]:
        with pytest.raises(ValueError, match=r"a model that was made outside of the scope of the"):
            call(data)
