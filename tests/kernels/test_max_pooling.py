import keras
import numpy as np
import pytest
import tensorflow as tf
from poolings import CASES

import keras_reptile as kr
from keras_reptile.kernels import forms
from keras_reptile.kernels.max_pooling import max_pooling, separates
from keras_reptile.kernels.normalized_pooling import FAST_POOLINGS
from keras_reptile.kernels.switching import fast_forms


def layer_of(sizes, padding, **options):
    kind = [keras.layers.MaxPooling1D, keras.layers.MaxPooling2D]
    return kind[len(sizes) - 1](sizes, padding=padding, data_format="channels_last", **options)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("ties", [False, True], ids=["all different", "ties"])
def test_values_and_gradients_are_those_of_keras(case, ties):
    shape, sizes, padding = case
    rs = np.random.RandomState(0)
    # Of ties TensorFlow takes the first; zeros of a margin are none of them.
    x = -rs.randint(0, 2, shape) if ties else rs.randn(*shape)
    x = tf.constant(x.astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        wanted, found = layer_of(sizes, padding)(x), max_pooling(x, sizes, padding)
        weights = tf.constant(rs.randn(*wanted.shape).astype(np.float32))
        sums = [tf.reduce_sum(weights * y) for y in (found, wanted)]
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(*(tape.gradient(s, x) for s in sums))


def test_the_second_derivative_is_right_too():
    x = tf.constant(np.random.RandomState(1).randn(2, 5, 5, 2))
    found = []
    for function in (
        lambda x: max_pooling(x, (2, 2), "same"),
        lambda x: tf.nn.max_pool(x, 2, 2, "SAME"),
    ):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(tf.sin(function(x)))
            norm = tf.reduce_sum(inner.gradient(loss, x) ** 3)
        found.append(outer.gradient(norm, x))
    np.testing.assert_allclose(*found, atol=1e-12)


def network_of(*layers, shape=(9, 9, 1)):
    convolution = keras.layers.Conv2D(3, 3, kernel_initializer=keras.initializers.HeNormal(0))
    head = [keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(3, kernel_initializer="ones")]
    return keras.Sequential([keras.Input(shape), convolution, *layers, *head])


@pytest.mark.of_a_cpu
@pytest.mark.slow
@pytest.mark.parametrize("eagerly", [False, True], ids=["graph", "eager"])
def test_training_with_it_is_training_with_keras_own(eagerly, monkeypatch):
    images = np.random.RandomState(0).randint(0, 256, (60, 9, 9, 1)).astype(np.uint8)
    pool = kr.ClassPool(images, [10] * 6)
    episodes = kr.episode_dataset(
        pool, ways=3, shots=4, inner_batch_size=6, inner_steps=3, meta_batch_size=2, seed=0
    )
    used = []

    def training(form):
        monkeypatch.setattr(forms, "ON_A_CPU", (form, *forms.ON_A_CPU[1:]))
        network = network_of(keras.layers.MaxPooling2D(2))
        model = kr.ReptileModel(network, inner_optimizer=keras.optimizers.SGD(0.1))
        model.compile(optimizer=keras.optimizers.SGD(1.0), run_eagerly=eagerly)
        model.fit(episodes.take(3), verbose=0)
        return network.get_weights()

    make = lambda layer, *given: used.append(layer) or FAST_POOLINGS.make(layer, *given)  # noqa: E731
    found = [
        training(FAST_POOLINGS._replace(make=make)),
        training(FAST_POOLINGS._replace(applies=lambda layer: False)),
    ]
    assert used
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)


def test_only_layers_whose_windows_do_not_overlap_are_switched():
    wanted = keras.layers.MaxPooling2D(2)
    others = [
        keras.layers.MaxPooling2D(2, strides=1, padding="same"),
        keras.layers.AveragePooling2D(2, padding="same"),
    ]
    network = network_of(*others, wanted)
    with fast_forms(network, [FAST_POOLINGS]):
        assert [layer for layer in network.layers if "call" in vars(layer)] == [wanted]
    assert "call" not in vars(wanted)
    assert separates(keras.layers.MaxPooling1D(3))
    assert not separates(keras.layers.MaxPooling3D(2))
    assert not separates(keras.layers.MaxPooling2D(2, data_format="channels_first"))


def test_images_of_unknown_size_are_pooled_as_ever():
    network = network_of(keras.layers.MaxPooling2D(2), shape=(None, None, 1))
    images = tf.random.stateless_normal((2, 8, 8, 1), (0, 0))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 1))], autograph=False)
    def outputs(x):
        with fast_forms(network, [FAST_POOLINGS]):
            return network(x)

    np.testing.assert_allclose(outputs(images), network(images), atol=1e-6)
