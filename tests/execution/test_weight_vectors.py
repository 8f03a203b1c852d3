import numpy as np
import tensorflow as tf

from keras_reptile.execution.weight_vectors import VectorLayout

SHAPES = [(2, 3), (4,), (), (1, 2, 2)]


def weights(leading=()):
    bits = np.random.RandomState(0)
    dtypes = [tf.float32, tf.float64, tf.float32, tf.float64]
    return [
        tf.constant(bits.rand(*leading, *shape), dtype)
        for shape, dtype in zip(SHAPES, dtypes, strict=True)
    ]


def test_there_is_a_vector_for_each_dtype_with_the_weights_in_their_order():
    given = weights()
    singles, doubles = VectorLayout.of(given).pack(given)
    assert (singles.dtype, doubles.dtype) == (tf.float32, tf.float64)
    np.testing.assert_array_equal(singles, np.concatenate([given[0].numpy().ravel(), [given[2]]]))
    np.testing.assert_array_equal(doubles, np.concatenate([given[1], given[3].numpy().ravel()]))


def test_unpacking_gives_the_weights_back():
    given = weights()
    layout = VectorLayout.of(given)
    for found, weight in zip(layout.unpack(layout.pack(given)), given, strict=True):
        assert (found.shape, found.dtype) == (weight.shape, weight.dtype)
        np.testing.assert_array_equal(found, weight)


def test_vectors_may_have_tasks_before_them():
    given = weights(leading=(5,))
    layout = VectorLayout.of([t[0] for t in given])
    rows = [layout.pack([t[task] for t in given]) for task in range(5)]
    vectors = [tf.stack(parts) for parts in zip(*rows, strict=True)]
    for found, weight in zip(layout.unpack(vectors), given, strict=True):
        np.testing.assert_array_equal(found, weight)
