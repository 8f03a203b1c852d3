"""The random numbers that layers draw in the inner loop of a model."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import episode

import keras_reptile as kr

TASKS, STEPS = 2, 3
# What `Seen` was given.
SEEN: list = []


class Seen(keras.layers.Layer):
    """Keeps what it is given in training, where operations are made one by one."""

    def call(self, x, training=False):
        if training and tf.executing_eagerly():
            SEEN.append(x.numpy())
        return x


def masks_of(calls):
    """What dropout leaves of ones in each of some calls, `(calls, tasks, steps, ones)`."""
    layers = keras.layers.Dropout(0.5, seed=1), Seen(), keras.layers.Dense(1)
    network = keras.Sequential([keras.Input((50,)), *layers])
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.1))
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error", run_eagerly=True)
    # The tasks differ in their targets.
    y = np.arange(TASKS, dtype=np.float32)[:, None, None]
    tasks = episode(np.ones((TASKS, 1, 50), np.float32), y, np.zeros((TASKS, STEPS, 1)))
    SEEN.clear()
    for call in calls:
        call(model, tasks)
    return np.reshape(SEEN, (len(calls), TASKS, STEPS, 50)) > 0


@functools.cache
def in_training():
    return masks_of([lambda model, tasks: model.train_on_batch(tasks)] * 2)


OTHERS = {"a meta-iteration": (1, 0, 0), "a task": (0, 1, 0), "an inner step": (0, 0, 1)}


@pytest.mark.parametrize("name", OTHERS)
def test_in_training_each_has_a_mask_of_its_own(name):
    assert (in_training()[OTHERS[name]] != in_training()[0, 0, 0]).any()


def test_in_evaluation_each_task_has_masks_of_its_own_and_the_same_again():
    first, again = masks_of([lambda model, tasks: model.adapt_and_predict(tasks)] * 2)
    assert len(np.unique(first.reshape(-1, 50), axis=0)) == TASKS * STEPS
    np.testing.assert_array_equal(again, first)
