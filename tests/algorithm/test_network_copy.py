"""Networks that can be trained, but that Keras cannot make from their configuration."""

import json
import warnings

import keras
import numpy as np
import pytest
from helpers import differences, small_episodes, small_model

import keras_reptile as kr
from keras_reptile.algorithm.network_copy import copy_of

IMAGES = np.zeros((3, 8, 8, 1), np.float32)


class Scaled(keras.layers.Layer):
    """Not registered."""

    def call(self, x):
        return 2.0 * x


@keras.saving.register_keras_serializable(package="tests")
class Registered(Scaled):
    pass


@keras.saving.register_keras_serializable(package="tests")
class Forgetful(keras.layers.Layer):
    """Its `get_config` lacks an argument of `__init__`."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return self.factor * x

    def get_config(self):
        return {"name": self.name}


@keras.saving.register_keras_serializable(package="tests")
class DefaultUnits(keras.layers.Dense):
    """Its `get_config` lacks an argument that has a default."""

    def __init__(self, units=2, **kwargs):
        super().__init__(units, **kwargs)

    def get_config(self):
        return {"name": self.name}


def network(layer):
    layers = [keras.layers.Flatten(), layer, keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


NOT_COPIED = {
    "Lambda 'mine'": lambda: keras.layers.Lambda(lambda x: 2.0 * x, name="mine"),
    "Scaled 'mine'": lambda: Scaled(name="mine"),
    "Forgetful 'mine'": lambda: Forgetful(2.0, name="mine"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOT_COPIED)
def test_fit_warns_once_of_a_network_that_cannot_be_copied(name):
    model = small_model(network(NOT_COPIED[name]()))
    with pytest.warns(UserWarning, match=rf"Keras cannot do that: {name}.*register custom classes"):
        model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(small_episodes(), steps_per_epoch=1, verbose=0)


@pytest.mark.parametrize("name", NOT_COPIED)
def test_what_needs_a_copy_is_refused_in_the_same_words(name, tmp_path):
    model = small_model(network(NOT_COPIED[name]()))
    with pytest.raises(ValueError, match=rf"`adapt`, exports and .* do that: {name}.*get_config"):
        model.adapt(IMAGES, [0, 1, 2], steps=1)
    with pytest.raises(ValueError, match=rf"Keras cannot do that: {name}"):
        model.export_learner(tmp_path / "learner")


def shared_with_a_nested_model():
    dense = keras.layers.Dense(64)
    nested = keras.Sequential([keras.Input((64,)), dense])
    images = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(images)
    return keras.Model(images, keras.layers.Dense(3)(nested(dense(flat))))


def of_default_units():
    return keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), DefaultUnits(4)])


@pytest.mark.parametrize("make", [shared_with_a_nested_model, of_default_units])
def test_a_copy_with_other_weights_is_refused(make):
    with pytest.raises(ValueError, match=r"another number or shape.*`get_config` return"):
        small_model(make()).adapt(IMAGES, [0, 1, 2], steps=1)


@pytest.mark.parametrize("layer", [keras.layers.ReLU(), Registered()])
def test_fit_does_not_warn_of_a_network_that_can_be_copied(layer):
    model = small_model(network(layer))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model._before_fit()


@keras.saving.register_keras_serializable(package="tests")
class FlatAndDense(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(3)

    def call(self, x):
        return self.dense(self.flatten(x))


def test_a_copy_of_a_subclassed_network_has_the_same_frozen_layers():
    original = FlatAndDense()
    original(np.zeros((1, 8, 8, 1), "float32"))
    original.dense.trainable = False
    copied = copy_of(original)
    assert [layer.trainable for layer in copied.layers] == [True, False]
    np.testing.assert_array_equal(copied.dense.kernel, original.dense.kernel)


def sequential():
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])


@pytest.mark.slow
@pytest.mark.parametrize("make", [sequential, FlatAndDense])
def test_weights_are_loaded_into_a_network_that_was_not_built(make, tmp_path):
    model = small_model(make())
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    model.save_weights(tmp_path / "of.weights.h5")
    other = small_model(make())
    with pytest.raises(ValueError, match=r"Received: a network that is not.*build_from_config"):
        other.load_weights(tmp_path / "of.weights.h5")
    # As KerasTuner's `get_best_models` does.
    other.build_from_config(json.loads(json.dumps(model.get_build_config())))
    other.load_weights(tmp_path / "of.weights.h5")
    assert differences(model, other) == 0
    assert len(other.weights) == len(model.weights) == 5


def test_a_new_model_has_the_random_numbers_that_it_would_have_had():
    def kernel_after(act):
        keras.utils.set_random_seed(0)
        act()
        return keras.layers.Dense(3).kernel_initializer.seed

    model = kr.ReptileModel(network(Registered()))
    model.compile("sgd")
    assert kernel_after(model._before_fit) == kernel_after(lambda: None)
