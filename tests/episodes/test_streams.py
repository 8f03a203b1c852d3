"""Which tasks a stream holds: those of a split, and those from where a function says."""

import gc
import weakref

import numpy as np
import pytest
from helpers import small_episodes

import keras_reptile as kr


def positions(split=None, seed=0):
    """The images of eight tasks, by their positions in a pool."""
    pool = kr.ClassPool.from_arrays(np.arange(60).reshape(60, 1), np.arange(60) % 6)
    chosen = {} if split is None else {"split": split}
    episodes = kr.episode_dataset(pool, 3, 2, meta_batch_size=8, seed=seed, **chosen)
    task = next(iter(episodes))
    return np.concatenate([task["support"][0].numpy().ravel(), task["order"].numpy().ravel()])


def test_the_same_seed_draws_other_tasks_for_every_split():
    train, validation, test = (positions(s) for s in ("train", "validation", "test"))
    np.testing.assert_array_equal(train, positions())
    # Independent draws of 48 images out of 60 agree in about one; equal streams agree in all.
    for a, b in ((train, validation), (train, test), (validation, test)):
        assert (a[:48] == b[:48]).sum() < 12
    np.testing.assert_array_equal(test, positions("test"))
    assert (positions("test", seed=1) != test).any()
    assert (positions("test", seed=-1) != test).any()


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match=r"`split` must be one of .*Received: split='dev'"):
        positions("dev")


def orders(dataset, number):
    return [task["order"].numpy() for task in dataset.take(number)]


def test_a_function_says_where_a_stream_begins_each_time():
    begin = [3]
    episodes = small_episodes(start=lambda: begin[0])
    whole = orders(small_episodes(), 6)
    np.testing.assert_array_equal(orders(episodes, 2), whole[3:5])
    begin[0] = 4
    np.testing.assert_array_equal(orders(episodes, 2), whole[4:6])


class Model:
    meta_iteration = 3


@pytest.mark.slow
def test_a_stream_that_is_gone_keeps_no_model_and_an_iterator_keeps_the_stream():
    model = Model()
    alive = weakref.ref(model)
    stream = iter(small_episodes(start=lambda model=model: model.meta_iteration))
    del model
    gc.collect()
    found = next(stream)["order"].numpy()
    np.testing.assert_array_equal(found, orders(small_episodes(start=3), 1)[0])
    del stream
    gc.collect()
    assert alive() is None


def test_a_fixed_number_of_tasks_begins_at_a_fixed_place():
    with pytest.raises(ValueError, match="Received: a function as `start`, and tasks=3"):
        small_episodes(start=lambda: 0, tasks=3)


def test_a_function_that_gives_no_place_is_named():
    with pytest.raises(
        Exception, match=r"`start\(\)` must not be negative. Received: start\(\)=-1"
    ):
        next(iter(small_episodes(start=lambda: -1)))
