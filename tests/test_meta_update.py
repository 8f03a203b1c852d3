import keras
import numpy as np
import pytest
from helpers import scalar_episode, scalar_model, weight

import keras_reptile as kr
from keras_reptile.meta_update import reptile_gradient

# One task with target c, loss (w - c)^2, inner SGD 0.1: each step takes w - c to 0.8 (w - c).
# From w = 0, two tasks with targets 1 and 3, two steps:
#   W_1 = 1 - 0.64 = 0.36,   W_2 = 3 - 3 * 0.64 = 1.08,   mean W = 0.72.
MEAN_SOLUTION = 0.72


def after_one_meta_step(outer_optimizer, targets=(1.0, 3.0), steps=2, start=0.0):
    model = scalar_model(keras.optimizers.SGD(0.1), outer_optimizer, start)
    model.train_on_batch(scalar_episode(targets, steps))
    return weight(model)


@pytest.mark.parametrize(
    ("meta_step_size", "expected"),
    [(0.0, 0.0), (0.25, 0.25 * MEAN_SOLUTION), (1.0, MEAN_SOLUTION)],
    ids=["zero moves nothing", "a quarter of the way", "one is the mean of the solutions"],
)
def test_sgd_as_outer_optimizer_interpolates(meta_step_size, expected):
    found = after_one_meta_step(keras.optimizers.SGD(meta_step_size))
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_meta_batch_of_one_is_the_serial_algorithm():
    # theta = 2, one task with target 5, one step: W = 5 - 0.8 * 3 = 2.6; half of the way: 2.3.
    found = after_one_meta_step(keras.optimizers.SGD(0.5), targets=(5.0,), steps=1, start=2.0)
    assert found == pytest.approx(2.3, abs=1e-6)


def test_one_inner_step_is_sgd_on_the_mean_loss():
    # The mean loss of targets 1 and 3 at w = 0.5 has gradient 2 (0.5 - 2) = -3. Inner rate 0.1
    # and meta-step 0.5 make joint SGD's rate 0.05.
    found = after_one_meta_step(keras.optimizers.SGD(0.5), steps=1, start=0.5)
    assert found == pytest.approx(0.5 + 0.05 * 3, abs=1e-6)


def test_an_outer_optimizer_with_momentum_takes_the_displacement_as_its_gradient():
    model = scalar_model(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.5, momentum=0.9))
    # Displacement d_t = 0.36 (w - 2): each solution keeps 0.64 of its distance.
    w, velocity = 0.0, 0.0
    for _ in range(3):
        velocity = 0.9 * velocity - 0.5 * 0.36 * (w - 2.0)
        w += velocity
        model.train_on_batch(scalar_episode((1.0, 3.0), 2))
    assert weight(model) == pytest.approx(w, abs=1e-6)


def test_reptile_gradient_is_the_distance_to_the_mean_of_each_weight():
    theta = [np.float32([1.0, 2.0]), np.float32([[3.0]])]
    solutions = [np.float32([[0.0, 2.0], [4.0, 4.0]]), np.float32([[[1.0]], [[2.0]]])]
    found = reptile_gradient(theta, solutions)
    np.testing.assert_allclose(found[0], [-1.0, -1.0])
    np.testing.assert_allclose(found[1], [[1.5]])


@pytest.mark.parametrize(("iteration", "expected"), [(0, 0.8), (25, 0.7), (100, 0.4), (300, 0.4)])
def test_the_meta_step_is_linear_and_then_constant(iteration, expected):
    schedule = kr.linear_meta_step(0.8, 0.4, meta_iterations=100)
    assert float(schedule(iteration)) == pytest.approx(expected, abs=1e-6)


def test_the_schedule_is_followed_one_step_a_meta_iteration():
    # Meta-step sizes 1, 0.5, 0 towards a solution that halves the distance to 4 (rate 0.25).
    schedule = kr.linear_meta_step(1.0, 0.0, meta_iterations=2)
    model = scalar_model(keras.optimizers.SGD(0.25), keras.optimizers.SGD(schedule))
    path = []
    for _ in range(3):
        model.train_on_batch(scalar_episode((4.0,)))
        path.append(weight(model))
    assert path == pytest.approx([2.0, 2.5, 2.5], abs=1e-6)


def test_bad_schedules_are_refused():
    with pytest.raises(ValueError, match=r"`meta_iterations` must be at least 1. Received: meta_i"):
        kr.linear_meta_step(1.0, 0.0, meta_iterations=0)
    with pytest.raises(ValueError, match=r"must not be negative.*Received: initial=-1.0, final=0"):
        kr.linear_meta_step(-1.0, 0.0, meta_iterations=10)
