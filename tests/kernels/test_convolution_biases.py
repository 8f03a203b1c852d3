import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_convnet, small_model, train_on_batches

from keras_reptile.kernels import forms
from keras_reptile.kernels.batch_normalization import FUSED_STATISTICS, PLAIN_STATISTICS
from keras_reptile.kernels.convolution_biases import (
    PLAIN_BIASES,
    SUMMED_BIASES,
    has_bias,
    with_bias,
)
from keras_reptile.kernels.switching import fast_forms


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
    with fast_forms(network, [SUMMED_BIASES]):
        assert "call" in vars(layer)
        found = values_and_gradients()
    assert "call" not in vars(layer)
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


@pytest.mark.of_a_cpu
@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_tasks_that_are_not_compiled_have_such_biases(precision, monkeypatch):
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(4, 3, dtype=precision, bias_initializer="ones"),
        keras.layers.Flatten(),
        keras.layers.Dense(3, dtype="float32"),
    ]
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    before = network.get_weights()
    summed = []
    make = lambda layer, *given: summed.append(layer) or SUMMED_BIASES.make(layer, *given)  # noqa: E731

    def training(form):
        network.set_weights(before)
        monkeypatch.setattr(forms, "ON_A_CPU", (form, FUSED_STATISTICS))
        model = small_model(network, inner_optimizer=keras.optimizers.SGD(0.1))
        train_on_batches(model, 2, inner_steps=2)
        return network.get_weights()

    found = training(SUMMED_BIASES._replace(make=make))
    assert set(summed) == {network.layers[0]}
    wanted = training(SUMMED_BIASES._replace(applies=lambda layer: False))
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


FUSED = SUMMED_BIASES, FUSED_STATISTICS
PLAIN = PLAIN_BIASES, PLAIN_STATISTICS


def values_and_gradients(network, x, forms=FUSED):
    with tf.GradientTape() as tape, fast_forms(network, forms):
        y = network(x, training=True)
        loss = tf.reduce_sum(tf.sin(y))
    return y, *tape.gradient(loss, [v.value for v in network.trainable_variables])


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("forms", [FUSED, PLAIN], ids=["fused", "plain"])
def test_normalization_leaves_the_bias_before_it_out(rank, forms):
    x = tf.constant(np.random.RandomState(0).randn(4, *[6] * rank, 3).astype(np.float32))
    layers = [layer_of(rank), keras.layers.BatchNormalization(), keras.layers.ReLU()]
    network = keras.Sequential([keras.Input(x.shape[1:]), *layers])
    y, of_kernel, of_bias, *others = values_and_gradients(network, x, forms)
    plain = values_and_gradients(network, x, forms[1:])
    np.testing.assert_array_equal(of_bias, np.zeros(4))
    # Plainly it is what rounding leaves of zero.
    assert np.any(plain[2]) and np.max(np.abs(plain[2])) < 1e-3
    for a, b in zip((y, of_kernel, *others), (*plain[:2], *plain[3:]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_whoever_else_reads_what_the_bias_was_added_to_gets_it_added():
    inputs = keras.Input((6, 6, 3))
    biased = layer_of(2)(inputs)
    outputs = keras.layers.Add()([biased, keras.layers.BatchNormalization()(biased)])
    check_that_the_bias_counts(keras.Model(inputs, outputs))


def test_a_bias_before_an_activation_is_added():
    layers = [layer_of(2, activation="tanh"), keras.layers.BatchNormalization()]
    check_that_the_bias_counts(keras.Sequential([keras.Input((6, 6, 3)), *layers]))


def test_a_bias_before_normalization_along_another_axis_is_added():
    layers = [layer_of(2), keras.layers.BatchNormalization(axis=1)]
    check_that_the_bias_counts(keras.Sequential([keras.Input((6, 6, 3)), *layers]))


def test_a_bias_before_a_frozen_normalization_is_added():
    frozen = keras.layers.BatchNormalization(trainable=False)
    check_that_the_bias_counts(keras.Sequential([keras.Input((6, 6, 3)), layer_of(2), frozen]))


def check_that_the_bias_counts(network):
    x = tf.constant(np.random.RandomState(0).randn(4, 6, 6, 3).astype(np.float32))
    found, wanted = (values_and_gradients(network, x, s) for s in (FUSED, FUSED[1:]))
    assert np.all(np.abs(wanted[2]) > 1e-3)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "jit_compile, task_parallelism",
    [("auto", "separate"), (True, "separate"), ("auto", "vectorized")],
)
def test_training_leaves_biases_before_normalization_as_they_are(jit_compile, task_parallelism):
    network = small_convnet()
    before = network.get_weights()
    model = small_model(network, task_parallelism=task_parallelism)
    model.compile(optimizer=keras.optimizers.SGD(1.0), jit_compile=jit_compile)
    train_on_batches(model, 2, inner_steps=1)
    changed = [(a != b).any() for a, b in zip(network.get_weights(), before, strict=True)]
    for layer in network.layers:
        for weight in layer.trainable_weights:
            is_left_out = isinstance(layer, keras.layers.Conv2D) and weight.name == "bias"
            place = [w is weight for w in network.weights].index(True)
            assert changed[place] != is_left_out


def test_a_causal_convolution_is_left_to_keras():
    layer = keras.layers.Conv1D(4, 3, padding="causal", bias_initializer="ones")
    network = keras.Sequential([keras.Input((6, 3)), layer])
    x = tf.constant(np.random.RandomState(0).randn(2, 6, 3).astype(np.float32))
    with fast_forms(network, [SUMMED_BIASES]):
        found = network(x)
    np.testing.assert_array_equal(found, network(x))


def test_a_convolutions_activation_may_be_none():
    layer = layer_of(2)
    layer.activation = None
    check_that_the_bias_counts(keras.Sequential([keras.Input((6, 6, 3)), layer]))
