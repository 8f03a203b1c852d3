import numpy as np
import pytest
import tensorflow as tf

from keras_reptile.kernels.row_sums import MIN_BYTES_TO_CUT, blocks, sum_of_rows


@pytest.mark.parametrize("rows", [3, 4096, 4099])
@pytest.mark.parametrize("compiled", [False, True], ids=["by itself", "by XLA"])
def test_sums_are_numpys(rows, compiled):
    a, b = np.random.RandomState(0).randn(2, rows, 5)
    weighted = tf.function(
        lambda *matrices: sum_of_rows(lambda a, b: tf.square(a - 1) * b, *matrices),
        jit_compile=compiled,
        autograph=False,
    )
    found = weighted(tf.constant(a), tf.constant(b))
    np.testing.assert_allclose(found, np.sum((a - 1) ** 2 * b, axis=0), rtol=1e-12)


def test_rows_whose_number_is_not_known_are_summed_at_once():
    summed = tf.function(
        lambda m: sum_of_rows(tf.square, m),
        input_signature=[tf.TensorSpec((None, 2))],
        autograph=False,
    )
    np.testing.assert_array_equal(summed(tf.fill((6, 2), 2.0)), [24.0, 24.0])


def test_many_rows_are_cut_into_equal_blocks():
    wide = MIN_BYTES_TO_CUT // 4
    assert [blocks(rows, wide, 4) for rows in (1, 6, 12, 11, 64)] == [1, 6, 6, 1, 8]
    assert blocks(8, wide // 8 - 1, 4) == 1
