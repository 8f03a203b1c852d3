"""Equal work for every core: the plan by its properties, its run by a closed form."""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from helpers import differences, small_convnet, small_episodes
from test_compilation import pair

from keras_reptile import adaptation, lanes, threads
from keras_reptile.inner_optimizers import InnerSGD
from keras_reptile.meta_batch import TaskResult

SIZES = list(itertools.product((1, 2, 5, 7, 20), (1, 2, 5, 10), (1, 2, 3, 4, 8)))


def length(lane):
    return sum(piece.last - piece.first for piece in lane)


def places(plan):
    """Of each task, its pieces with the time at which each begins."""
    found = {}
    for lane in plan:
        ends = itertools.accumulate((p.last - p.first for p in lane), initial=0)
        for piece, start in zip(lane, ends, strict=False):
            found.setdefault(piece.task, []).append((piece, start))
    return found


@pytest.mark.parametrize(("tasks", "steps", "cores"), SIZES)
def test_every_step_is_run_once_and_no_plan_is_shorter(tasks, steps, cores):
    plan = lanes.lanes(tasks, steps, cores)
    assert len(plan) <= cores
    # No plan can be shorter: than one task, or than the mean of the cores' work.
    assert max(map(length, plan)) == max(steps, -(-tasks * steps // cores))
    for task, pieces in places(plan).items():
        run = sorted(step for piece, _ in pieces for step in range(piece.first, piece.last))
        assert run == list(range(steps)), (task, pieces)


@pytest.mark.parametrize(("tasks", "steps", "cores"), SIZES)
def test_no_step_begins_before_the_step_that_it_follows_has_ended(tasks, steps, cores):
    plan = lanes.lanes(tasks, steps, cores)
    for pieces in places(plan).values():
        pieces.sort()
        for (earlier, start), (_, next_start) in itertools.pairwise(pieces):
            assert start + earlier.last - earlier.first <= next_start
        # And it is built before: `in_lanes` goes through the lanes backwards.
        at = [next(i for i, lane in enumerate(plan) if piece in lane) for piece, _ in pieces]
        assert at == sorted(at, reverse=True)


def test_tasks_that_share_out_whole_are_not_cut():
    whole = [[(0, 0, 5), (1, 0, 5)], [(2, 0, 5), (3, 0, 5)]]
    assert lanes.lanes(tasks=4, steps=5, cores=2) == whole


def towards_targets(task, state, weights, bounds):
    """Steps of rate 1/4 towards each image's number halve the distance to it."""
    square = lambda w, minibatch, step: tf.square(w[0] - tf.cast(minibatch[0], tf.float64))  # noqa: E731
    found = adaptation.adapt(square, InnerSGD(0.25), weights, state, task, None, 1.0, bounds)
    return TaskResult(found, found.weights[0] * 10)


@pytest.mark.parametrize("cores", [2, 3, 4])
def test_a_task_that_is_cut_ends_where_it_would_have(cores):
    targets = np.random.RandomState(0).randint(1, 100, (5, 5, 1))
    theta = [tf.constant(0.0, tf.float64)]
    state = InnerSGD(0.25).init(theta)
    plan = lanes.lanes(5, 5, cores)
    found, others = lanes.in_lanes(towards_targets, plan, tf.constant(targets), theta, state)
    expected = sum(targets[:, k, 0] / 2 ** (5 - k) for k in range(5))
    np.testing.assert_allclose(found.weights[0], expected, rtol=1e-12)
    np.testing.assert_allclose(others, 10 * expected, rtol=1e-12)
    np.testing.assert_array_equal(found.first_loss, targets[:, 0, 0] ** 2.0)
    np.testing.assert_array_equal(found.state.step, [5] * 5)


@pytest.mark.parametrize("cores", [2, 3])
def test_a_model_trains_the_same_on_any_number_of_cores(cores, monkeypatch, float64):
    monkeypatch.setattr(threads, "tasks_at_once", lambda: cores)
    planned, plan = [], lanes.lanes
    remember = lambda *sizes: planned.append(plan(*sizes)) or planned[-1]  # noqa: E731
    monkeypatch.setattr(lanes, "lanes", remember)
    models = pair()
    for model in models:
        model.fit(small_episodes(inner_steps=3, meta_batch_size=5), steps_per_epoch=4, verbose=0)
    assert differences(*models) < 1e-9
    assert [len(plan) for plan in planned] == [cores]


@pytest.mark.parametrize(
    ("tasks", "arguments"),
    [
        (4, {}),
        (1, {}),
        (5, {"method": "fomaml"}),
        (5, {"task_order": "serial"}),
    ],
)
def test_what_is_whole_or_not_reptile_is_not_cut(tasks, arguments, monkeypatch):
    monkeypatch.setattr(threads, "tasks_at_once", lambda: 2)
    monkeypatch.setattr(lanes, "in_lanes", None)
    _, model = pair(small_convnet, **arguments)
    episodes = small_episodes(inner_steps=2, meta_batch_size=tasks)
    history = model.fit(episodes, steps_per_epoch=1, verbose=0).history
    assert np.isfinite(history["loss_after"]).all()
