"""The vectors in which a replica's results leave its program."""

import numpy as np
import tensorflow as tf

from keras_reptile.execution.replica_step import Packing


def results():
    """A structure like that of a step, with tensors of two dtypes."""
    return (
        [tf.reshape(tf.range(6.0), (2, 3)), tf.constant([7.0])],
        (),
        {"loss": tf.constant(8.0), "counts": tf.constant([9.0, 10.0], tf.float64)},
    )


def test_there_is_one_vector_for_each_dtype():
    packing = Packing.of(results())
    vectors = packing.pack(results())
    assert sorted((v.dtype.name, v.shape.as_list()) for v in vectors) == [
        ("float32", [8]),
        ("float64", [2]),
    ]
    tripled = packing.unpack([3 * v for v in vectors])
    tf.nest.map_structure(
        lambda t, was: np.testing.assert_array_equal(t, 3 * was), tripled, results()
    )


def test_a_tensor_of_unknown_shape_stays_apart():
    packings = []

    @tf.function(input_signature=[tf.TensorSpec((None,)), tf.TensorSpec((2, 2))], autograph=False)
    def there_and_back(unknown, known):
        structure = [unknown, known, known]
        packings.append(Packing.of(structure))
        vectors = packings[0].pack(structure)
        assert [v.shape.rank for v in vectors] == [1, 1]
        return packings[0].unpack([2 * v for v in vectors])

    unknown, known, again = there_and_back(tf.ones(3), tf.eye(2))
    np.testing.assert_array_equal(unknown, 2 * np.ones(3))
    np.testing.assert_array_equal(known, 2 * np.eye(2))
    np.testing.assert_array_equal(again, 2 * np.eye(2))


def test_nothing_is_no_vector():
    packing = Packing.of(([], ()))
    assert packing.pack(([], ())) == []
    assert packing.unpack([]) == ([], ())
