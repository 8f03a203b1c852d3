"""Layers of many sets of images at once, against plain Keras, one set after the other."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from poolings import CASES as POOLINGS
from test_patch_convolution import CASES as CONVOLUTIONS

from keras_reptile.kernels import batched_convolution as batched_convolution_module
from keras_reptile.kernels import batched_pooling as batched_pooling_module
from keras_reptile.kernels import batched_sums, devices
from keras_reptile.kernels.batched_bias import batched_bias
from keras_reptile.kernels.batched_convolution import batched_convolution
from keras_reptile.kernels.batched_dense import batched_dense
from keras_reptile.kernels.batched_normalization import batched_normalization, statistics
from keras_reptile.kernels.batched_pooling import batched_max_pooling, batched_normalized_pooling
from keras_reptile.kernels.batched_sums import sums_of_rows
from keras_reptile.kernels.row_convolution import row_convolution
from keras_reptile.kernels.window_axes import Axis

pytestmark = pytest.mark.slow

SETS = 3


def keras_each(layer, x, weights, shared):
    """Outputs of each set by itself, and the gradients of a sum of them that weighs each."""
    found = []
    for i in range(SETS):
        own = [tf.constant(w if shared else w[i]) for w in weights]
        images = tf.constant(x[i])
        with tf.GradientTape() as tape:
            tape.watch([images, *own])
            y, _ = layer.stateless_call(
                own, layer.non_trainable_variables, images, **training(layer)
            )
            loss = tf.reduce_sum(y * upstream(y.shape, i))
        found.append([y, *tape.gradient(loss, [images, *own])])
    return [np.stack(each) for each in zip(*found, strict=True)]


def training(layer):
    return {"training": True} if layer._call_has_training_arg else {}


def upstream(shape, i):
    return np.random.RandomState(100 + i).randn(*shape)


def batched(forward, x, choices):
    """The same by a batched function, for each choice of weights.

    XLA compiles a TPU's forms, which have operations of its own. It compiles the others in
    test_batched_network.py and test_vectorized.py.
    """

    def run(x, weights):
        y, gradient = forward(x, *weights)
        dy = np.stack([upstream(y.shape[1:], i) for i in range(SETS)])
        return y, *gradient(tf.constant(dy))

    run_all = lambda x, choices: [run(x, weights) for weights in choices]  # noqa: E731
    by_xla = "TPU" in devices.device_kinds()
    return tf.function(run_all, jit_compile=by_xla, autograph=False)(x, choices)


def assert_same(forward, layer, x, weights, atol=1e-11):
    """With weights for each set, and with the same for all."""
    choices = [weights, [w[0] for w in weights]] if weights else [[]]
    for i, found in enumerate(batched(forward, x, choices)):
        wanted = keras_each(layer, x, choices[i], shared=i == 1)
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def drawn(*shapes, seed=0):
    rs = np.random.RandomState(seed)
    return [rs.randn(SETS, *shape) for shape in shapes]


KNOWN = {name: case for name, case in CONVOLUTIONS.items() if case[3] != "causal"} | {
    "eight channels": ((2, 5, 5, 8), (3, 3), (1, 1), "same", (1, 1)),
    "strides beyond the kernel": ((2, 11, 9, 8), (2, 1), (3, 4), "valid", (1, 1)),
    "even kernel, stride 2, same": ((2, 7, 8, 9), (2, 4), (2, 2), "same", (1, 1)),
}


@pytest.fixture
def on(monkeypatch):
    """Switches to the forms for a kind of device."""

    def switch(kind):
        for module in (devices, batched_convolution_module, batched_pooling_module, batched_sums):
            monkeypatch.setattr(module, "device_kinds", lambda: {kind})

    return switch


def keras_convolution(shape, sizes, strides, padding, dilation):
    kind = [keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D][len(sizes) - 1]
    options = dict(strides=strides, padding=padding, dilation_rate=dilation)
    layer = kind(4, sizes, use_bias=False, dtype="float64", data_format="channels_last", **options)
    layer.build(shape)
    return layer


@pytest.mark.parametrize("kind", ["CPU", "TPU"])
@pytest.mark.parametrize("case", KNOWN.values(), ids=KNOWN)
def test_a_convolution_is_keras_own(case, kind, on):
    on(kind)
    shape, sizes, strides, padding, dilation = case
    x, kernel = drawn(shape, (*sizes, shape[-1], 4))
    forward = lambda x, kernel: batched_convolution(x, kernel, strides, padding, dilation)  # noqa: E731
    assert_same(forward, keras_convolution(*case), x, [kernel])


BY_ROWS = {name: case for name, case in KNOWN.items() if len(case[1]) > 1 and case[2][0] == 1} | {
    "valid, stride in a row": ((2, 9, 8, 2), (4, 3), (1, 2), "valid", (1, 1)),
    "valid, dilated": ((1, 8, 7, 2), (3, 2), (1, 1), "valid", (2, 3)),
    "same, of a row more than there are": ((2, 2, 7, 3), (3, 3), (1, 1), "same", (1, 2)),
}


@pytest.mark.parametrize("case", BY_ROWS.values(), ids=BY_ROWS)
def test_a_convolution_by_rows_is_keras_own(case):
    shape, sizes, strides, padding, dilation = case
    each = zip(shape[1:-1], sizes, strides, dilation, strict=True)
    axes = [Axis(*of_axis, padding) for of_axis in each]
    x, kernel = drawn(shape, (*sizes, shape[-1], 4))
    assert_same(
        lambda x, kernel: row_convolution(x, kernel, axes), keras_convolution(*case), x, [kernel]
    )


@pytest.mark.parametrize(
    ("kind", "images", "stride", "filters", "by_rows"),
    [
        ("GPU", 10, 1, 8, True),
        ("CPU", 10, 1, 8, False),
        ("GPU", 9, 1, 8, False),  # Few elements.
        ("GPU", 10, 2, 8, False),
        ("GPU", 10, 1, 16, False),  # Products would be larger than patches.
    ],
)
def test_on_a_gpu_large_patches_lie_within_rows(
    kind, images, stride, filters, by_rows, on, monkeypatch
):
    on(kind)
    monkeypatch.setattr(batched_convolution_module, "MIN_ELEMENTS_BY_ROWS", 10 * 6 * 6 * 72)
    monkeypatch.setattr(batched_convolution_module, "row_convolution", lambda *_: "by rows")
    x, kernel = tf.ones((1, images, 6, 6, 8)), tf.ones((3, 3, 8, filters))
    found = batched_convolution(x, kernel, (stride, 1), "same", (1, 1))
    assert (found == "by rows") == by_rows


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5), (400, 5)])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-7])
def test_a_normalization_is_keras_own(shape, epsilon):
    layer = keras.layers.BatchNormalization(epsilon=epsilon, dtype="float64")
    layer.build(shape)
    x, gamma, beta = drawn(shape, (5,), (5,))
    # Of a mean far from zero.
    x = 30 + x
    forward = lambda *given: batched_normalization(*given, epsilon)  # noqa: E731
    assert_same(forward, layer, x, [gamma, beta])


@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}])
def test_a_normalization_may_lack_weights(options):
    layer = keras.layers.BatchNormalization(dtype="float64", **options)
    layer.build((6, 5))
    x, weight = drawn((6, 5), (5,))

    def forward(x, weight):
        gamma, beta = (None, weight) if "scale" in options else (weight, None)
        y, gradient = batched_normalization(x, gamma, beta, layer.epsilon)
        kept = [0, 2 if "scale" in options else 1]
        return y, lambda dy: [gradient(dy)[i] for i in kept]

    assert_same(forward, layer, x, [weight])


@pytest.mark.parametrize("rows", [6, 2000])
def test_statistics_are_right_where_the_first_row_is_an_outlier(rows):
    # n units in the last place: the sum of squares is as large as the outlier's.
    rs = np.random.RandomState(0)
    x = rs.randn(2, rows, 3).astype(np.float32)
    x[:, 0] = 1e3
    _, mean, r = tf.function(statistics, jit_compile=True, autograph=False)(tf.constant(x), 1e-3)
    wanted = x.astype(np.float64)
    np.testing.assert_allclose(mean, wanted.mean(axis=1, keepdims=True), atol=1e-3)
    variance = wanted.var(axis=1, keepdims=True) + 1e-3
    np.testing.assert_allclose(r, 1 / np.sqrt(variance), rtol=rows * 2e-7)


def test_a_channel_without_variance_is_normalized_to_its_offset():
    x = tf.fill((2, 300, 4), 0.1)
    forward = lambda x: batched_normalization(x, None, tf.ones((4,)), 1e-3)[0]  # noqa: E731
    np.testing.assert_array_equal(
        tf.function(forward, jit_compile=True, autograph=False)(x), np.ones(x.shape)
    )


@pytest.mark.parametrize("kind", ["CPU", "TPU"])
@pytest.mark.parametrize("case", POOLINGS.values(), ids=POOLINGS)
def test_a_max_pooling_is_keras_own(case, kind, on):
    on(kind)
    shape, sizes, padding = case
    kind = [keras.layers.MaxPooling1D, keras.layers.MaxPooling2D][len(sizes) - 1]
    layer = kind(sizes, padding=padding, data_format="channels_last", dtype="float64")
    (x,) = drawn(shape)
    assert_same(lambda x: batched_max_pooling(x, sizes, padding), layer, x, [])


@pytest.mark.parametrize("kind", ["CPU", "GPU"])
@pytest.mark.parametrize("case", POOLINGS.values(), ids=POOLINGS)
def test_a_normalization_and_its_pooling_are_keras_own(case, kind, float64, on, monkeypatch):
    on(kind)
    # On a GPU these are enough rows for statistics and maxima in one pass.
    monkeypatch.setattr(batched_sums, "MIN_ROWS_TO_CUT", 16)
    shape, sizes, padding = case
    kind = [keras.layers.MaxPooling1D, keras.layers.MaxPooling2D][len(sizes) - 1]
    normalization = keras.layers.BatchNormalization(dtype="float64")
    pooling = kind(sizes, padding=padding, data_format="channels_last", dtype="float64")
    both = keras.Sequential([keras.Input(shape[1:]), normalization, pooling])
    # Weights of both signs.
    x, gamma, beta = drawn(shape, shape[-1:], shape[-1:])
    forward = lambda *given: batched_normalized_pooling(  # noqa: E731
        *given, normalization.epsilon, sizes, padding
    )
    assert_same(forward, both, x, [gamma, beta])


@pytest.mark.parametrize("kind", ["CPU", "TPU"])
def test_of_equal_elements_a_max_pooling_gives_the_gradient_to_the_first(kind, on):
    on(kind)
    x = np.random.RandomState(0).randint(0, 2, (SETS, 2, 6, 6, 3)).astype(np.float64)
    layer = keras.layers.MaxPooling2D(2, data_format="channels_last", dtype="float64")
    assert_same(lambda x: batched_max_pooling(x, (2, 2), "valid"), layer, x, [])


@pytest.mark.parametrize("shape", [(6, 4), (2, 3, 4), (1, 4)])
@pytest.mark.parametrize("kind", ["CPU", "GPU"])
def test_a_dense_product_is_keras_own(shape, kind, on):
    on(kind)
    layer = keras.layers.Dense(5, use_bias=False, dtype="float64")
    layer.build(shape)
    x, kernel = drawn(shape, (4, 5))
    assert_same(batched_dense, layer, x, [kernel])


@pytest.mark.of_a_cpu
def test_on_a_gpu_a_large_dense_product_is_one_of_matrices_and_a_small_one_is_sums(on):
    def text(units):
        x, kernel = tf.ones((2, 64, 64)), tf.ones((2, 64, units))
        function = tf.function(lambda *t: batched_dense(*t)[0], jit_compile=True, autograph=False)
        return function.experimental_get_compiler_ir(x, kernel)(stage="hlo")

    assert " dot(" in text(64)
    on("GPU")
    assert " dot(" not in text(64) and " dot(" in text(65)


def test_a_bias_is_keras_own():
    class Bias(keras.layers.Layer):
        def build(self, shape):
            self.bias = self.add_weight(shape=shape[-1:])

        def call(self, x):
            return x + self.bias

    layer = Bias(dtype="float64")
    layer.build((2, 3, 5))
    x, bias = drawn((2, 3, 5), (5,))
    assert_same(batched_bias, layer, x, [bias])


@pytest.mark.parametrize("rows", [1, 10, 257, 1024])
def test_sums_of_rows_are_numpys_in_one_pass(rows):
    a, b = drawn((rows, 3), (rows, 3))
    function = tf.function(sums_of_rows, jit_compile=True, autograph=False)
    for found, array in zip(function(a, b), (a, b), strict=True):
        np.testing.assert_allclose(found, array.sum(axis=1), atol=1e-11)
    text = function.experimental_get_compiler_ir(a, b)(stage="hlo")
    # A block and the blocks' sums, both arrays in each.
    assert text.count(" reduce(") == (2 if rows == 1024 else 1)


def test_on_a_tpu_sums_of_rows_are_those_of_each_array(on):
    on("TPU")
    a, b = drawn((1024, 3), (1024, 3))
    for found, array in zip(sums_of_rows(a, b), (a, b), strict=True):
        np.testing.assert_allclose(found, array.sum(axis=1), atol=1e-11)
