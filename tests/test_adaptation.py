import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import scalar_episode, scalar_model, weight

from keras_reptile.adaptation import adapt
from keras_reptile.inner_optimizers import InnerSGD


def quadratic(weights, minibatch, step):
    """(w - target)^2 with the minibatch's first entry as target."""
    return tf.square(weights[0] - tf.cast(minibatch[0], tf.float64))


def run(order, rate=1.0, learning_rate=0.25):
    theta = (tf.constant(0.0, tf.float64),)
    rule = InnerSGD(learning_rate)
    return adapt(quadratic, rule, theta, rule.init(theta), tf.convert_to_tensor(order), rate=rate)


def test_the_path_by_hand():
    # Rate 1/4 halves the distance to the target. Targets 8, 2, 4 from 0: 4, 3, 3.5.
    result = run([[8], [2], [4]])
    assert float(result.weights[0]) == 3.5
    # At theta = 0 the first minibatch's loss is 64.
    assert float(result.first_loss) == 64.0
    assert int(result.state.step) == 3


def test_weight_decay_multiplies_the_weights_before_each_step():
    # Decay 1/2: 0 -> 0 -> 4;  4 -> 2 -> 2;  2 -> 1 -> 2.5.
    assert float(run([[8], [2], [4]], rate=0.5).weights[0]) == 2.5


def test_eager_and_graph_give_the_same_numbers():
    order = [[3], [1], [4], [1]]
    graph = tf.function(lambda: run(order).weights[0])
    assert float(graph()) == float(run(order).weights[0])


def test_the_number_of_steps_may_be_unknown_until_the_graph_runs():
    signature = [tf.TensorSpec((None, 1), tf.int32)]
    graph = tf.function(lambda order: run(order).weights[0], input_signature=signature)
    assert float(graph(tf.constant([[8], [2], [4]]))) == 3.5


def adam_by_numpy(targets, order_of_states):
    """Solutions of one-step tasks from w = 0 under Adam with the state passed as told."""
    rate, beta_2, epsilon = 0.1, 0.999, 1e-8
    v, t, solutions = 0.0, 0, []
    for target in targets:
        gradient = 2 * (0.0 - target)
        v_after, t_after = beta_2 * v + (1 - beta_2) * gradient**2, t + 1
        correction = np.sqrt(1 - beta_2**t_after)
        solutions.append(-rate * correction * gradient / (np.sqrt(v_after) + epsilon))
        if order_of_states == "serial":
            v, t = v_after, t_after
    if order_of_states == "parallel":
        v = np.mean([(1 - beta_2) * (2 * c) ** 2 for c in targets])
        t = 1
    return np.mean(solutions), v, t


@pytest.mark.parametrize("task_order", ["parallel", "serial"])
def test_the_moments_are_carried_by_the_stated_rule(task_order, float64):
    inner = keras.optimizers.Adam(0.1, beta_1=0.0, epsilon=1e-8)
    model = scalar_model(inner, keras.optimizers.SGD(1.0), task_order=task_order)
    targets = [1.0, 3.0, 10.0]
    model.train_on_batch(scalar_episode(targets))
    solution, v, t = adam_by_numpy(targets, task_order)
    assert weight(model) == pytest.approx(solution, abs=1e-9)
    step, moment = model.inner_variables
    assert int(step) == t
    assert float(np.ravel(moment)[0]) == pytest.approx(v, rel=1e-9)


def test_a_reset_state_makes_every_task_a_first_task(float64):
    inner = keras.optimizers.Adam(0.1, beta_1=0.0, epsilon=1e-8)
    model = scalar_model(inner, keras.optimizers.SGD(1.0), inner_state="reset")
    assert model.inner_variables == []
    # Adam's first step has length rate, whatever the gradient: 0.1 up, then 0.1 down.
    for target, expected in ((5.0, 0.1), (-5.0, 0.0)):
        model.train_on_batch(scalar_episode([target]))
        assert weight(model) == pytest.approx(expected, abs=1e-7)


def test_with_nothing_carried_serial_and_parallel_are_the_same():
    ends = []
    for task_order in ("parallel", "serial"):
        model = scalar_model(
            keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.7), task_order=task_order
        )
        for _ in range(3):
            model.train_on_batch(scalar_episode([1.0, 2.0], steps=2))
        ends.append(weight(model))
    assert ends[0] == pytest.approx(ends[1], abs=1e-7)
    assert ends[0] > 0.1
