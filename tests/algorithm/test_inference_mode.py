"""Batch normalization that a network calls with `training=False`, which Keras keeps."""

import keras
import numpy as np
import pytest
from helpers import small_convnet, small_episodes, small_model

import keras_reptile as kr
from keras_reptile.algorithm.inference_mode import called_in_inference

LAYERS = keras.layers
X = np.zeros((3, 8, 8, 1), np.float32)
Y = [0, 1, 2]
TEXT = r"in every mode\. Received: a network that calls the layers \['kept'\] with training=False"


class Block(LAYERS.Layer):
    """Batch normalization in a layer, whose own default is inference mode."""

    def __init__(self, **how):
        super().__init__()
        self.kept, self.how = LAYERS.BatchNormalization(name="kept"), how

    def call(self, x, training=False):
        return self.kept(x, **{"training": training, **self.how})


class WithoutMode(keras.Model):
    """A network whose `call` takes no mode, as its layers do."""

    def __init__(self, block):
        super().__init__()
        self.flatten, self.block, self.dense = LAYERS.Flatten(), block, LAYERS.Dense(3)

    def call(self, x):
        return self.dense(self.block(self.flatten(x)))


class ByTheNetwork(WithoutMode):
    def call(self, x):
        return self.dense(self.block(self.flatten(x), training=False))


class WithMode(WithoutMode):
    def call(self, x, training=None):
        return self.dense(self.block(self.flatten(x), **self.mode(training)))

    def mode(self, training):
        return {"training": training}


class PassingNothing(WithMode):
    def mode(self, training):
        return {}


class WithKeywords(WithoutMode):
    def call(self, x, **kwargs):
        return self.dense(self.block(self.flatten(x)))


class Backbone(WithMode):
    """The usual way to keep a backbone's moving averages in Keras."""

    def mode(self, training):
        return {"training": False}


def functional(block):
    x = keras.Input((8, 8, 1))
    return keras.Model(x, LAYERS.Dense(3)(block(LAYERS.Flatten()(x))))


def backbone_in_a_functional_network():
    """Keras gives the mode of the outer network to the backbone, and not False."""
    x, images = keras.Input((8, 8, 1)), keras.Input((8, 8, 1))
    features = keras.Model(images, Block()(LAYERS.Flatten()(images)))
    return keras.Model(x, LAYERS.Dense(3)(features(x, training=False)))


def frozen(network):
    network(X)
    network.block.kept.trainable = False
    return network


REFUSED = {
    "in a layer": lambda: functional(Block(training=False)),
    "as an integer": lambda: functional(Block(training=0)),
    "in a network without a mode": lambda: WithoutMode(Block(training=False)),
    "by the network": lambda: ByTheNetwork(LAYERS.BatchNormalization(name="kept")),
    "a backbone": lambda: Backbone(Block()),
}
TAKEN = {
    "functional": small_convnet,
    "a backbone in a functional network": backbone_in_a_functional_network,
    "the mode is passed on": lambda: WithMode(Block()),
    "the mode is that of the network": lambda: PassingNothing(Block()),
    "the mode is among keywords": lambda: WithKeywords(Block()),
    "a default in a network without a mode": lambda: WithoutMode(Block()),
    "always in training": lambda: WithoutMode(Block(training=True)),
    "frozen": lambda: frozen(Backbone(Block())),
}


def built(network):
    network(X)
    return network


@pytest.mark.parametrize("name", REFUSED)
def test_false_is_found_by_the_layers_name(name):
    assert called_in_inference(built(REFUSED[name]()), X) == ["kept"]


@pytest.mark.parametrize("name", TAKEN)
def test_nothing_is_found_where_keras_would_train_by_the_batch(name):
    network = built(TAKEN[name]())
    before = network.get_weights()
    assert called_in_inference(network, X) == []
    assert all((a == b).all() for a, b in zip(before, network.get_weights(), strict=True))


def test_every_use_of_such_a_network_is_refused():
    episodes = small_episodes(tasks=2)
    make = lambda: small_model(built(Backbone(Block())))  # noqa: E731
    with pytest.raises(ValueError, match=TEXT + r"\. Set their `trainable = False`"):
        make().fit(episodes, verbose=0)
    with pytest.raises(ValueError, match=TEXT):
        kr.evaluate(make(), episodes, verbose=0)
    with pytest.raises(ValueError, match=TEXT):
        make().adapt(X, Y, steps=1)


def test_an_export_of_such_a_network_is_refused(tmp_path):
    model = small_model(functional(Block(training=False)))
    with pytest.raises(ValueError, match=TEXT):
        model.export_learner(tmp_path / "learner")
