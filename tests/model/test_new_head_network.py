"""The network with a new head: its class, layers, weights and seeds are those of the first."""

import keras
import numpy as np
import pytest
from helpers import small_model

from keras_reptile.algorithm.network_copy import replace_head
from keras_reptile.algorithm.network_function import seeds_of
from keras_reptile.demo.browser_network import browser_network
from keras_reptile.keras_internals import all_layers


def layers_with_all():
    """Layers with a seed, a policy, a frozen layer, and a layer that a nested network shares."""
    shared = keras.layers.Dense(4, name="shared")
    x = keras.Input((4,), name="of_nested")
    add = keras.layers.Add(name="add")
    nested = keras.Model(x, add([shared(x), shared(shared(x))]), name="nested")
    return [
        keras.layers.Flatten(name="flat"),
        keras.layers.Dense(4, name="first", trainable=False),
        keras.layers.BatchNormalization(name="norm"),
        nested,
        keras.layers.Dropout(0.5, seed=3, name="drop"),
        keras.layers.Dense(3, name="head", dtype="mixed_bfloat16"),
    ]


def sequential(layers):
    given = keras.Input((8, 8, 1), name="images")
    return keras.Sequential([given, *layers], name="mine")


def functional(layers):
    x = images = keras.Input((8, 8, 1), name="images")
    for layer in layers:
        x = layer(x)
    return keras.Model(images, x, name="mine")


def pair():
    """A `Sequential` and a functional network of the same layers, weights and seeds."""
    one, two = sequential(layers_with_all()), functional(layers_with_all())
    for seed in seeds_of(one):
        seed.assign(np.array([5, 7]))
    two.set_weights(one.get_weights())
    for seed, value in zip(seeds_of(two), seeds_of(one), strict=True):
        seed.assign(value)
    return one, two


def facts_of(network):
    """Names, policies and frozen layers at all depths, variables in order, seeds and inputs."""
    layers = [each for each in all_layers(network) if each.name != "images"]
    return (
        network.name,
        [(each.name, each.dtype_policy.name, each.trainable) for each in layers],
        [(v.name, tuple(v.shape), v.dtype) for v in network.variables],
        [np.asarray(seed).tolist() for seed in seeds_of(network)],
        [(tuple(t.shape), t.dtype, t.name) for t in network.inputs],
    )


def test_a_sequential_network_stays_sequential_and_has_all_that_a_functional_one_has():
    one, two = (replace_head(network, 5, seed=1) for network in pair())
    assert type(one) is keras.Sequential and type(two) is not keras.Sequential
    assert facts_of(one) == facts_of(two)
    assert one.output_shape == (None, 5)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_first_network_stays_as_it_is():
    one, _ = pair()
    before, weights = facts_of(one), one.get_weights()
    replace_head(one, 5, seed=1)
    assert facts_of(one) == before
    for a, b in zip(one.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_network_that_subclasses_sequential_has_a_functional_copy():
    class Mine(keras.Sequential):
        pass

    keras.saving.register_keras_serializable(package="tests")(Mine)
    made = replace_head(Mine([keras.Input((4,)), keras.layers.Dense(3)]), 5, seed=1)
    assert made.output_shape == (None, 5)


@pytest.mark.slow
@pytest.mark.parametrize("head", ["replace", "shared"])
def test_a_learner_has_the_class_of_its_network_and_the_bits_of_a_functional_one(head, tmp_path):
    learners = []
    plain = [keras.layers.Flatten(), keras.layers.Dropout(0.5, seed=3)]
    for make in (sequential, functional):
        kernel = keras.initializers.GlorotUniform(2)
        layers = [type(each).from_config(each.get_config()) for each in plain]
        network = make([*layers, keras.layers.Dense(3, kernel_initializer=kernel)])
        model = small_model(network, head="shared" if head == "shared" else "separate")
        model.save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
        images = np.random.RandomState(0).rand(5, 8, 8, 1).astype("float32")
        learners.append(model.adapt(images, np.arange(5), steps=3, head=head))
    one, two = learners
    assert isinstance(one, keras.Sequential) and not isinstance(two, keras.Sequential)
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.predict(images, verbose=0), two.predict(images, verbose=0))


def test_a_page_computes_a_model_with_other_ways():
    model = small_model(head="shared").with_head(5)
    assert browser_network(model)["outputs"] == 5
