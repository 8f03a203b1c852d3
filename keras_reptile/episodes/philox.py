"""Random integers of many tasks at once, by TensorFlow's stateless generator, written out.

`tf.random.stateless_uniform` takes one pair of seeds, and XLA uses 32 bits of each. Here all tasks
are elements of the same few operations, with all 64 bits. XLA makes one kernel of them.

Reference: Salmon, Moraes, Dror, Shaw, Parallel Random Numbers: As Easy as 1, 2, 3, 2011. Philox
4x32 with 10 rounds.
"""

from typing import Any

import tensorflow as tf

ROUNDS = 10
MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
INCREMENTS = 0x9E3779B9, 0xBB67AE85
# The key by which TensorFlow mixes a pair of seeds into the key and half of the counter.
MIXING_KEY = 0x3EC8F720, 0x02461E29


def task_bits(seed: Any, first: Any, size: int, number: int) -> tf.Tensor:
    """Returns the integers of `sampling.task_bits`.

    Args:
        seed, first: Integers, or int64 scalars.
        size, number: Integers.

    Example:

    >>> from keras_reptile.episodes import sampling
    >>> bool(tf.reduce_all(task_bits(3, 2**40, 2, 5) == sampling.task_bits(3, 2**40, 2, 5)))
    True
    """
    tasks = tf.cast(first, tf.int64) + tf.range(size, dtype=tf.int64)[:, None]
    seeds = [tf.cast(tf.cast(n, tf.int64), tf.uint64) for n in (seed, tasks)]
    halves = [half(words) for words in seeds for half in (_low, _high)]
    *key, low, high = philox(halves, MIXING_KEY)
    # A block has four words, and an integer two.
    blocks = tf.cast(tf.range(-(-number // 2)), tf.uint64)[None]
    words = philox((blocks, tf.zeros_like(blocks), low, high), key)
    pairs = tf.stack([words[0] | _raised(words[1]), words[2] | _raised(words[3])], axis=-1)
    bits = tf.reshape(pairs, (size, 2 * blocks.shape[1]))[:, :number]
    return tf.cast(bits & (2**62 - 1), tf.int64)


def philox(counter: Any, key: Any) -> tuple:
    """Returns a block of random words.

    Args:
        counter: Sequence of four uint64 tensors below 2^32, which broadcast to one shape.
        key: Sequence of two such tensors or integers.

    Returns:
        Tuple of four uint64 tensors below 2^32.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = (tf.cast(k, tf.uint64) for k in key)
    for _ in range(ROUNDS):
        x, y = c0 * MULTIPLIERS[0], c2 * MULTIPLIERS[1]
        c0, c1, c2, c3 = _high(y) ^ c1 ^ k0, _low(y), _high(x) ^ c3 ^ k1, _low(x)
        k0, k1 = _low(k0 + INCREMENTS[0]), _low(k1 + INCREMENTS[1])
    return c0, c1, c2, c3


def _low(x: tf.Tensor) -> tf.Tensor:
    return x & 0xFFFFFFFF


def _high(x: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.right_shift(x, tf.constant(32, tf.uint64))


def _raised(x: tf.Tensor) -> tf.Tensor:
    return tf.bitwise.left_shift(x, tf.constant(32, tf.uint64))
