import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_convnet

import keras_reptile as kr
from keras_reptile.execution.batched_network import batched_network, chain_of
from keras_reptile.kernels import batched_convolution, batched_sums, devices

X = tf.zeros((2, 3, 8, 8, 1))
CHANNELS_LAST = {"data_format": "channels_last"}


def network_of(*layers, **options):
    return keras.Sequential([keras.Input((8, 8, 1), **options), *layers])


@keras.saving.register_keras_serializable(package="tests")
class Doubled(keras.layers.Dense):
    def call(self, inputs, training=None):
        return 2 * super().call(inputs)


def shared_layer():
    x, layer = keras.Input((8, 8, 1)), keras.layers.Dense(1)
    return keras.Model(x, layer(layer(x)))


def residual():
    x = keras.Input((8, 8, 1))
    y = keras.layers.Dense(1)(x)
    return keras.Model(x, keras.layers.Add()([x, y]))


class Own(keras.Sequential):
    def call(self, *args, **kwargs):
        return 2 * super().call(*args, **kwargs)


def frozen():
    network = small_convnet()
    network.layers[0].trainable = False
    return network


def with_frozen_kernel():
    network = network_of(keras.layers.Dense(2))
    network.layers[0]._kernel.trainable = False
    return network


def with_own_call():
    network = network_of(keras.layers.ReLU())
    object.__setattr__(network.layers[0], "call", lambda x: 7 * x)
    return network


def adapted_by_few():
    network = network_of(keras.layers.Dense(2))
    network.layers[0].enable_lora(1)
    return network


Conv2D, Dense = keras.layers.Conv2D, keras.layers.Dense
UNKNOWN = {
    "a kind": lambda: network_of(keras.layers.AveragePooling2D(2)),
    "a class of one's own": lambda: network_of(Doubled(2)),
    "a network of one's own": lambda: Own([keras.Input((8, 8, 1)), Dense(2)]),
    "a call of one's own": with_own_call,
    "a layer twice": shared_layer,
    "two paths": residual,
    "a network in it": lambda: network_of(keras.Sequential([keras.Input((8, 8, 1)), Dense(2)])),
    "a frozen layer": frozen,
    "a frozen weight": with_frozen_kernel,
    "LoRA": adapted_by_few,
    "a penalty": lambda: network_of(Dense(2, kernel_regularizer="l2")),
    "a penalty of outputs": lambda: network_of(Dense(2, activity_regularizer="l2")),
    "an activation": lambda: network_of(Dense(2, activation="gelu")),
    "a leaky rectifier": lambda: network_of(keras.layers.ReLU(negative_slope=0.1)),
    "a bounded rectifier": lambda: network_of(keras.layers.ReLU(6.0)),
    "groups of channels": lambda: network_of(Dense(4), Conv2D(4, 3, groups=2, **CHANNELS_LAST)),
    "channels first": lambda: network_of(Conv2D(4, 1, data_format="channels_first")),
    "another axis": lambda: network_of(keras.layers.BatchNormalization(axis=1)),
    "windows that overlap": lambda: network_of(
        keras.layers.MaxPooling2D(3, strides=2, **CHANNELS_LAST)
    ),
    "half the precision": lambda: network_of(Dense(2, dtype="mixed_bfloat16")),
    "two precisions": lambda: network_of(Dense(2), keras.layers.ReLU(dtype="float64")),
    "integers": lambda: network_of(Dense(2), dtype="int32"),
}


@pytest.mark.parametrize("make", UNKNOWN.values(), ids=UNKNOWN)
def test_a_network_with_something_else_has_no_such_form(make):
    assert batched_network(make(), X) is None


KNOWN = {
    "Omniglot's": lambda: kr.networks.omniglot_convnet(5, (8, 8, 1)),
    "miniImageNet's": lambda: kr.networks.mini_imagenet_convnet(5, (8, 8, 1)),
    "a small one": small_convnet,
    "any size of images": lambda: keras.Sequential(
        [keras.Input((None, None, 1)), Conv2D(4, 3, **CHANNELS_LAST)]
    ),
}


@pytest.mark.parametrize("make", KNOWN.values(), ids=KNOWN)
def test_the_papers_networks_have_one(make):
    assert batched_network(make(), X)


def test_sines_network_has_one():
    assert batched_network(kr.networks.sine_mlp(activation="tanh"), tf.zeros((2, 3, 1)))


def test_images_of_another_shape_or_structure_have_none():
    network = small_convnet()
    assert batched_network(network, tf.zeros((2, 3, 8, 8))) is None
    assert batched_network(network, {"image": X}) is None


def test_a_chain_is_in_the_order_of_calls():
    x = keras.Input((4,))
    second, first = keras.layers.Dense(3), keras.layers.Dense(2)
    assert chain_of(keras.Model(x, second(first(x)))) == [first, second]


@pytest.fixture
def with_forms_for_large_images(monkeypatch):
    """Switches to a GPU's forms for large images."""
    monkeypatch.setattr(devices, "device_kinds", lambda: {"GPU"})
    monkeypatch.setattr(batched_convolution, "MIN_ELEMENTS_BY_ROWS", 1)
    monkeypatch.setattr(batched_sums, "MIN_ROWS_TO_CUT", 16)


@pytest.mark.slow
def test_outputs_and_gradients_are_those_of_each_task_alone(float64):
    assert_as_each_task_alone(small_convnet(), (8, 8, 1))


@pytest.mark.slow
def test_in_the_forms_for_large_images_too(with_forms_for_large_images, float64):
    # Images of 10, 5, 3 and 2 rows.
    assert_as_each_task_alone(kr.networks.mini_imagenet_convnet(3, (10, 9, 2), 8), (10, 9, 2))


def assert_as_each_task_alone(network, image_shape):
    rs = np.random.RandomState(0)
    x = tf.constant(rs.rand(2, 5, *image_shape))
    weights = [tf.constant(rs.randn(2, *v.shape)) for v in network.trainable_variables]
    upstream = tf.constant(rs.randn(2, 5, 3))

    def run(weights, x):
        outputs, gradient_of = batched_network(network, x)(weights, x)
        return outputs, gradient_of(upstream)

    found = tf.function(run, jit_compile=True, autograph=False)(weights, x)
    for i in range(2):
        own = [w[i] for w in weights]
        with tf.GradientTape() as tape:
            tape.watch(own)
            state = network.non_trainable_variables
            outputs, _ = network.stateless_call(own, state, x[i], training=True)
            loss = tf.reduce_sum(outputs * upstream[i])
        wanted = outputs, tape.gradient(loss, own)
        mine = tf.nest.map_structure(lambda t, i=i: t[i], found)
        for a, b in zip(*map(tf.nest.flatten, (mine, wanted)), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)
