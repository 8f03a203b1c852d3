import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_reptile as kr
from keras_reptile import meta_batch
from keras_reptile.biases import has_bias, separate_biases, with_bias


def layer_of(rank, **options):
    kind = [keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D][rank - 1]
    return kind(4, 3, data_format="channels_last", bias_initializer="ones", **options)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("options", [{}, {"activation": "tanh", "strides": 2, "padding": "same"}])
def test_a_convolution_and_its_gradients_are_keras_own(rank, options):
    x = tf.constant(np.random.RandomState(0).randn(2, *[6] * rank, 3).astype(np.float32))
    layer = layer_of(rank, **options)
    network = keras.Sequential([keras.Input(x.shape[1:]), layer])

    def values_and_gradients():
        with tf.GradientTape() as tape:
            y = network(x)
            loss = tf.reduce_sum(tf.sin(y))
        return y, *tape.gradient(loss, [v.value for v in network.trainable_variables])

    wanted = values_and_gradients()
    with separate_biases(network):
        assert layer.call.__module__ == "keras_reptile.biases"
        found = values_and_gradients()
    assert layer.call.__module__.startswith("keras.")
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def test_the_gradient_is_the_sum_over_the_batch_and_all_places():
    y, dy = np.zeros((2, 3, 3, 2)), np.arange(36.0).reshape(2, 3, 3, 2)
    y, bias = tf.constant(y), tf.constant([1.0, 2.0], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch([y, bias])
        out = with_bias(y, bias)
    np.testing.assert_array_equal(out, np.broadcast_to([1.0, 2.0], y.shape))
    of_y, of_bias = tape.gradient(out, [y, bias], output_gradients=tf.constant(dy))
    np.testing.assert_array_equal(of_y, dy)
    # 0 + 2 + ... + 34 and 1 + 3 + ... + 35.
    np.testing.assert_array_equal(of_bias, [306.0, 324.0])


def test_layers_without_a_bias_of_this_kind_stay_as_they_are():
    class Own(keras.layers.Conv2D):
        pass

    assert has_bias(layer_of(2))
    others = [
        keras.layers.Conv2D(4, 3, use_bias=False),
        keras.layers.Conv2D(4, 3, data_format="channels_first"),
        keras.layers.DepthwiseConv2D(3),
        keras.layers.Dense(4),
        Own(4, 3),
    ]
    assert not any(map(has_bias, others))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_tasks_that_are_not_compiled_have_such_biases(precision, monkeypatch):
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(4, 3, dtype=precision, bias_initializer="ones"),
        keras.layers.Flatten(),
        keras.layers.Dense(3, dtype="float32"),
    ]
    network = keras.Sequential([keras.Input((6, 6, 1)), *layers])
    images = np.random.RandomState(0).randint(0, 256, (30, 6, 6, 1)).astype(np.uint8)
    episodes = kr.episode_dataset(
        kr.ClassPool(images, [10] * 3), 3, 4, inner_batch_size=6, inner_steps=2, meta_batch_size=2
    )
    before = network.get_weights()
    summed = []

    def training(context):
        network.set_weights(before)
        monkeypatch.setattr(meta_batch, "separate_biases", lambda n: summed.append(n) or context(n))
        model = kr.ReptileModel(network, inner_optimizer=keras.optimizers.SGD(0.1))
        model.compile(optimizer=keras.optimizers.SGD(1.0))
        model.fit(episodes.take(2), verbose=0)
        return network.get_weights()

    found, wanted = (training(c) for c in (separate_biases, lambda n: contextlib.nullcontext()))
    assert summed
    assert any((a != b).any() for a, b in zip(found, before, strict=True))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 if precision == "float32" else 0.02)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_the_sum_of_many_halves_does_not_stop_on_the_way(dtype):
    # In float16, 128 + 0.01 is 128 again.
    y = tf.zeros((1, 256, 256, 2), dtype)
    bias = tf.zeros((2,), dtype)
    with tf.GradientTape() as tape:
        tape.watch(bias)
        out = with_bias(y, bias)
    found = tape.gradient(out, bias, output_gradients=tf.fill(y.shape, tf.constant(0.01, dtype)))
    np.testing.assert_allclose(tf.cast(found, tf.float32), 655.36, rtol=0.01)
