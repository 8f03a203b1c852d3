"""A network as a function of its weights: every way to write its layers that Keras takes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_reptile.algorithm.network_function import NetworkFunction, values_of
from keras_reptile.kernels.forms import (
    ANYWHERE,
    AS_ONE_BATCH,
    BY_XLA_ON_A_CPU,
    ON_A_CPU,
    TWICE_DIFFERENTIABLE,
)

X = np.random.RandomState(0).rand(5, 8, 8, 1).astype("float32")
LAYERS = keras.layers
CALL_ID = tf.constant([0])


class LossOfEachExample(LAYERS.Layer):
    def call(self, x):
        self.add_loss(tf.reduce_sum(x, axis=-1))
        return x


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_losses_of_layers_are_added_in_the_dtype_of_the_weights_and_over_all_examples(policy):
    dense = LAYERS.Dense(
        2,
        kernel_initializer="ones",
        kernel_regularizer=keras.regularizers.L2(1.0),
        activity_regularizer=keras.regularizers.L1(1.0),
        dtype=policy,
    )
    network = keras.Sequential([keras.Input((3,)), LossOfEachExample(), dense])
    _, penalty = NetworkFunction(network).train(
        [tf.ones((3, 2)), tf.zeros(2)], tf.ones((4, 3)), CALL_ID
    )
    # 4 examples of sum 3; 6 ones in the kernel; 2 outputs of 3, as Keras's mean over examples.
    assert penalty.dtype == tf.float32
    assert float(penalty) == pytest.approx(4 * 3 + 6 + 2 * 3, rel=1e-2)


def by_name():
    x = keras.Input((8, 8, 1))
    y = LAYERS.Conv2D(2, 3, padding="same")(inputs=x)
    y = LAYERS.BatchNormalization()(inputs=y)
    y = LAYERS.MaxPooling2D(2)(inputs=y)
    y = LAYERS.UpSampling2D(2, interpolation="bilinear")(inputs=y)
    y = LAYERS.MaxPooling2D(2, strides=1, padding="same")(inputs=y)
    return keras.Model(x, y)


@pytest.mark.parametrize(
    "forms", [ANYWHERE, ON_A_CPU, (*ON_A_CPU, *TWICE_DIFFERENTIABLE), AS_ONE_BATCH]
)
def test_layers_may_be_called_by_the_name_of_their_argument(forms):
    network = by_name()
    weights = values_of(network.trainable_variables)
    found, _ = NetworkFunction(network, forms).train(weights, X, CALL_ID)
    np.testing.assert_allclose(found, network(X, training=True), rtol=1e-4, atol=1e-5)


class WithoutMask(LAYERS.BatchNormalization):
    def call(self, inputs, training=None):
        return super().call(inputs, training=training)


def test_a_normalization_whose_call_takes_no_mask():
    network = keras.Sequential([keras.Input((8, 8, 1)), WithoutMask()])
    f, weights = NetworkFunction(network), values_of(network.trainable_variables)
    by_batch = network(X, training=True)
    found, _ = f.train(weights, X, CALL_ID)
    np.testing.assert_allclose(found, by_batch, atol=1e-5)
    mean, variance = f.support_statistics(weights, X)
    np.testing.assert_allclose([mean, variance], [[X.mean()], [X.var()]], atol=1e-5)


class WithoutMode(LAYERS.BatchNormalization):
    def call(self, x):
        return super().call(x, training=True)


class ByMovingAverages(LAYERS.BatchNormalization):
    def call(self, x, training=None):
        return super().call(x, training=False)


class ByMovingAveragesWithoutMode(LAYERS.BatchNormalization):
    def call(self, x):
        return super().call(x)


@pytest.mark.parametrize("forms", [ANYWHERE, AS_ONE_BATCH])
def test_a_normalization_whose_call_takes_no_mode(forms):
    network = keras.Sequential([keras.Input((8, 8, 1)), WithoutMode()])
    f, weights = NetworkFunction(network, forms), values_of(network.trainable_variables)
    by_batch = network(X)
    np.testing.assert_allclose(f.train(weights, X, CALL_ID)[0], by_batch, atol=1e-5)
    np.testing.assert_allclose(f.predict(weights, X), by_batch, atol=1e-5)
    mean, variance = f.support_statistics(weights, X)
    np.testing.assert_allclose([mean, variance], [[X.mean()], [X.var()]], atol=1e-5)


@pytest.mark.parametrize("kind", [ByMovingAverages, ByMovingAveragesWithoutMode])
def test_a_normalization_that_updates_no_moving_averages_keeps_them(kind):
    layers = [kind(epsilon=0.0), LAYERS.BatchNormalization()]
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    network.layers[0].set_weights(np.array([[1.0], [0.0], [3.0], [4.0]]))
    f, weights = NetworkFunction(network), values_of(network.trainable_variables)
    # The mean and the variance of both layers.
    found = np.ravel(f.support_statistics(weights, X))
    assert found[:2].tolist() == [3, 4]
    z = (X - 3) / 2
    np.testing.assert_allclose(found[2:], [z.mean(), z.var()], rtol=1e-4)


@pytest.mark.parametrize("padding", ["causal", "same"])
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("forms", [AS_ONE_BATCH, BY_XLA_ON_A_CPU])
def test_convolutions_in_one_dimension_are_products_of_patches_too(forms, use_bias, padding):
    options = dict(strides=2, padding=padding, activation="tanh", bias_initializer="ones")
    layer = LAYERS.Conv1D(3, 3, use_bias=use_bias, **options)
    network = keras.Sequential([keras.Input((8, 8)), layer])
    weights = values_of(network.trainable_variables)

    @tf.function(autograph=False)
    def call(x):
        return NetworkFunction(network, forms).train(weights, x, CALL_ID)[0]

    kinds = {o.type for o in call.get_concrete_function(X[..., 0]).graph.get_operations()}
    assert "MatMul" in kinds and "Conv2D" not in kinds
    if forms is AS_ONE_BATCH:
        np.testing.assert_allclose(call(X[..., 0]), network(X[..., 0]), atol=1e-6)
