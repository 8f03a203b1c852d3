import inspect
import threading

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_convnet

import keras_reptile as kr
from keras_reptile.algorithm.network_function import NetworkFunction
from keras_reptile.kernels.batch_normalization import (
    FUSED_STATISTICS,
    fused_normalization,
    normalization,
    standardized,
)
from keras_reptile.kernels.switching import fast_forms

DRAW = tf.constant([0, 0, 0])


def normalized(x, gamma, beta, epsilon):
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axis=axes), x.var(axis=axes)
    return gamma * (x - mean) / np.sqrt(variance + epsilon) + beta


@pytest.mark.parametrize("shape", [(6, 5), (4, 7, 5), (3, 4, 4, 5), (2, 3, 3, 2, 5)])
def test_the_fused_operation_is_the_equation(shape):
    rs = np.random.RandomState(0)
    x, gamma, beta = (rs.randn(*s).astype(np.float32) for s in (shape, (5,), (5,)))
    found = fused_normalization(tf.constant(x), gamma, beta, 1e-3)
    np.testing.assert_allclose(found, normalized(x, gamma, beta, 1e-3), atol=2e-5)
    plain = fused_normalization(tf.constant(x), None, None, 1e-3)
    np.testing.assert_allclose(plain, normalized(x, 1, 0, 1e-3), atol=2e-5)


@pytest.mark.parametrize("axis", [-1, 1, 2])
def test_the_plain_operations_are_the_equation(axis):
    rs = np.random.RandomState(0)
    # Of a variance near epsilon, and a mean far from zero.
    x = 3 + 0.03 * rs.randn(4, 5, 6)
    gamma, beta = rs.randn(2, x.shape[axis])
    found = normalization(tf.constant(x), gamma, beta, 1e-3, axis)
    last = normalized(np.moveaxis(x, axis, -1), gamma, beta, 1e-3)
    np.testing.assert_allclose(found, np.moveaxis(last, -1, axis), atol=1e-12)
    plain = normalization(tf.constant(x), None, None, 1e-3, axis)
    last = normalized(np.moveaxis(x, axis, -1), 1, 0, 1e-3)
    np.testing.assert_allclose(plain, np.moveaxis(last, -1, axis), atol=1e-12)


def test_the_written_out_gradients_are_the_derived_ones():
    rs = np.random.RandomState(1)
    x, weights = tf.constant(rs.randn(7, 3)), tf.constant(rs.randn(7, 3))
    inputs = [x, *(tf.constant(rs.randn(3)) for _ in ("gamma", "beta"))]

    def derived(x, gamma, beta):
        centred = x - tf.reduce_mean(x, 0)
        return gamma * centred / tf.sqrt(tf.reduce_mean(centred**2, 0) + 0.1) + beta

    found = []
    for function in (derived, lambda *inputs: standardized(*inputs, 0.1)):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                loss = tf.reduce_sum(weights * tf.sin(function(*inputs)))
            first = inner.gradient(loss, inputs)
            norm = sum(tf.reduce_sum(tf.cos(g) * g**2) for g in first)
        found.append([*first, *outer.gradient(norm, inputs)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


def test_training_and_prediction_both_use_the_batchs_own_statistics():
    network = small_convnet()
    x = np.random.RandomState(0).rand(7, 8, 8, 1).astype(np.float32)
    expected = network(x, training=True).numpy()
    network.set_weights(small_convnet().get_weights())
    weights = [tf.convert_to_tensor(v) for v in network.trainable_variables]
    np.testing.assert_allclose(
        NetworkFunction(network).train(weights, x, DRAW)[0], expected, atol=1e-5
    )
    np.testing.assert_allclose(NetworkFunction(network).predict(weights, x), expected, atol=1e-5)


def test_the_network_is_left_as_it_was():
    network = small_convnet()
    x = np.random.RandomState(0).rand(7, 8, 8, 1).astype(np.float32)
    weights, outputs = network.get_weights(), network(x).numpy()
    NetworkFunction(network).train(network.trainable_variables, x, DRAW)
    NetworkFunction(network).predict(network.trainable_variables, x)
    for before, after in zip(weights, network.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(network(x), outputs)
    with pytest.raises(RuntimeError, match=r"inside"), fast_forms(network, [FUSED_STATISTICS]):
        raise RuntimeError("inside")
    np.testing.assert_array_equal(network(x), outputs)


def test_a_frozen_layer_keeps_to_its_moving_averages():
    network = small_convnet()
    network.layers[1].trainable = False
    x = np.random.RandomState(0).rand(7, 8, 8, 1).astype(np.float32)
    found = NetworkFunction(network).predict(network.trainable_variables, x)
    np.testing.assert_allclose(found, network(x, training=False), atol=1e-5)


def test_support_statistics_make_inference_mode_normalize_by_the_support_set():
    network = small_convnet()
    x = np.random.RandomState(0).rand(9, 8, 8, 1).astype(np.float32)
    state = NetworkFunction(network).support_statistics(network.trainable_variables, x)
    found, _ = network.stateless_call(network.trainable_variables, state, x, training=False)
    np.testing.assert_allclose(found, network(x, training=True), atol=1e-5)


def test_support_statistics_are_taken_without_dropout():
    layers = [keras.layers.Dropout(0.5), keras.layers.GaussianNoise(1.0)]
    network = keras.Sequential(
        [keras.Input((4,)), *layers, keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    )
    x = np.random.RandomState(0).rand(9, 4).astype(np.float32)
    state = NetworkFunction(network).support_statistics(network.trainable_variables, x)
    paths = [v.path.rpartition("/")[2] for v in network.non_trainable_variables]
    found = dict(zip(paths, state, strict=True))
    np.testing.assert_allclose(found["moving_mean"], x.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found["moving_variance"], x.var(axis=0), atol=1e-5)


def dropout_network():
    return keras.Sequential([keras.Input((50,)), keras.layers.Dropout(0.5, seed=1)])


def test_dropout_draws_another_mask_for_every_task_and_step_and_none_in_prediction():
    network, x = dropout_network(), tf.ones((1, 50))
    masks = {
        NetworkFunction(network)
        .train([], x, tf.constant([iteration, task, step]))[0]
        .numpy()
        .tobytes()
        for iteration in range(2)
        for task in range(2)
        for step in range(2)
    }
    assert len(masks) == 8
    again = [NetworkFunction(network).train([], x, DRAW)[0].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*again)
    np.testing.assert_array_equal(NetworkFunction(network).predict([], x), x)


def test_regularization_losses_are_returned_as_the_penalty():
    regularizer = keras.regularizers.L2(0.5)
    network = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_regularizer=regularizer)]
    )
    _, penalty = NetworkFunction(network).train([tf.constant([[3.0]])], tf.ones((1, 1)), DRAW)
    assert float(penalty) == pytest.approx(4.5)


@keras.saving.register_keras_serializable(package="tests")
class DoubledOutputs(keras.layers.BatchNormalization):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)


