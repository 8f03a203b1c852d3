import functools
import re

import numpy as np
import pytest
import tensorflow as tf

from keras_reptile.kernels import image_groups, patch_convolution
from keras_reptile.kernels.image_groups import group_size, in_groups
from keras_reptile.kernels.patch_convolution import convolution

RUNS = {
    "eager": lambda f: f,
    "graph": lambda f: tf.function(f, autograph=False),
    "XLA": lambda f: tf.function(f, autograph=False, jit_compile=True),
}


def test_groups_fit_in_the_cache_and_divide_all_images():
    # Patches and kernel of the second layer of the paper's Omniglot network.
    sizes = 9 * 64 * 49 * 4, 9 * 64 * 64 * 4
    assert [group_size(n, *sizes) for n in (50, 100, 200, 202)] == [50, 10, 10, 202]
    for images in range(1, 400):
        found = group_size(images, *sizes)
        assert images % found == 0
        assert found == images or 5 <= found <= 10
    assert group_size(7, 1 << 30, 0) == 7


def test_a_kernel_that_fills_the_cache_is_not_read_for_every_group():
    assert group_size(200, 100_000, image_groups.CORE_CACHE_BYTES) == 200


def layer(x, kernel):
    return tf.sin(x @ kernel)


def value_and_gradients(function):
    def run(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = function(x, kernel)
            # Another weight for each, so that no two can be exchanged.
            weights = tf.reshape(tf.range(tf.size(y), dtype=y.dtype), y.shape)
            loss = tf.reduce_sum(weights * tf.sin(y))
        return y, *tape.gradient(loss, [x, kernel])

    return run


@pytest.mark.slow
@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_groups_give_what_all_at_once_give(run, size):
    rs = np.random.RandomState(0)
    x, kernel = tf.constant(rs.randn(6, 3)), tf.constant(rs.randn(3, 4))
    wanted = value_and_gradients(layer)(x, kernel)
    found = run(value_and_gradients(lambda *a: in_groups(layer, size, (4,), *a)))(x, kernel)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_first_image_that_is_not_finite_spoils_no_other(run, bad):
    # Its first number is what the places to fill are made of.
    x = np.arange(8.0).reshape(4, 2)
    x[0, 0] = bad
    found = run(lambda x, k: in_groups(lambda a, b: a * b, 2, (2,), x, k))(
        tf.constant(x), tf.constant([2.0, 3.0], tf.float64)
    )
    np.testing.assert_array_equal(found, x * [2, 3])


@pytest.mark.slow
def test_xla_convolves_many_images_in_groups(monkeypatch):
    rs = np.random.RandomState(0)
    x, kernel = tf.constant(rs.randn(12, 6, 5, 2)), tf.constant(rs.randn(3, 3, 2, 4))

    def gradients(by_xla):
        convolve = functools.partial(
            convolution, strides=(2, 1), padding="same", dilation=(1, 1), by_xla=by_xla
        )
        return RUNS["XLA" if by_xla else "graph"](value_and_gradients(convolve))

    wanted = gradients(False)(x, kernel)
    each = 3 * 5 * 18 * 8  # Bytes of an image's patches.
    monkeypatch.setattr(image_groups, "CORE_CACHE_BYTES", 4 * each + 18 * 4 * 8)
    for share, images in ((12, 12), (11, 4)):
        monkeypatch.setattr(image_groups, "SHARED_CACHE_BYTES", share * each)
        compiled = gradients(True)
        for a, b in zip(compiled(x, kernel), wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
        text = compiled.experimental_get_compiler_ir(x, kernel)(stage="optimized_hlo")
        assert set(re.findall(r"f64\[(\d+),4\]\S* dot\(", text)) == {str(images * 15)}


@pytest.mark.slow
def test_narrow_patches_are_not_grouped(monkeypatch):
    # Nine numbers of each place become ten: it is those that leave the cache.
    monkeypatch.setattr(patch_convolution, "group_size", lambda *_: 2)
    run = tf.function(
        lambda x, k: convolution(x, k, (2, 2), "same", (1, 1), by_xla=True),
        jit_compile=True,
        autograph=False,
    )
    for filters, rows in ((10, 36), (8, 18)):
        x, kernel = tf.ones((4, 6, 6, 1)), tf.ones((3, 3, 1, filters))
        text = run.experimental_get_compiler_ir(x, kernel)(stage="optimized_hlo")
        assert re.findall(r"f32\[(\d+),\d+\]\S* dot\(", text) == [str(rows)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "strides", "padding", "dilation"),
    [
        ((4, 9, 7, 2), (3, 1), "valid", (1, 1)),
        ((4, 9, 9, 2), (1, 1), "same", (2, 3)),
        ((4, 9, 2), (1,), "causal", (2,)),
        ((4, 5, 4, 3, 2), (2, 1, 1), "same", (1, 1, 1)),
    ],
)
def test_groups_of_any_convolution(shape, strides, padding, dilation, monkeypatch):
    rs = np.random.RandomState(0)
    kernel = tf.constant(rs.randn(*[3] * len(strides), 2, 4))
    x = tf.constant(rs.randn(*shape))
    monkeypatch.setattr(patch_convolution, "group_size", lambda *_: 2)

    def found(by_xla):
        convolve = functools.partial(
            convolution, strides=strides, padding=padding, dilation=dilation, by_xla=by_xla
        )
        run = RUNS["XLA" if by_xla else "eager"](value_and_gradients(convolve))
        return run(x, kernel)

    for a, b in zip(found(True), found(False), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_the_sum_of_halves_is_not_rounded_group_by_group():
    # Of 512 ones bfloat16 alone would lose those after 256.
    x, kernel = tf.ones((512, 1), tf.bfloat16), tf.ones((1, 1), tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        y = in_groups(lambda x, k: x @ k, 1, (1,), x, kernel)
    assert float(tape.gradient(y, kernel)[0, 0]) == 512
