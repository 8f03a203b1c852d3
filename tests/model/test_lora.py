"""Networks with LoRA: files keep the factors that inner steps move."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import differences, image_pool, small_batches

import keras_reptile as kr


def with_lora(rank=2):
    """A model whose three layers of known kinds move their factors only, if they have some."""
    layers = [
        keras.layers.Conv2D(3, 3, strides=2),
        keras.layers.Flatten(),
        keras.layers.Dense(4, "relu"),
        keras.layers.Dense(3),
    ]
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    for place in (0, 2, 3) if rank else ():
        network.layers[place].enable_lora(rank)
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.1))
    model.compile(keras.optimizers.SGD(0.5))
    return model


def learned(model):
    images = image_pool().images[:24] / np.float32(255)
    return model.adapt(images, np.repeat([0, 1], 12), steps=2).get_weights()


@pytest.fixture(scope="module")
def trained():
    model = with_lora()
    for meta_batch in small_batches(2):
        model.train_on_batch(meta_batch)
    return model


def loaded(model, kind, path):
    if kind == "model.keras":
        model.save(path)
        return keras.models.load_model(path)
    other = with_lora()
    model.save_weights(path)
    other.load_weights(path)
    return other


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["model.keras", "model.weights.h5"])
def test_files_hold_the_factors(kind, trained, tmp_path):
    other = loaded(trained, kind, tmp_path / kind)
    assert differences(trained, other) == 0
    for a, b in zip(learned(trained), learned(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_an_export_holds_the_factors(trained, tmp_path):
    trained.export_learner(tmp_path / "learner")
    assert differences(trained, kr.pretrained(tmp_path / "learner")) == 0


def test_files_without_the_factors_leave_layers_that_move(tmp_path):
    images = tf.constant(image_pool().images[:5] / np.float32(255))
    plain, models = with_lora(rank=None), (with_lora(), with_lora())
    plain.save_weights(tmp_path / "plain.weights.h5")
    for model in models:
        model.load_weights(tmp_path / "plain.weights.h5")
        np.testing.assert_allclose(model(images), plain(images), rtol=1e-5, atol=1e-6)
    weights, after = models[0].network.weights, learned(models[0])
    still = {v.name for v, w in zip(weights, after, strict=True) if np.array_equal(v, w)}
    assert still == {"kernel"}
    assert differences(*models) == 0


def test_a_network_without_lora_holds_no_factors(tmp_path):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    assert kr.ReptileModel(network).network_lora is None
