"""Networks that treat each example by itself, and the work that this saves."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_reptile.algorithm.known_layers import computes_examples_separately
from keras_reptile.algorithm.network_function import NetworkFunction
from keras_reptile.algorithm.prediction import predict

LAYERS = keras.layers


def network(*layers):
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, LAYERS.Flatten(), LAYERS.Dense(3)])


def convnet():
    return network(LAYERS.Conv2D(2, 3, activation="relu"), LAYERS.MaxPooling2D())


def functional(join):
    x = keras.Input((8, 8, 1))
    return keras.Model(x, LAYERS.Dense(3)(LAYERS.Flatten()(join(LAYERS.Conv2D(2, 3)(x)))))


def frozen():
    layer = LAYERS.BatchNormalization()
    layer.trainable = False
    return network(layer)


class Centred(LAYERS.Layer):
    def call(self, x):
        return x - keras.ops.mean(x, axis=0)


class OwnDense(LAYERS.Dense):
    pass


class Subclassed(keras.Model):
    def call(self, x):
        return x


NETWORKS = {
    "convolutions": (convnet, True),
    "dropout": (lambda: network(LAYERS.Dropout(0.5)), True),
    "nested": (lambda: network(network(LAYERS.ReLU()), LAYERS.Reshape((3, 1))), True),
    "functional": (lambda: functional(lambda x: LAYERS.Add()([x, x])), True),
    "frozen batch normalization": (frozen, True),
    "batch normalization": (lambda: network(LAYERS.BatchNormalization()), False),
    "nested batch normalization": (lambda: network(network(LAYERS.BatchNormalization())), False),
    "a mean over the batch": (lambda: network(Centred()), False),
    "an operation": (lambda: functional(lambda x: x - keras.ops.mean(x, axis=0)), False),
    "a subclass": (lambda: network(OwnDense(3)), False),
    "an activation of one's own": (lambda: network(LAYERS.Dense(3, tf.math.tanh)), False),
    "a softmax over the batch": (lambda: network(LAYERS.Softmax(axis=0)), False),
    "a subclassed network": (Subclassed, False),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_only_layers_of_known_kinds_treat_examples_apart(name):
    make, expected = NETWORKS[name]
    assert computes_examples_separately(make()) is expected


SUPPORT, QUERIES = (np.random.RandomState(n).rand(n, 8, 8, 1).astype(np.float32) for n in (6, 4))


@pytest.mark.parametrize("make", [convnet, frozen])
def test_their_inductive_predictions_are_those_with_the_support_set(make):
    made = make()
    found = predict(
        NetworkFunction(made), made.trainable_variables, SUPPORT, QUERIES, transductive=False
    )
    for i, query in enumerate(QUERIES):
        batch = np.concatenate([SUPPORT, query[None]])
        np.testing.assert_allclose(found[i], made(batch, training=False)[-1], atol=1e-6)
    nothing = predict(
        NetworkFunction(made), made.trainable_variables, SUPPORT, QUERIES[:0], transductive=False
    )
    assert nothing.shape == (0, 3)


@pytest.mark.parametrize(("make", "loops"), [(convnet, False), (Centred, True)])
def test_their_queries_are_predicted_at_once(make, loops):
    made = make() if make is convnet else network(make())
    function = tf.function(
        lambda s, q: predict(NetworkFunction(made), made.trainable_variables, s, q, False),
        autograph=False,
    )
    graph = function.get_concrete_function(SUPPORT, QUERIES).graph
    assert any("While" in op.type for op in graph.get_operations()) is loops
