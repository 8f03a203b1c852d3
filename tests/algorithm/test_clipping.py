"""Gradient clipping by norm in the inner loop: by hand, and the same on every path."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import differences, in_float64, small_linear, small_model, train_on_batches

from keras_reptile.algorithm.inner_optimizers import InnerSGD
from keras_reptile.recipes.building import inner_optimizer
from keras_reptile.recipes.recipe import Recipe

GRADIENTS = [tf.constant([3.0, 4.0]), tf.constant([[12.0]])]  # Of norms 5, 12, and 13 together.


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, ([3, 4], [[12]])),
        ({"clipnorm": 6.0}, ([3, 4], [[6]])),
        ({"global_clipnorm": 6.5}, ([1.5, 2], [[6]])),
        ({"global_clipnorm": 13.5}, ([3, 4], [[12]])),
    ],
)
def test_gradients_by_hand(limits, expected):
    rule = InnerSGD(0.1, **limits)
    for found, wanted in zip(rule.clipped(GRADIENTS), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    # Of many tasks, each has norms of its own.
    many = [tf.stack([g, g / 100]) for g in GRADIENTS]
    for found, wanted, plain in zip(rule.clipped(many, 1), expected, GRADIENTS, strict=True):
        np.testing.assert_allclose(found, [wanted, plain / 100], rtol=1e-6)


def test_a_gradient_of_zero_stays_zero_and_so_does_its_derivative():
    zero = tf.zeros((2,))
    with tf.GradientTape() as tape:
        tape.watch(zero)
        (clipped,) = InnerSGD(0.1, clipnorm=1.0).clipped([zero])
    np.testing.assert_array_equal(clipped, [0, 0])
    np.testing.assert_array_equal(tape.gradient(clipped, zero), [1, 1])


PATHS = {
    "vectorized": ({"task_parallelism": "vectorized"}, {}),
    "compiled": ({}, {"jit_compile": True}),
}
LIMITS = ({"clipnorm": 0.05}, {"global_clipnorm": 0.05})


def trained(arguments, told, limits):
    inner = keras.optimizers.Adam(0.01, beta_1=0.5, epsilon=1e-3, **limits)
    model = small_model(small_linear(), inner_optimizer=inner, **arguments)
    model.compile(keras.optimizers.SGD(0.5), **told)
    return train_on_batches(model, 3, inner_steps=2)


@pytest.fixture(scope="module")
def plainly():
    """Models without and with each limit, of tasks one by one that are not compiled."""
    with in_float64():
        return [trained({}, {}, limits) for limits in ({}, *LIMITS)]


@pytest.mark.slow
# By each weight, as one batch: in test_vectorized.py.
@pytest.mark.parametrize(("path", "which"), [("vectorized", 1), ("compiled", 0)])
def test_it_is_the_same_on_every_path(path, which, plainly, float64):
    unclipped, *clipped = plainly
    assert differences(trained(*PATHS[path], LIMITS[which]), clipped[which]) < 1e-9
    assert differences(clipped[which], unclipped) > 1e-4


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_a_recipe_names_it(name):
    assert inner_optimizer(Recipe(inner_optimizer=name)).clipnorm is None
    assert inner_optimizer(Recipe(inner_optimizer=name, inner_clipnorm=0.5)).clipnorm == 0.5
