import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_reptile.patch_convolution import convolution, margin

CASES = {
    "same, stride 2, even": ((2, 8, 8, 3), (3, 3), (2, 2), "same", (1, 1)),
    "same, stride 2, odd": ((2, 7, 7, 1), (3, 3), (2, 2), "same", (1, 1)),
    "same, stride 1": ((1, 5, 6, 2), (3, 2), (1, 1), "same", (1, 1)),
    "valid, unequal strides": ((2, 9, 7, 2), (3, 3), (3, 1), "valid", (1, 1)),
    "same, dilated": ((2, 9, 9, 2), (3, 3), (1, 1), "same", (2, 3)),
    "one by one": ((2, 4, 4, 3), (1, 1), (1, 1), "valid", (1, 1)),
    "one dimension, causal": ((2, 9, 2), (3,), (1,), "causal", (2,)),
    "three dimensions": ((1, 5, 4, 3, 2), (2, 2, 2), (2, 1, 1), "same", (1, 1, 1)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_values_and_gradients_are_those_of_keras(case):
    shape, sizes, strides, padding, dilation = case
    rs = np.random.RandomState(0)
    x, kernel = tf.constant(rs.randn(*shape)), tf.constant(rs.randn(*sizes, shape[-1], 4))
    options = dict(strides=strides, padding=padding, dilation_rate=dilation)
    layer = [keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D][len(sizes) - 1](
        4, sizes, dtype="float64", data_format="channels_last", use_bias=False, **options
    )
    layer.build(x.shape)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, kernel])
        wanted, _ = layer.stateless_call([kernel], [], x)
        found = convolution(x, kernel, strides, padding, dilation)
        weights = tf.constant(rs.randn(*wanted.shape))
        sums = [tf.reduce_sum(weights * tf.sin(y)) for y in (found, wanted)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    for a, b in zip(*(tape.gradient(s, [x, kernel]) for s in sums), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_margins_are_tensorflows():
    # SAME: (ceil(n / s) - 1) * s + (k - 1) * d + 1 - n in all, the larger half after.
    assert margin(7, 3, 2, 1, "same") == (1, 1)
    assert margin(8, 3, 2, 1, "same") == (0, 1)
    assert margin(3, 2, 2, 1, "same") == (0, 1)
    assert margin(2, 1, 2, 1, "same") == (0, 0)
