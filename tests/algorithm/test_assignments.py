"""Layers that assign to variables in their `call`, which an inner loop would lose."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_episodes, small_model

import keras_reptile as kr
from keras_reptile.algorithm.assignments import assigned, check_assignments

LAYERS = keras.layers


class Counting(LAYERS.Layer):
    """Counts its calls in a variable of Keras's."""

    def build(self, shape):
        self.calls = self.add_weight(shape=(), trainable=False, name="calls")

    def call(self, x):
        self.calls.assign_add(1.0)
        return x


class CountingPastKeras(LAYERS.Layer):
    def __init__(self):
        super().__init__()
        self.calls = tf.Variable(0.0, name="past_keras")

    def call(self, x):
        self.calls.assign_add(1.0)
        return x


class Measuring(LAYERS.Layer):
    def __init__(self):
        super().__init__()
        self.mean = keras.metrics.Mean()

    def call(self, x):
        self.mean.update_state(x)
        return x


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.counting, self.flatten = Counting(name="counting"), LAYERS.Flatten()
        self.dense = LAYERS.Dense(3)

    def call(self, x):
        return self.dense(self.counting(self.flatten(x)))


def network(*layers, shape=(4,)):
    return keras.Sequential([keras.Input(shape), *layers, LAYERS.Dense(3)])


def stateful():
    inputs = keras.Input((3, 2), batch_size=2)
    return keras.Model(inputs, LAYERS.Dense(3)(LAYERS.LSTM(2, stateful=True)(inputs)))


ASSIGNING = {
    "spectral normalization": (
        lambda: network(LAYERS.SpectralNormalization(LAYERS.Dense(3), name="spectral")),
        "spectral/",
    ),
    "in a network in the network": (
        lambda: network(network(LAYERS.SpectralNormalization(LAYERS.Dense(3), name="inner"))),
        "inner/",
    ),
    "a counter": (lambda: network(Counting(name="counting")), "counting/calls"),
    "a variable of TensorFlow's": (
        lambda: network(CountingPastKeras()),
        "counting_past_keras/past_keras",
    ),
    "a stateful recurrent layer": (stateful, "lstm"),
}


@pytest.mark.parametrize("name", ASSIGNING)
def test_a_network_that_assigns_is_refused_by_the_layers_name(name):
    make, layer = ASSIGNING[name]
    with pytest.raises(ValueError, match=rf"a function of its weights.*assigns to \[.*{layer}"):
        kr.ReptileModel(make())


class Noise(LAYERS.Layer):
    def __init__(self, own):
        super().__init__()
        self.generator = keras.random.SeedGenerator(1) if own else None

    def call(self, x, training=False):
        return x + keras.random.normal((4,), seed=self.generator) if training else x


def test_a_layer_that_draws_without_a_generator_of_its_own_is_refused():
    with pytest.raises(ValueError, match=r"generator of its own.*Received: a network with a layer"):
        kr.ReptileModel(network(Noise(own=False)))
    kr.ReptileModel(network(Noise(own=True)))


@pytest.mark.parametrize("built", [False, True])
def test_a_subclassed_network_is_refused_before_it_trains(built):
    made = Subclassed()
    if built:
        made(np.zeros((1, 8, 8, 1), np.float32))
    model = small_model(made)
    with pytest.raises(ValueError, match=r"assigns to \['.*counting/calls'\]. Leave out"):
        model.fit(small_episodes(), steps_per_epoch=1, verbose=0)


def test_a_subclassed_network_is_refused_by_adapt():
    made, x = Subclassed(), np.zeros((3, 8, 8, 1), np.float32)
    made(x)
    with pytest.raises(ValueError, match=r"assigns to \['.*counting/calls'\]"):
        small_model(made).adapt(x, [0, 1, 2], steps=1)


@pytest.mark.parametrize(
    "layers",
    [
        [LAYERS.BatchNormalization(), LAYERS.LayerNormalization()],
        [LAYERS.Dropout(0.5), LAYERS.RMSNormalization()],
        [LAYERS.Reshape((2, 2)), LAYERS.GRU(2, dropout=0.5, recurrent_dropout=0.5)],
        [Measuring()],
    ],
)
def test_moving_averages_random_generators_and_metrics_are_accounted_for(layers):
    made = network(*layers)
    assert assigned(made, made.inputs[0]) == []
    check_assignments(made, made.inputs[0])


def test_looking_for_assignments_changes_nothing():
    made = network(Counting(), LAYERS.BatchNormalization(), LAYERS.Dropout(0.5))
    before = made.get_weights()
    assert assigned(made, made.inputs[0])
    for a, b in zip(made.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
