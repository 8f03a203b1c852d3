import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_reptile.kernels.patch_convolution import convolution, folded, margin, patches

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


@pytest.mark.slow
@pytest.mark.parametrize("channels", [2, 1])
def test_xla_multiplies_the_kernels_gradient_by_rows(channels):
    # 18 weights of each of 10 filters, whose rows are the longer ones, or 9, whose are not.
    rs = np.random.RandomState(0)
    x, kernel = tf.constant(rs.randn(2, 8, 8, channels)), tf.constant(rs.randn(3, 3, channels, 10))

    def gradient(by_xla):
        def of(x, kernel):
            with tf.GradientTape() as tape:
                tape.watch(kernel)
                y = convolution(x, kernel, (2, 2), "same", (1, 1), by_xla=by_xla)
                loss = tf.reduce_sum(tf.sin(y))
            return tape.gradient(loss, kernel)

        return tf.function(of, jit_compile=True, autograph=False)

    for by_xla in (True, False):
        text = gradient(by_xla).experimental_get_compiler_ir(x, kernel)(stage="optimized_hlo")
        rows_and_columns = sorted((9 * channels, 10), reverse=channels == 2 and not by_xla)
        assert re.search(r"f64\[{},{}\]\S* dot\(".format(*rows_and_columns), text)
    np.testing.assert_allclose(*(gradient(b)(x, kernel) for b in (True, False)), atol=1e-12)


@pytest.mark.slow
def test_xla_does_not_convert_patches_of_16_bits():
    rs = np.random.RandomState(0)
    x, kernel = (tf.cast(rs.randn(*shape), tf.bfloat16) for shape in ((4, 8, 8, 6), (3, 3, 6, 10)))
    geometry = (2, 2), "same", (1, 1)

    @functools.partial(tf.function, jit_compile=True, autograph=False)
    def gradients(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = convolution(x, kernel, *geometry, by_xla=True)
            loss = tf.reduce_sum(tf.sin(y))
        return y, *tape.gradient(loss, [x, kernel])

    # There are 4 by 4 patches in each of 4 images, of 9 times 6 channels.
    text = gradients.experimental_get_compiler_ir(x, kernel)(stage="optimized_hlo")
    assert set(re.findall(r"(\w+)\[(?:64|4,4,4),54\]", text)) == {"f32"}
    precise = convolution(tf.cast(x, tf.float32), tf.cast(kernel, tf.float32), *geometry)
    y, *of_both = gradients(x, kernel)
    assert [t.dtype for t in (y, *of_both)] == [tf.bfloat16] * 3
    # Half a unit of the last of 8 bits.
    np.testing.assert_allclose(tf.cast(y, tf.float32), precise, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_folding_is_the_adjoint_of_taking_patches(case):
    # <patches(x), c> = <x, folded(c)> for any x and c.
    shape, sizes, strides, padding, dilation = case
    rs = np.random.RandomState(1)
    x = tf.constant(rs.randn(*shape))
    taken = patches(x, sizes, strides, padding, dilation)
    c = tf.constant(rs.randn(*taken.shape))
    back = folded(c, x.shape, sizes, strides, padding, dilation)
    assert back.shape == x.shape
    np.testing.assert_allclose(tf.reduce_sum(taken * c), tf.reduce_sum(x * back), rtol=1e-12)


def test_the_second_derivative_is_right_too():
    rs = np.random.RandomState(2)
    x, kernel = tf.constant(rs.randn(2, 5, 5, 2)), tf.constant(rs.randn(3, 3, 2, 3))
    own = lambda x, k: convolution(x, k, (2, 2), "same", (1, 1))  # noqa: E731
    plain = lambda x, k: tf.nn.conv2d(x, k, 2, "SAME")  # noqa: E731
    found = []
    for function in (own, plain):
        with tf.GradientTape() as outer:
            outer.watch([x, kernel])
            with tf.GradientTape() as inner:
                inner.watch([x, kernel])
                loss = tf.reduce_sum(tf.sin(function(x, kernel)))
            gradients = inner.gradient(loss, [x, kernel])
            norm = sum(tf.reduce_sum(g**2) for g in gradients)
        found.append(outer.gradient(norm, [x, kernel]))
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-10)


def test_margins_are_tensorflows():
    # SAME: (ceil(n / s) - 1) * s + (k - 1) * d + 1 - n in all, the larger half after.
    assert margin(7, 3, 2, 1, "same") == (1, 1)
    assert margin(8, 3, 2, 1, "same") == (0, 1)
    assert margin(3, 2, 2, 1, "same") == (0, 1)
    assert margin(2, 1, 2, 1, "same") == (0, 0)