def test_a_normalization_of_ones_own_computes_what_it_does_by_the_batchs_statistics():
    network = keras.Sequential([keras.Input((2,)), DoubledOutputs()])
    x = tf.constant(np.random.RandomState(0).randn(6, 2).astype(np.float32))
    wanted = network(x, training=True)
    with fast_forms(network, [FUSED_STATISTICS]):
        np.testing.assert_array_equal(network(x, training=False), wanted)


@pytest.mark.parametrize("axis", [-1, 1])
def test_a_synchronized_normalization_is_that_of_the_minibatch(axis):
    # Over replicas, Keras computes E(x^2) - E(x)^2, which is far off where the mean is large.
    layer = keras.layers.BatchNormalization(axis=axis, synchronized=True)
    network = keras.Sequential([keras.Input((5, 6)), layer])
    x = (3e3 + np.random.RandomState(0).randn(8, 5, 6)).astype(np.float32)
    found = NetworkFunction(network).train(network.trainable_variables, x, DRAW)[0]
    expected = normalized(np.moveaxis(x, axis, -1).astype(np.float64), 1, 0, layer.epsilon)
    np.testing.assert_allclose(found, np.moveaxis(expected, -1, axis), atol=0.01)


def test_renormalization_is_refused():
    if "renorm" not in inspect.signature(keras.layers.BatchNormalization).parameters:
        pytest.skip("this Keras has no batch renormalization")
    layer = keras.layers.BatchNormalization(renorm=True, name="again")
    with pytest.raises(ValueError, match=r"with the layers \['again'\]. Use renorm=False"):
        kr.ReptileModel(keras.Sequential([keras.Input((2,)), layer]))


def test_other_threads_see_layers_as_they_are():
    network = keras.Sequential([keras.Input((2,)), keras.layers.BatchNormalization()])
    x, found = tf.constant([[1.0, 2.0], [3.0, 5.0]]), []
    plain = network(x, training=False)
    with fast_forms(network, [FUSED_STATISTICS]):
        thread = threading.Thread(target=lambda: found.append(network(x, training=False)))
        thread.start()
        thread.join()
        assert np.any(network(x, training=False) != plain)
    np.testing.assert_array_equal(found[0], plain)


def test_a_call_that_was_set_on_a_layer_is_kept():
    layer = keras.layers.BatchNormalization()
    network = keras.Sequential([keras.Input((2,)), layer])
    own = lambda inputs, training=None, mask=None: 7 * inputs  # noqa: E731
    object.__setattr__(layer, "call", own)
    x = tf.ones((2, 2))
    with fast_forms(network, [FUSED_STATISTICS]):
        np.testing.assert_array_equal(network(x), 7 * x)
    assert layer.call is own
