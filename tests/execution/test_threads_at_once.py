"""Eight threads at one model: the numbers of one thread, bit for bit."""

import functools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers import image_pool, small_dense, small_episodes, small_model, train_on_batches

import keras_reptile as kr

pytestmark = pytest.mark.slow

THREADS = 8


@pytest.fixture(scope="module")
def model():
    return train_on_batches(small_model(small_dense()), 2)


@functools.cache
def tasks(i):
    return small_episodes(shots=1, inner_batch_size=3, tasks=4, seed=i)


def evaluated(model, i):
    return kr.evaluate(model, tasks(i), transductive=bool(i % 2), verbose=0).accuracies


def adapted(model, i):
    """A learner's weights, and what it predicts."""
    pool = image_pool()
    support = np.concatenate([pool.class_images(3 * (i % 4) + c)[:2] for c in range(3)]) / 255
    learner = model.adapt(support.astype("float32"), np.repeat(np.arange(3), 2), steps=3, seed=i)
    return [*learner.get_weights(), learner.predict(support.astype("float32"), verbose=0)]


def all_at_once(function, model):
    """Results by number: first of eight threads that begin with a model not used before."""
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda i: function(model, i), range(THREADS)))


@pytest.mark.parametrize("function", [evaluated, adapted])
def test_eight_threads_get_what_one_gets(function, model):
    before = [v.numpy() for v in model.variables]
    together = all_at_once(function, model)
    alone = [function(model, i) for i in range(THREADS)]
    for a, b in zip(together, alone, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_evaluating_and_adapting_at_once(model):
    work = [(evaluated, i) for i in range(4)] + [(adapted, i) for i in range(4)]
    with ThreadPoolExecutor(THREADS) as pool:
        together = list(pool.map(lambda job: job[0](model, job[1]), work))
    for (function, i), found in zip(work, together, strict=True):
        for x, y in zip(found, function(model, i), strict=True):
            np.testing.assert_array_equal(x, y)
