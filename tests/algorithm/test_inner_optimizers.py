import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import scalar_episode, scalar_model, weight

from keras_reptile.algorithm.inner_optimizers import InnerAdam
from keras_reptile.algorithm.keras_optimizers import from_keras

OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.05),
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "nesterov": lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.05),
    "adam without beta 1": lambda: keras.optimizers.Adam(0.05, beta_1=0.0, epsilon=1e-8),
    "schedule": lambda: keras.optimizers.SGD(
        keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5)
    ),
    "each gradient clipped": lambda: keras.optimizers.SGD(0.05, momentum=0.9, clipnorm=1.0),
    "all gradients clipped": lambda: keras.optimizers.Adam(0.05, global_clipnorm=1.0),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rule_takes_the_steps_of_the_keras_optimizer(name):
    rs = np.random.RandomState(0)
    start = [rs.randn(3, 2).astype(np.float32), rs.randn(4).astype(np.float32)]
    optimizer, variables = OPTIMIZERS[name](), [keras.Variable(w) for w in start]
    rule = from_keras(OPTIMIZERS[name]())
    weights = tuple(tf.constant(w) for w in start)
    state = rule.init(weights)
    for k in range(6):
        gradients = [rs.randn(*w.shape).astype(np.float32) for w in start]
        optimizer.apply(gradients, variables)
        clipped = rule.clipped([tf.constant(g) for g in gradients])
        weights, state = rule.update(weights, clipped, state, k)
    for w, v in zip(weights, variables, strict=True):
        np.testing.assert_allclose(w.numpy(), v.numpy(), rtol=1e-5, atol=1e-6)
    assert int(state.step) == 6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compiling", "arguments"),
    [
        ({}, {}),
        ({}, {"task_order": "serial"}),
        ({}, {"method": "maml"}),
        ({"jit_compile": True}, {}),
        ({}, {"task_parallelism": "vectorized"}),
    ],
)
def test_a_schedule_counts_the_steps_of_each_task(compiling, arguments):
    # Rate 1/4 halves the distance to 8, rate 1/8 takes a quarter of it: 0, 4, 5, then 6.5, 6.875.
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([0], [0.25, 0.125])
    inner = keras.optimizers.SGD(schedule, momentum=1e-9)
    model = scalar_model(inner, keras.optimizers.SGD(1.0), **arguments)
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error", **compiling)
    reached = []
    for _ in range(2):
        model.train_on_batch(scalar_episode([8.0, 8.0, 8.0], steps=2))
        reached.append(weight(model))
    # MAML's gradient at 0: 2 (4 - 8) * 0.5 = -4; at 4: 2 (6 - 8) * 0.5 = -2.
    expected = [4, 6] if arguments.get("method") == "maml" else [5, 6.875]
    assert reached == pytest.approx(expected, abs=1e-5)
    # The moments' count is carried all the same.
    assert int(model.inner_variables[0]) == (4 if "task_order" not in arguments else 12)


def test_adam_by_hand():
    # Gradients 1, 2, 4; beta 1 = 0, beta 2 = 0.5, rate 0.1, epsilon 0.
    #   v: 0.5, 0.25 + 2 = 2.25, 1.125 + 8 = 9.125
    #   sqrt(1 - 0.5^t): sqrt(0.5), sqrt(0.75), sqrt(0.875)
    steps = [
        np.sqrt(0.5) * 1 / np.sqrt(0.5),
        np.sqrt(0.75) * 2 / np.sqrt(2.25),
        np.sqrt(0.875) * 4 / np.sqrt(9.125),
    ]
    rule = InnerAdam(0.1, beta_1=0.0, beta_2=0.5, epsilon=0.0)
    weights = (tf.constant([1.0], tf.float64),)
    state, w = rule.init(weights), 1.0
    for k, (gradient, step) in enumerate(zip((1.0, 2.0, 4.0), steps, strict=True)):
        weights, state = rule.update(weights, [tf.constant([gradient], tf.float64)], state, k)
        w -= 0.1 * step
        assert float(weights[0][0]) == pytest.approx(w, abs=1e-12)


def test_a_written_learning_rate_survives_the_float32_variable_that_keras_keeps_it_in():
    assert from_keras(keras.optimizers.SGD(0.003)).learning_rate == 0.003


def test_with_beta_1_zero_the_first_moment_is_not_stored():
    weights = (tf.zeros((2,)),)
    assert len(InnerAdam(0.1).init(weights).slots) == 1
    assert len(InnerAdam(0.1, beta_1=0.9).init(weights).slots) == 2


@pytest.mark.parametrize(
    ("optimizer", "text"),
    [
        (lambda: keras.optimizers.RMSprop(), "must be one of SGD.*and Adam.*Received: RMSprop"),
        (lambda: keras.optimizers.AdamW(), "must be one of SGD.*Received: AdamW"),
        (lambda: keras.optimizers.SGD(clipvalue=1.0), "a SGD that also has {'clipvalue': 1.0}"),
        (lambda: keras.optimizers.SGD(clipnorm=-1.0), "`clipnorm` must be a number above 0. Rec"),
        (lambda: keras.optimizers.Adam(amsgrad=True), "supports SGD.*also has {'amsgrad': True}"),
        (lambda: keras.optimizers.Adam(use_ema=True), "also has {'use_ema': True}. Leave these"),
    ],
)
def test_what_the_rules_do_not_have_is_refused(optimizer, text):
    with pytest.raises(ValueError, match=text):
        from_keras(optimizer())


def test_adams_epsilon_stands_outside_the_root():
    # Gradient 2, beta 2 = 0.5: v = 0.5 * 4 = 2, so the step is 0.1 sqrt(0.5) * 2 / (sqrt(2) + 1).
    rule = InnerAdam(0.1, beta_1=0.0, beta_2=0.5, epsilon=1.0)
    weights = (tf.constant([0.0], tf.float64),)
    weights, _ = rule.update(weights, [tf.constant([2.0], tf.float64)], rule.init(weights), 0)
    expected = -0.1 * np.sqrt(0.5) * 2 / (np.sqrt(2) + 1)
    assert float(weights[0][0]) == pytest.approx(expected, abs=1e-12)
