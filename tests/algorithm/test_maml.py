"""MAML's gradient through the inner loop, against finite differences and worked-out cases."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import episode, scalar_model, small_batches, small_convnet, weight

import keras_reptile as kr
from keras_reptile.algorithm import losses
from keras_reptile.algorithm.adaptation import adapt, adapt_and_differentiate
from keras_reptile.algorithm.inner_optimizers import InnerAdam, InnerSGD
from keras_reptile.algorithm.network_function import NetworkFunction
from keras_reptile.kernels.batch_normalization import fused_normalization, normalization


def smooth_convnet(ways=3):
    """Without the kinks of ReLU and max-pooling, which finite differences would step over."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, strides=2, activation="tanh"),
            keras.layers.BatchNormalization(),
            keras.layers.AveragePooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(ways, kernel_regularizer=keras.regularizers.L2(0.01)),
        ]
    )


def smooth_dense():
    """What is traced in half the time, for tests of the steps."""
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(4, "tanh"),
            keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.01)),
        ]
    )


OPTIMIZERS = {
    "sgd": InnerSGD(0.1),
    "momentum": InnerSGD(0.1, momentum=0.9),
    "nesterov": InnerSGD(0.1, momentum=0.9, nesterov=True),
    "adam without first moment": InnerAdam(0.02, epsilon=1e-3),
    "adam": InnerAdam(0.02, beta_1=0.9, epsilon=1e-3),
}


class Problem:
    """One task's inner loop, from moments that are not zero, and the loss of its last minibatch."""

    def __init__(self, name, tail_shots, network):
        keras.utils.set_random_seed(1)
        self.network, self.optimizer = network(), OPTIMIZERS[name]
        (tasks,) = small_batches(1, seed=4, tail_shots=tail_shots, inner_steps=4)
        element = tf.nest.map_structure(lambda t: t[0], tasks)
        self.support, self.order = element["support"], element["order"]
        self.tail = element.get("tail")
        self.theta = [tf.convert_to_tensor(v) for v in self.network.trainable_variables]
        warm_up = self.optimizer.init(self.theta)
        self.state = self.adapt(adapt, self.theta, warm_up, self.order[:2]).state

    def loss(self, weights, minibatch, step):
        x, y = (tf.gather(t, minibatch) for t in self.support)
        outputs, penalty = NetworkFunction(self.network).train(weights, x, tf.constant([0, 0, 0]))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
        return losses.batch_loss(loss, y, outputs) + penalty

    def adapt(self, function, theta, state, order, tail=None):
        return function(self.loss, self.optimizer, theta, state, order, tail, rate=0.95)

    def last_loss(self, theta):
        order, last = (
            (self.order[:-1], self.order[-1])
            if self.tail is None
            else (
                self.order,
                self.tail,
            )
        )
        reached = self.adapt(adapt, theta, self.state, order).weights
        return self.loss([0.95 * w for w in reached], last, 3)


