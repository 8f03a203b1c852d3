"""Tasks that a compiled function draws are those of the pipeline, bit for bit."""

import numpy as np
import pytest
import tensorflow as tf

from keras_reptile.episodes import philox, sampling
from keras_reptile.episodes.class_pool import ClassPool
from keras_reptile.episodes.episode_dataset import episode_dataset
from keras_reptile.episodes.streams import stream_of

# On both sides of the numbers that XLA's own generator confuses, and of the sign.
NUMBERS = (0, 2**31 - 2, 2**32 - 2, 2**40, 2**62)
SEEDS = (0, 7, -1, 2**32 + 5, -(2**63))


@pytest.fixture(scope="module")
def compiled_bits():
    return tf.function(philox.task_bits, jit_compile=True, autograph=False)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("first", NUMBERS)
def test_bits_are_those_of_tensorflow(first, seed, compiled_bits):
    arguments = tf.constant(seed, tf.int64), tf.constant(first, tf.int64)
    expected = sampling.task_bits(seed, arguments[1], 3, 7)
    np.testing.assert_array_equal(compiled_bits(*arguments, 3, 7), expected)


SPECS = {
    "cycling": dict(ways=3, shots=4, queries=2, inner_batch_size=5, inner_steps=4),
    "replacement": dict(ways=2, shots=3, inner_batch_size=4, minibatches="replacement"),
    "a tail": dict(ways=2, shots=3, inner_batch_size=3, inner_steps=3, tail_shots=1),
    "no queries": dict(ways=2, shots=3, queries=0),
    "within groups": dict(ways=2, shots=3, within_groups=True),
}


def uneven_pool():
    """Classes of 6 to 10 images, each of other numbers than all others."""
    counts = np.arange(6, 11)
    return ClassPool(
        np.arange(2 * counts.sum(), dtype=np.uint8).reshape(-1, 2, 1), counts, groups="aabba"
    )


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_meta_batches_are_those_of_the_pipeline(spec):
    pool = uneven_pool()
    dataset = episode_dataset(pool, **SPECS[spec], meta_batch_size=2, seed=-3, start=2**31)
    meta_batches = stream_of(dataset).meta_batches
    tensors = meta_batches.tensors(pool)

    @tf.function(jit_compile=True, autograph=False)
    def drawn(pool, seed, first):
        return meta_batches.episodes(
            pool, meta_batches.positions(pool, seed, first, 4, philox.task_bits)
        )

    found = drawn(tensors, tf.constant(-3, tf.int64), tf.constant(2**32, tf.int64))
    expected = [next(iter(dataset.skip(i))) for i in range(2)]
    both = tf.nest.map_structure(lambda a, b: tf.concat([a, b], axis=0), *expected)
    tf.nest.map_structure(np.testing.assert_array_equal, found, both)
