import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import scalar_episode, scalar_model, weight

import keras_reptile as kr
from keras_reptile.algorithm.adaptation import adapt, adapt_and_differentiate, adapt_keeping_last
from keras_reptile.algorithm.inner_optimizers import InnerSGD


def quadratic(weights, minibatch, step):
    """(w - target)^2 with the mean of the minibatch's entries as target."""
    return tf.square(weights[0] - tf.reduce_mean(tf.cast(minibatch, tf.float64)))


def run(order, rate=1.0, learning_rate=0.25, tail=None, function=adapt):
    theta = (tf.constant(0.0, tf.float64),)
    rule = InnerSGD(learning_rate)
    order = tf.reshape(tf.constant(order, tf.int32), (len(order), 1))
    return function(quadratic, rule, theta, rule.init(theta), order, tail, rate)


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


def test_the_tail_is_one_more_step_on_a_minibatch_of_its_own_size():
    # 0 -> 4 -> 3, then towards the mean 5 of three images: 4.
    result = run([[8], [2]], tail=tf.constant([4, 5, 6]))
    assert float(result.weights[0]) == 4.0
    assert float(result.first_loss) == 64.0
    assert int(result.state.step) == 3
    # Nothing but the tail: from 0 towards 5, with 25 as the first loss.
    alone = run([], tail=tf.constant([4, 5, 6]))
    assert (float(alone.weights[0]), float(alone.first_loss)) == (2.5, 25.0)


def test_the_penalty_of_a_layer_is_in_the_loss_of_each_step():
    # From w = 1, the loss (w - 3)^2 + w^2 / 2 is 4.5 with gradient -3, and w is 1 + 3 / 4 after it.
    dense = keras.layers.Dense(
        1, use_bias=False, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.5)
    )
    network = keras.Sequential([keras.Input((1,)), dense])
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.25))
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error", run_eagerly=True)
    logs = model.train_on_batch(scalar_episode([3.0]), return_dict=True)
    assert weight(model) == 1.75
    # The queries have none.
    assert logs == {"loss": 1.5625, "loss_before": 4.5, "loss_after": 1.5625}


FUNCTIONS = {"adapt": adapt, "last": adapt_keeping_last, "derived": adapt_and_differentiate}


@pytest.mark.parametrize("rate", [1.0, 0.5])
@pytest.mark.parametrize("tail", [None, [4, 5, 6]])
@pytest.mark.parametrize("order", [[[8]], [[8], [2], [4]]], ids=["one step", "three steps"])
def test_every_method_runs_the_same_path_and_keeps_what_it_needs(order, tail, rate):
    tail = None if tail is None else tf.constant(tail)
    results = {name: run(order, rate, 0.25, tail, f) for name, f in FUNCTIONS.items()}
    for result in results.values():
        tf.nest.map_structure(np.testing.assert_array_equal, result[:3], results["adapt"][:3])
    plain, last, derived = results.values()
    assert (plain.before_last, plain.gradient) == ((), ())
    assert (len(last.before_last), last.gradient) == (1, ())
    assert (derived.before_last, len(derived.gradient)) == ((), 1)


def test_what_the_methods_keep_by_hand():
    # Targets 8, 2, 4 from 0: 4, 3, 3.5. Each step halves a change of the weight before it.
    assert float(run([[8], [2], [4]], function=adapt_keeping_last).before_last[0]) == 3.0
    # The last loss (3 - 4)^2 has gradient -2, times 1/2 * 1/2.
    assert float(run([[8], [2], [4]], function=adapt_and_differentiate).gradient[0]) == -0.5
    # Decay 1/2: 0 -> 4 -> 2; the last loss (1 - 4)^2 has gradient -6; 1/2 twice, decay thrice.
    decayed = run([[8], [2], [4]], 0.5, function=adapt_and_differentiate)
    assert float(decayed.gradient[0]) == -6 / 32
    assert float(run([[8], [2], [4]], 0.5, function=adapt_keeping_last).before_last[0]) == 2.0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_last_step_has_the_rate_of_its_number_also_on_a_tail(name):
    # Rates 1/2, 1/4 and 1/8 leave 0, 1/2 and 3/4 of the distance: 0 -> 8, then 5, then 4.75.
    rates = lambda k: tf.gather([0.5, 0.25, 0.125], k)  # noqa: E731
    for order, tail in (([[8], [2], [4]], None), ([[8], [2]], tf.constant([4]))):
        result = run(order, learning_rate=rates, tail=tail, function=FUNCTIONS[name])
        assert float(result.weights[0]) == 4.75


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_number_of_steps_known_only_when_the_graph_runs(name):
    kept = lambda r: tf.nest.flatten([r.weights, r.before_last, r.gradient])  # noqa: E731
    signature = [tf.TensorSpec((None, 1), tf.int32)]

    @tf.function(input_signature=signature, autograph=False)
    def graph(order):
        theta, rule = (tf.constant(0.0, tf.float64),), InnerSGD(0.25)
        return kept(FUNCTIONS[name](quadratic, rule, theta, rule.init(theta), order))

    wanted = kept(run([[8], [2], [4]], function=FUNCTIONS[name]))
    np.testing.assert_array_equal(graph(tf.constant([[8], [2], [4]])), wanted)


def test_eager_and_graph_give_the_same_numbers():
    order = [[3], [1], [4], [1]]
    graph = tf.function(lambda: run(order).weights[0], autograph=False)
    assert float(graph()) == float(run(order).weights[0])


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


@pytest.mark.slow
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
