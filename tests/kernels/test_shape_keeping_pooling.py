"""Max-pooling that keeps its inputs' shape, and second derivatives of pooling in a graph."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import episode

import keras_reptile as kr
from keras_reptile.algorithm.network_function import NetworkFunction
from keras_reptile.kernels.shape_keeping_pooling import (
    SHAPE_KEEPING_POOLINGS,
    shape_keeping_pooling,
)
from keras_reptile.kernels.switching import fast_forms

LAYERS = keras.layers


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((7, 2), (3,)), ((5, 6, 2), (3, 2)), ((1, 4, 2), (2, 5)), ((3, 4, 3, 1), (2, 3, 2))],
)
def test_it_is_tensorflows_pooling_with_its_gradient(shape, sizes, ties):
    rs = np.random.RandomState(0)
    x = rs.randint(-2, 3, (4, *shape)) if ties else rs.randn(4, *shape)
    x, upstream = (tf.constant(a, tf.float32) for a in (x, rs.randn(4, *shape)))

    def derived(function):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x, output_gradients=upstream)

    found = derived(lambda x: shape_keeping_pooling(x, sizes))
    wanted = derived(lambda x: keras.ops.max_pool(x, sizes, strides=1, padding="same"))
    # In three dimensions TensorFlow gives the gradient to all of the largest.
    compared = 1 if ties and len(sizes) == 3 else 2
    for a, b in list(zip(found, wanted, strict=True))[:compared]:
        np.testing.assert_allclose(a, b, atol=1e-6)


def network(shape, *layers):
    return keras.Sequential([keras.Input(shape), *layers, LAYERS.Flatten(), LAYERS.Dense(3)])


SHAPES = {1: (8, 2), 2: (5, 6, 2), 3: (3, 4, 4, 1)}
SAME = dict(strides=1, padding="same")
POOLINGS = {
    "max, 1 dimension": (1, lambda: LAYERS.MaxPooling1D(3, **SAME)),
    "max, 2 dimensions": (2, lambda: LAYERS.MaxPooling2D(3, **SAME)),
    "max, 3 dimensions": (3, lambda: LAYERS.MaxPooling3D(2, **SAME)),
    "max, overlapping": (2, lambda: LAYERS.MaxPooling2D(3, strides=2, padding="same")),
    "max, valid": (2, lambda: LAYERS.MaxPooling2D(3, strides=1)),
    "global max": (2, LAYERS.GlobalMaxPooling2D),
    "average": (2, lambda: LAYERS.AveragePooling2D(3, **SAME)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", POOLINGS)
def test_second_derivatives_in_a_graph_are_those_of_finite_differences(name, float64):
    dimensions, pooling = POOLINGS[name]
    keras.utils.set_random_seed(0)
    convolution = getattr(LAYERS, f"Conv{dimensions}D")(2, 2)
    made = network(SHAPES[dimensions], convolution, pooling())
    rs = np.random.RandomState(0)
    x, y = tf.constant(rs.randn(6, *SHAPES[dimensions])), rs.randint(0, 3, 6)
    theta = [tf.constant(rs.randn(*v.shape) / 3) for v in made.trainable_variables]
    direction = [tf.constant(rs.randn(*t.shape)) for t in theta]

    def gradient(theta):
        # TensorFlow has no pooling of float64 in three dimensions.
        with tf.GradientTape() as tape:
            tape.watch(theta)
            outputs, _ = NetworkFunction(made, [SHAPE_KEEPING_POOLINGS]).train(
                theta, x, tf.constant([0, 0, 0])
            )
            loss = keras.losses.sparse_categorical_crossentropy(y, outputs, from_logits=True)
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, theta)]

    @tf.function
    def derived(theta):
        with tf.GradientTape() as tape:
            tape.watch(theta)
            found = gradient(theta)
        return tape.gradient(found, theta, output_gradients=direction)

    ahead, behind = (
        gradient([t + h * d for t, d in zip(theta, direction, strict=True)]) for h in (1e-6, -1e-6)
    )
    for h, plus, minus in zip(derived(theta), ahead, behind, strict=True):
        np.testing.assert_allclose(h, (plus - minus) / 2e-6, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(6, 10, 3), (None, 10, 3)])
def test_maml_through_it_is_in_a_graph_what_it_is_eagerly(shape, float64):
    keras.utils.set_random_seed(0)
    layers = LAYERS.Conv2D(3, 2), LAYERS.MaxPooling2D(3, **SAME), LAYERS.GlobalAveragePooling2D()
    made, rs = network(shape, *layers), np.random.RandomState(0)
    task = episode(rs.randn(1, 8, 6, 10, 3), rs.randint(0, 3, (1, 8)), [[range(4), range(4, 8)]])
    theta, moved = made.get_weights(), []
    for run_eagerly in (False, True):
        made.set_weights(theta)
        model = kr.ReptileModel(made, keras.optimizers.SGD(0.1), method="maml")
        model.compile(keras.optimizers.SGD(1.0), run_eagerly=run_eagerly)
        model.train_on_batch(task)
        moved.append(made.get_weights())
    for graph, eager in zip(*moved, strict=True):
        np.testing.assert_allclose(graph, eager, atol=1e-10)


def test_other_poolings_stay_as_they_are():
    layers = [LAYERS.MaxPooling2D(2), LAYERS.MaxPooling2D(3, 2, "same"), LAYERS.MaxPooling2D(1, 1)]
    made = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    plain = (
        tf.function(made, autograph=False)
        .get_concrete_function(tf.TensorSpec((None, 8, 8, 1)))
        .graph
    )
    with fast_forms(made, [SHAPE_KEEPING_POOLINGS]):
        found = (
            tf.function(made, autograph=False)
            .get_concrete_function(tf.TensorSpec((None, 8, 8, 1)))
            .graph
        )
    operations = [[op.type for op in graph.get_operations()] for graph in (plain, found)]
    assert operations[0].count("MaxPool") == operations[1].count("MaxPool") == 3
