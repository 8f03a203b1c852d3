import keras
import numpy as np
import pytest
from helpers import scalar_episode, scalar_model, weight

import keras_reptile as kr
from keras_reptile.algorithm.meta_update import (
    ReannealedMetaStep,
    fomaml_gradient,
    maml_gradient,
    reptile_gradient,
)

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


# The same two tasks: W_1 = 0.2 and 0.6, W_2 = 0.36 and 1.08. FOMAML's last steps are 0.16 and 0.48,
# 0.32 in the mean. MAML's gradients are 2 (W_1 - c) 0.8 = -1.28 and -3.84, -2.56 in the mean.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "steps", "expected"),
    [
        ("reptile", 2, 0.5 * MEAN_SOLUTION),
        ("fomaml", 2, 0.5 * 0.32),
        ("maml", 2, 0.5 * 2.56),
        # One step, from 0: Reptile's and FOMAML's are the same 0.2 and 0.6; MAML's gradients are
        # the mean loss's, -2 and -6.
        ("reptile", 1, 0.5 * 0.4),
        ("fomaml", 1, 0.5 * 0.4),
        ("maml", 1, 0.5 * 4),
    ],
)
@pytest.mark.parametrize("task_order", ["parallel", "serial"])
def test_the_methods_by_hand(method, steps, expected, task_order):
    arguments = dict(method=method, task_order=task_order)
    model = scalar_model(keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.5), **arguments)
    logs = model.train_on_batch(scalar_episode((1.0, 3.0), steps), return_dict=True)
    assert weight(model) == pytest.approx(expected, abs=1e-6)
    # Whatever the method, the losses are those at theta and at W_k: (0.8^k c)^2 after k steps.
    after = 5.0 * 0.64**steps
    assert logs == pytest.approx({"loss": after, "loss_before": 5.0, "loss_after": after})


def test_fomaml_takes_the_optimizers_step_and_not_the_gradient(float64):
    # Adam's step has length rate, whatever the gradient: with the same gradient twice and bias
    # correction, the second too.
    inner = keras.optimizers.Adam(0.1, beta_1=0.0, epsilon=1e-12)
    model = scalar_model(inner, keras.optimizers.SGD(1.0), method="fomaml")
    model.train_on_batch(scalar_episode([1e6], steps=2))
    assert weight(model) == pytest.approx(0.1, rel=1e-6)


def test_fomaml_gradient_is_the_mean_of_the_last_steps_backwards():
    before_last = [np.float32([[1.0, 2.0], [3.0, 4.0]])]
    found = fomaml_gradient(before_last, [np.float32([[0.0, 2.0], [2.5, 6.0]])])
    np.testing.assert_allclose(found[0], [0.75, -1.0])


def test_maml_gradient_is_the_mean_over_tasks():
    found = maml_gradient([np.float32([[1.0, 2.0], [3.0, 4.0]]), np.float32([1.0, 0.0])])
    np.testing.assert_allclose(found[0], [2.0, 3.0])
    np.testing.assert_allclose(found[1], 0.5)


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


def test_a_reannealed_meta_step_is_linear_between_the_changes():
    # From 1 to 0 in 100; after 40 at 0.6, to 0 at 70; after 55 at 0.3, to 0 at 205.
    schedule = ReannealedMetaStep(1.0, 0.0, [(0, 100), (40, 70), (55, 205)])
    steps = np.array([0, 20, 40, 41, 55, 105, 205, 300])
    sizes = np.interp(steps, [0, 40, 55, 205], [1.0, 0.6, 0.3, 0.0])
    np.testing.assert_allclose([float(schedule(step)) for step in steps], sizes, atol=1e-6)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert [float(again(step)) for step in steps] == [float(schedule(step)) for step in steps]


def test_a_meta_step_that_was_never_reannealed_is_the_linear_one_bit_for_bit():
    plain = kr.linear_meta_step(0.3, 0.01, 700)
    schedule = ReannealedMetaStep(0.3, 0.01, [(0, 700), (650, 900)])
    assert all(float(plain(step)) == float(schedule(step)) for step in range(0, 650, 7))
