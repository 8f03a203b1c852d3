import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import episode
from poolings import CASES as POOLINGS

import keras_reptile as kr
from keras_reptile.kernels.batch_normalization import (
    BEFORE_NORMALIZATION,
    FUSED_STATISTICS,
    normalization,
)
from keras_reptile.kernels.normalized_pooling import FAST_POOLINGS, normalized_pooling
from keras_reptile.kernels.switching import Origins, fast_forms

CASES = {**POOLINGS, "large enough for sums of blocks": ((8, 32, 32, 3), (2, 2), "same")}
# Of a negative scale the smallest counts.
GAMMA, BETA = [1.5, -0.5, 0.1], [0.3, -2.0, 1.0]


def apart(x, gamma, beta, sizes, padding):
    y = normalization(x, gamma, beta, 1e-3)
    return tf.nn.max_pool(y, sizes, sizes, padding.upper())


def together(x, gamma, beta, sizes, padding):
    return normalized_pooling(x, gamma, beta, 1e-3, sizes, padding)


def arguments_of(shape):
    x = np.random.RandomState(0).randn(*shape) + np.arange(shape[-1])
    of_channels = (a[: shape[-1]] for a in (GAMMA, BETA))
    return [tf.constant(a, tf.float64) for a in (x, *of_channels)]


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_values_and_gradients_are_those_of_one_after_the_other(case, graph):
    shape, sizes, padding = case

    def values_and_gradients(function):
        arguments = arguments_of(shape)
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            y = function(*arguments, sizes, padding)
            loss = tf.reduce_sum(tf.sin(3 * y))
        return y, *tape.gradient(loss, arguments)

    run = tf.function(values_and_gradients, autograph=False) if graph else values_and_gradients
    for a, b in zip(run(together), run(apart), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("graph", [False, True], ids=["eager", "graph"])
def test_second_derivatives_are_right_too(graph):
    def second(function):
        arguments = arguments_of((2, 5, 5, 3))
        with tf.GradientTape() as outer:
            outer.watch(arguments)
            with tf.GradientTape() as inner:
                inner.watch(arguments)
                loss = tf.reduce_sum(tf.sin(function(*arguments, (2, 2), "same")))
            norm = sum(tf.reduce_sum(g**3) for g in inner.gradient(loss, arguments))
        return outer.gradient(norm, arguments)

    run = tf.function(second, autograph=False) if graph else second
    for a, b in zip(run(together), run(apart), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-11)


def test_the_gradient_goes_to_the_first_of_the_largest():
    x = tf.constant([5.0, 5.0, 0.0, 1.0, 1.0, 0.0])[None, :, None]
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = normalized_pooling(x, tf.constant([2.0]), tf.constant([0.0]), 0.0, (3,), "same")
    # By hand: n = 6, mean 2, variance 14/3, z* = 3 r and -r, dgamma = 10 z*[0].
    r = (14 / 3) ** -0.5
    dy = np.array([10.0, 0, 0, 0, 0, 0])
    z = r * (np.array([5.0, 5, 0, 1, 1, 0]) - 2)
    wanted = 2 * r * (dy - 10 / 6 - z * (30 * r) / 6)
    dx = tape.gradient(y, x, tf.constant([10.0, 0.0])[None, :, None])
    np.testing.assert_allclose(dx[0, :, 0], wanted, atol=1e-6)


def normalized_and_pooled(x, dtype="float32", **options):
    """A network's input, normalized, and that pooled."""
    normalized = keras.layers.BatchNormalization(
        gamma_initializer=keras.initializers.Constant([-2.0, 1.0, 0.5]), dtype=dtype, **options
    )(x)
    return normalized, keras.layers.MaxPooling2D(2, padding="same", dtype=dtype)(normalized)


def read_of(tensor):
    """The kinds of operations that a tensor of a graph is made of."""
    found, ahead = {}, [tensor.op]
    while ahead:
        op = ahead.pop()
        if op.name not in found:
            found[op.name] = op.type
            ahead += [t.op for t in op.inputs] + list(op.control_inputs)
    return set(found.values())


def outputs_and_what_they_read(network, images):
    kinds = []

    @functools.partial(tf.function, autograph=False)
    def run(x):
        with fast_forms(network, [FAST_POOLINGS, FUSED_STATISTICS]):
            outputs = network(x)
        kinds.append(read_of(outputs))
        return outputs

    return run(images), kinds[0]


IMAGES = np.random.RandomState(0).randn(4, 9, 7, 3).astype(np.float32)


def test_a_network_s_normalization_is_computed_with_its_pooling():
    x = keras.Input((9, 7, 3))
    network = keras.Model(x, normalized_and_pooled(x)[1])
    found, kinds = outputs_and_what_they_read(network, IMAGES)
    np.testing.assert_allclose(found, network(IMAGES, training=True), atol=1e-5)
    assert "FusedBatchNormV3" not in kinds


def test_a_normalization_that_others_read_is_computed_for_them():
    x = keras.Input((9, 7, 3))
    normalized, pooled = normalized_and_pooled(x)
    mean = keras.layers.GlobalAveragePooling2D()
    network = keras.Model(x, keras.layers.add([mean(normalized), mean(pooled)]))
    found, kinds = outputs_and_what_they_read(network, IMAGES)
    np.testing.assert_allclose(found, network(IMAGES, training=True), atol=1e-5)
    assert "FusedBatchNormV3" in kinds


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"dtype": "float64"}])
def test_other_normalizations_are_right_as_well(options):
    x = keras.Input((9, 7, 3), dtype=options.get("dtype"))
    if options.get("scale", True):
        outputs = normalized_and_pooled(x, **options)[1]
    else:
        layer = keras.layers.BatchNormalization(**options)
        outputs = keras.layers.MaxPooling2D(2)(layer(x))
    network = keras.Model(x, outputs)
    found, _ = outputs_and_what_they_read(network, tf.constant(IMAGES, x.dtype))
    np.testing.assert_allclose(found, network(IMAGES, training=True), atol=1e-5)


