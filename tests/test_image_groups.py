import re

import numpy as np
import pytest
import tensorflow as tf

from keras_reptile import image_groups
from keras_reptile.image_groups import group_size, in_groups
from keras_reptile.patch_convolution import convolution

RUNS = {
    "eager": lambda f: f,
    "graph": lambda f: tf.function(f, autograph=False),
    "XLA": lambda f: tf.function(f, autograph=False, jit_compile=True),
}


def test_groups_fit_in_the_cache_and_divide_all_images():
    each = 9 * 64 * 49 * 4  # Patches of the second layer of the paper's Omniglot network.
    assert group_size(50, each) == 50
    assert [group_size(n, each) for n in (100, 200, 202)] == [10, 10, 202]
    for images in range(1, 400):
        found = group_size(images, each)
        assert images % found == 0
        assert found == images or 5 <= found <= 11
    assert group_size(7, 1 << 30) == 7


def linear(x, kernel):
    return tf.sin(x @ kernel)


def value_and_gradients(function):
    def run(x, kernel):
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = function(x, kernel)
            loss = tf.reduce_sum(y * tf.range(tf.size(y, tf.int32) / 4)[:, None])
        return y, *tape.gradient(loss, [x, kernel])

    return run


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_groups_give_what_all_at_once_give(run, size):
    rs = np.random.RandomState(0)
    x, kernel = tf.constant(rs.randn(6, 3)), tf.constant(rs.randn(3, 4))
    wanted = value_and_gradients(linear)(x, kernel)
    found = run(value_and_gradients(lambda *a: in_groups(linear, size, (4,), *a)))(x, kernel)
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


def test_xla_convolves_many_images_in_groups(monkeypatch):
    rs = np.random.RandomState(0)
    x, kernel = tf.constant(rs.randn(12, 6, 5, 2)), tf.constant(rs.randn(3, 3, 2, 4))

    def gradients(by_xla):
        def of(x, kernel):
            with tf.GradientTape() as tape:
                tape.watch([x, kernel])
                y = convolution(x, kernel, (2, 1), "same", (1, 1), by_xla=by_xla)
                loss = tf.reduce_sum(tf.sin(y))
            return y, *tape.gradient(loss, [x, kernel])

        return tf.function(of, jit_compile=True, autograph=False)

    wanted = gradients(False)(x, kernel)
    each = 3 * 5 * 18 * 8  # Bytes of an image's patches.
    monkeypatch.setattr(image_groups, "OWN", 4 * each)
    for share, images in ((12, 12), (11, 4)):
        monkeypatch.setattr(image_groups, "SHARE", share * each)
        compiled = gradients(True)
        for a, b in zip(compiled(x, kernel), wanted, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)
        text = compiled.experimental_get_compiler_ir(x, kernel)(stage="optimized_hlo")
        assert set(re.findall(r"f64\[(\d+),4\]\S* dot\(", text)) == {str(images * 15)}


def test_narrow_patches_are_not_grouped(monkeypatch):
    # Nine numbers of each place become ten: it is those that leave the cache.
    monkeypatch.setattr(image_groups, "SHARE", 1)
    x, kernel = tf.ones((4, 6, 6, 1)), tf.ones((3, 3, 1, 10))
    run = tf.function(
        lambda x, k: convolution(x, k, (2, 2), "same", (1, 1), by_xla=True), jit_compile=True
    )
    text = run.experimental_get_compiler_ir(x, kernel)(stage="optimized_hlo")
    assert " while(" not in text and "f32[36,10]" in text
