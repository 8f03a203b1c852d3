"""Second derivatives through layers that interpolate, against those by the matrix they are."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import episode

import keras_reptile as kr
from keras_reptile.kernels.interpolation import INTERPOLATIONS as FORM
from keras_reptile.kernels.switching import fast_forms

LAYERS = keras.layers
SHAPE = (3, 4, 1)
INTERPOLATIONS = {
    "bilinear": lambda: LAYERS.UpSampling2D(interpolation="bilinear"),
    "nearest": lambda: LAYERS.UpSampling2D(),
    "smaller": lambda: LAYERS.Resizing(2, 2),
    "bicubic": lambda: LAYERS.Resizing(5, 5, interpolation="bicubic"),
    "with a constant": lambda: LAYERS.Resizing(4, 4, pad_to_aspect_ratio=True, fill_value=3.0),
}


@pytest.mark.parametrize("name", INTERPOLATIONS)
def test_second_derivatives_are_those_of_a_matrix_product(name):
    layer = INTERPOLATIONS[name]()
    network = keras.Sequential([keras.Input(SHAPE), layer])
    zeros, each = np.zeros((1, *SHAPE), np.float32), np.eye(12, dtype=np.float32)
    constant = network(zeros).numpy().reshape(-1)
    matrix = network(each.reshape(12, *SHAPE)).numpy().reshape(12, -1) - constant
    rs = np.random.RandomState(0)
    x, direction = (rs.randn(1, *SHAPE).astype(np.float32) for _ in range(2))

    @tf.function
    def derived(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with fast_forms(network, [FORM]), tf.GradientTape() as inner:
                inner.watch(x)
                y = tf.reduce_sum(tf.sin(network(x)))
            gradient = inner.gradient(y, x)
        return gradient, outer.gradient(gradient, x, output_gradients=direction)

    # Of sum(sin(A x + c)): A^T cos(A x + c), and -A^T diag(sin(A x + c)) A d.
    gradient, found = derived(tf.constant(x))
    y = x.reshape(-1) @ matrix + constant
    np.testing.assert_allclose(np.ravel(gradient), matrix @ np.cos(y), atol=1e-4)
    wanted = -matrix @ (np.sin(y) * (direction.reshape(-1) @ matrix))
    np.testing.assert_allclose(np.ravel(found), wanted, atol=1e-4)


def test_maml_trains_through_an_interpolation_by_its_whole_gradient():
    # Prediction w v of x = 1, loss (w v - 1)^2, from w = 2, v = 1 by one step of rate 1/8:
    #   r = w v - 1 = 1,  w' = w - 2 r v / 8 = 1.75,  v' = v - 2 r w / 8 = 0.5,  r' = -0.125
    #   dw'/dw = 1 - v^2 / 4 = 0.75,         dw'/dv = -(2 w v - 1) / 4 = -0.75 = dv'/dw,
    #   dv'/dv = 1 - w^2 / 4 = 0;  the gradient at (w', v') is 2 r' (v', w') = (-0.125, -0.4375).
    constant = keras.initializers.Constant
    first = LAYERS.Conv2D(1, 1, use_bias=False, kernel_initializer=constant(2.0))
    second = LAYERS.Conv2D(1, 1, use_bias=False, kernel_initializer=constant(1.0))
    up = LAYERS.UpSampling2D(interpolation="bilinear")
    layers = [first, up, second, LAYERS.GlobalAveragePooling2D()]
    network = keras.Sequential([keras.Input((2, 2, 1)), *layers])
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.125), method="maml")
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error")
    x, y = np.ones((1, 1, 2, 2, 1), np.float32), np.ones((1, 1, 1), np.float32)
    model.train_on_batch(episode(x, y, [[[0], [0]]]))
    w, v = (float(np.ravel(t)[0]) for t in network.get_weights())
    assert 2 - w == pytest.approx(0.75 * -0.125 - 0.75 * -0.4375, abs=1e-5)
    assert 1 - v == pytest.approx(-0.75 * -0.125, abs=1e-5)