def test_halves_are_normalized_and_pooled_one_after_the_other():
    x = keras.Input((9, 7, 3))
    network = keras.Model(x, normalized_and_pooled(x, dtype="mixed_bfloat16")[1])
    _, kinds = outputs_and_what_they_read(network, IMAGES)
    assert "FusedBatchNormV3" in kinds


def two_blocks():
    """Half of `mini_imagenet_convnet`, in small."""
    kernels = kr.networks.glorot_uniform(0)
    layers = [keras.Input((12, 12, 3))]
    for _ in range(2):
        kernel = next(kernels)
        layers.append(keras.layers.Conv2D(4, 3, padding="same", kernel_initializer=kernel))
        layers.append(keras.layers.BatchNormalization())
        layers += [keras.layers.MaxPooling2D(2, padding="same"), keras.layers.ReLU()]
    dense = keras.layers.Dense(3, kernel_initializer=next(kernels))
    return keras.Sequential([*layers, keras.layers.Flatten(), dense])


@pytest.mark.of_a_cpu
@pytest.mark.slow
@pytest.mark.parametrize("eagerly", [False, True], ids=["graph", "eager"])
def test_training_with_it_is_training_without(eagerly, monkeypatch):
    rs = np.random.RandomState(0)
    images, order = rs.rand(1, 12, 12, 12, 3).astype(np.float32), [[range(6), range(6, 12)]]
    task = episode(images, rs.randint(0, 3, (1, 12)), order)
    used, real = [], Origins.find

    def training(find):
        monkeypatch.setattr(Origins, "find", find)
        network = two_blocks()
        model = kr.ReptileModel(network, inner_optimizer=keras.optimizers.SGD(0.1))
        model.compile(optimizer=keras.optimizers.SGD(1.0), run_eagerly=eagerly)
        model.train_on_batch(task)
        return network.get_weights()

    def spied(self, kind, x):
        found = real(self, kind, x)
        if kind == BEFORE_NORMALIZATION:
            used.append(found)
        return found

    def without(self, kind, x):
        return None if kind == BEFORE_NORMALIZATION else real(self, kind, x)

    found = [training(spied), training(without)]
    assert used and None not in used
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)