def slope(function, theta, direction, h=1e-5):
    """The derivative along a direction, from four points around theta."""

    def at(distance):
        return float(function([t + distance * d for t, d in zip(theta, direction, strict=True)]))

    return (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tail_shots", "network"),
    [
        ("sgd", 2, smooth_dense),
        ("momentum", None, smooth_dense),
        ("nesterov", 2, smooth_dense),
        ("adam without first moment", None, smooth_dense),
        ("adam", 2, smooth_convnet),
        ("adam", None, smooth_dense),
    ],
)
def test_the_gradient_is_that_of_finite_differences(name, tail_shots, network, float64):
    problem = Problem(name, tail_shots, network)
    last_loss = tf.function(problem.last_loss, autograph=False)
    function = tf.function(
        lambda theta: problem.adapt(
            adapt_and_differentiate, theta, problem.state, problem.order, problem.tail
        ),
        autograph=False,
    )
    gradient = function(problem.theta).gradient
    rs = np.random.RandomState(0)
    for _ in range(3):
        direction = [rs.randn(*t.shape) for t in problem.theta]
        found = sum(np.sum(g * d) for g, d in zip(gradient, direction, strict=True))
        assert found == pytest.approx(slope(last_loss, problem.theta, direction), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_eager_and_graph_find_the_same_gradient_and_the_same_solution(name, float64):
    problem = Problem(name, None, smooth_dense)
    run = lambda f: problem.adapt(f, problem.theta, problem.state, problem.order)  # noqa: E731
    eager = run(adapt_and_differentiate)
    graph = tf.function(run, autograph=False)(adapt_and_differentiate)
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9), eager, graph)
    plain = run(adapt)
    for a, b in zip(eager.weights, plain.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


# Of loss (w - c)^2 with inner SGD 0.1, which takes w - c to 0.8 (w - c), from w = 0.
def maml(steps, loss="mean_squared_error", rate=1.0, learning_rate=0.1, start=0.0, batch=1):
    inner = keras.optimizers.SGD(learning_rate)
    arguments = dict(method="maml", inner_weight_decay_rate=rate)
    model = scalar_model(inner, keras.optimizers.SGD(1.0), start, **arguments)
    model.compile(keras.optimizers.SGD(1.0), loss=loss)
    x, y = np.ones((2, batch, 1), np.float32), np.float32([[[1]] * batch, [[3]] * batch])
    order = np.tile(np.arange(batch), (2, steps, 1))
    model.train_on_batch(episode(x, y, order))
    return start - weight(model)


def test_one_step_is_the_gradient_of_the_mean_loss():
    # 2 (0 - c): -2 and -6.
    assert maml(steps=1) == pytest.approx(-4)


def test_two_steps_by_hand():
    # w_1 - c = -0.8 c, and dw_1/dtheta = 0.8: 2 * -0.8 c * 0.8 = -1.28 c, in the mean of 1 and 3.
    assert maml(steps=2) == pytest.approx(-2.56)


def test_three_steps_by_hand():
    # w_2 - c = -0.64 c, dw_2/dtheta = 0.64: -0.8192 c.
    assert maml(steps=3) == pytest.approx(-1.6384)


def test_a_summed_loss_is_derived_as_a_sum():
    # Five times (w - c)^2: with rate 0.01, w - c shrinks by 1 - 0.1. 10 * -0.9 c * 0.9 = -8.1 c.
    loss = keras.losses.MeanSquaredError(reduction="sum")
    assert maml(steps=2, loss=loss, learning_rate=0.01, batch=5) == pytest.approx(-16.2)


def test_weight_decay_is_derived_too():
    # Decay 1/2, and rate 1/4 halves w - c. From 4: decayed to 2, w_1 = 2 + (c - 2) / 2, decayed to
    # 0.5 + c / 4. Its loss has gradient 2 (0.5 - 0.75 c), times 1/2 * 1/2 * 1/2 for what led there:
    # -0.0625 for c = 1, -0.4375 for c = 3.
    found = maml(steps=2, rate=0.5, learning_rate=0.25, start=4.0)
    assert found == pytest.approx(-0.25)


def test_a_gradient_of_zero_is_no_trouble_to_adam(float64):
    # At w = 0 the target 0 has gradient 0 and second derivative 2: Adam's first step is 0, its
    # derivative -a sqrt(1 - b2) / epsilon * 2 = -2 sqrt(0.001) for a = epsilon. Then the target 1.
    inner = keras.optimizers.Adam(0.1, beta_1=0.0, epsilon=0.1)
    model = scalar_model(inner, keras.optimizers.SGD(1.0), method="maml")
    x, y = np.ones((1, 2, 1)), np.array([[[0.0], [1.0]]])
    model.train_on_batch(episode(x, y, [[[0], [1]]]))
    assert weight(model) == pytest.approx(2 * (1 - 2 * np.sqrt(0.001)), rel=1e-6)


def test_a_dead_weight_stays_where_it_is_under_adam():
    dense = keras.layers.Dense(1, use_bias=False)
    network = keras.Sequential([keras.Input((2,)), dense])
    network.set_weights([np.float32([[0.5], [0.7]])])
    model = kr.ReptileModel(network, keras.optimizers.Adam(0.1, beta_1=0.0), method="maml")
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error")
    x, y = np.float32([[[1.0, 0.0]]]), np.float32([[[2.0]]])
    model.train_on_batch(episode(x, y, [[[0]] * 3]))
    assert np.isfinite(network.get_weights()[0]).all()
    assert network.get_weights()[0][1, 0] == np.float32(0.7)


def hessian_times(function, arrays, direction, dtype):
    values, direction = ([tf.constant(a, dtype) for a in part] for part in (arrays, direction))
    with tf.GradientTape() as outer:
        outer.watch(values)
        with tf.GradientTape() as inner:
            inner.watch(values)
            y = function(*values)
            loss = tf.reduce_sum(tf.tanh(y) * tf.cos(tf.cast(tf.range(tf.size(y)), dtype)))
        gradients = inner.gradient(loss, values)
        along = tf.add_n([tf.reduce_sum(g * d) for g, d in zip(gradients, direction, strict=True)])
    return [h.numpy() for h in outer.gradient(along, values)], [g.numpy() for g in gradients]


def flattened(normalize):
    return lambda x, gamma, beta: tf.reshape(normalize(x, gamma, beta, 1e-3), [-1])


@pytest.fixture
def arrays_and_direction():
    rs, shapes = np.random.RandomState(0), ((10, 5, 5, 4), (4,), (4,))
    return [rs.randn(*s) for s in shapes], [rs.randn(*s) for s in shapes]


def test_batch_normalization_is_rightly_derived_twice(arrays_and_direction):
    arrays, direction = arrays_and_direction
    function = flattened(normalization)
    found, _ = hessian_times(function, arrays, direction, tf.float64)
    ahead, behind = (
        hessian_times(
            function,
            [a + h * d for a, d in zip(arrays, direction, strict=True)],
            direction,
            tf.float64,
        )[1]
        for h in (1e-6, -1e-6)
    )
    for h, plus, minus in zip(found, ahead, behind, strict=True):
        np.testing.assert_allclose(h, (plus - minus) / 2e-6, atol=1e-7)


def test_the_fused_operation_is_derived_twice_as_the_equation_is(arrays_and_direction):
    fused, _ = hessian_times(flattened(fused_normalization), *arrays_and_direction, tf.float32)
    exact, _ = hessian_times(flattened(normalization), *arrays_and_direction, tf.float64)
    for a, b in zip(fused, exact, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


@pytest.mark.parametrize("layer", ["LayerNormalization", "GroupNormalization"])
def test_layers_with_a_wrong_second_derivative_are_refused(layer):
    kind = getattr(keras.layers, layer)
    extra = [kind(groups=2)] if layer == "GroupNormalization" else [kind()]
    network = small_convnet(extra=extra)
    kr.ReptileModel(network, method="fomaml")
    with pytest.raises(ValueError, match=r"wrong second derivative.*Received.*layers \['.*norm"):
        kr.ReptileModel(network, method="maml")
