"""The random choices of an episode, as functions of random integers."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_reptile.episodes.class_groups import ClassGroups
from keras_reptile.episodes.task_spec import TaskSpec

# Loops with more turns than this become loops in the graph. Unrolled, hundreds of ways or tasks
# would take minutes to trace.
UNROLLED = 32
# The images of a minibatch from a support set, where no other number is given.
INNER_BATCH_SIZE = 10


def draw_tasks(
    spec: TaskSpec,
    counts,
    offsets,
    seed,
    first,
    size: int,
    groups: ClassGroups | None = None,
    bits_of: Callable | None = None,
) -> tuple:
    """Draws the random part of `size` tasks, beginning with task number `first`.

    With `groups`, each task first draws a group, with equal probability, and then its classes from
    it.

    Args:
        spec: The `TaskSpec`.
        counts, offsets: Integers `(classes,)`, of the pool's classes.
        seed, first, size: See `task_bits`.
        groups: The `ClassGroups`. Defaults to `None`.
        bits_of: Function that replaces `task_bits`. Defaults to `None`, `task_bits`.

    Returns:
        Tuple of the images' positions in the pool, int64 `(size, ways, shots + queries)`, the
        minibatches' positions in the support set, int32 `(size, drawn_steps, inner_batch_size)`,
        and the classes' positions in the pool, int64 `(size, ways)`.
    """
    ways, each, n = spec.ways, spec.shots + spec.queries, spec.drawn_size
    passes = spec.passes
    # Without groups no bit is drawn for them, so that tasks stay those of earlier versions.
    needs = (2 * ways, 2 * ways * each, passes * n, int(groups is not None))
    for_classes, for_images, for_order, for_group = tf.split(
        (bits_of or task_bits)(seed, first, size, sum(needs)), needs, axis=1
    )
    class_bits = tf.reshape(for_classes, (size, 2, ways))
    if groups is None:
        classes = distinct(class_bits, tf.shape(counts, out_type=tf.int64))
    else:
        classes = distinct_of_a_group(class_bits, for_group[:, 0], groups)
    bits = tf.reshape(for_images, (size, ways, 2, each))
    images = distinct(bits, tf.gather(counts, classes)) + tf.gather(offsets, classes)[..., None]
    order = minibatch_order(tf.reshape(for_order, (size, passes, n)), spec)
    return images, order, classes


def distinct_of_a_group(bits: tf.Tensor, group_bits: tf.Tensor, groups: ClassGroups) -> tf.Tensor:
    """Returns the positions of distinct classes of one group for each task, int64 `(tasks, k)`.

    Args:
        bits: Random integers int64 `(tasks, 2, k)`.
        group_bits: Random integers int64 `(tasks,)`.
        groups: The `ClassGroups`, each of at least k classes.
    """
    group = group_bits % tf.shape(groups.sizes, out_type=tf.int64)[0]
    within = distinct(bits, tf.gather(groups.sizes, group))
    return tf.gather(groups.members, within + tf.gather(groups.starts, group)[:, None])


def minibatch_order(bits: tf.Tensor, spec: TaskSpec) -> tf.Tensor:
    """Returns the support images of each minibatch. Each pass is one random permutation.

    Args:
        bits: Random integers `(..., passes, ways * drawn_shots)`, with `spec.passes` passes.
        spec: The `TaskSpec`.

    Returns:
        Positions in the support set, int32 `(..., drawn_steps, inner_batch_size)`, without the
        tail.
    """
    order = tf.argsort(bits)
    if spec.tail_shots is not None:
        order = tf.gather(_in_support(spec)[:, : spec.drawn_shots].ravel(), order)
    if spec.minibatches == "replacement":
        return order[..., : spec.inner_batch_size]
    outer = order.shape[:-2]
    stream = tf.reshape(order, (*outer, spec.passes * spec.drawn_size))
    stream = stream[..., : spec.drawn_steps * spec.inner_batch_size]
    return tf.reshape(stream, (*outer, spec.drawn_steps, spec.inner_batch_size))


def tail_of(spec: TaskSpec) -> np.ndarray:
    """Returns the tail's positions in the support set, int32 `(ways * tail_shots,)`."""
    # The images of a class are in random order, so its last images are a random choice.
    return _in_support(spec)[:, spec.drawn_shots :].ravel()


def _in_support(spec):
    """Returns the positions of each class's images in the support set, `(ways, shots)`."""
    return np.arange(spec.ways * spec.shots, dtype=np.int32).reshape(spec.ways, spec.shots)


def task_bits(seed: int, first: tf.Tensor, size: int, number: int) -> tf.Tensor:
    """Returns random integers `(size, number)` in [0, 2^62). Each row is of one task only."""

    def row(i):
        own = tf.stack([tf.convert_to_tensor(seed, tf.int64), first + tf.cast(i, tf.int64)])
        return tf.random.stateless_uniform((number,), own, 0, 2**62, tf.int64, "philox")

    if size > UNROLLED:
        return tf.map_fn(row, tf.range(size), fn_output_signature=tf.int64)
    return tf.stack([row(i) for i in range(size)])


def distinct(bits: tf.Tensor, population: tf.Tensor) -> tf.Tensor:
    """Returns k distinct numbers below `population`, in random order, by Floyd's algorithm.

    The cost depends on k only, not on the population.

    Args:
        bits: Random integers int64 `(..., 2, k)`.
        population: Integers int64 `(...)` or broadcast to it, at least k.

    Returns:
        int64 `(..., k)`.
    """
    k = bits.shape[-1]
    chosen = _many(bits, population) if k > UNROLLED else _few(bits, population)
    # Floyd's subset is uniform, but its order is not.
    return tf.gather(chosen, tf.argsort(bits[..., 1, :]), batch_dims=len(bits.shape) - 2)


def _few(bits, population):
    """Returns Floyd's k numbers, by an unrolled loop of O(k^2) comparisons."""
    k = bits.shape[-1]
    tops = population[..., None] - k + tf.range(k, dtype=tf.int64)
    picks = bits[..., 0, :] % (tops + 1)
    tops += tf.zeros_like(picks)
    chosen: list[tf.Tensor] = []
    for pick, top in zip(tf.unstack(picks, axis=-1), tf.unstack(tops, axis=-1), strict=True):
        taken = tf.equal(tf.stack(chosen), pick) if chosen else None
        chosen.append(pick if taken is None else tf.where(tf.reduce_any(taken, 0), top, pick))
    return tf.stack(chosen, -1)


def _many(bits, population):
    """Returns the same numbers, by a loop in the graph."""
    k = bits.shape[-1]
    picks = tf.reshape(bits[..., 0, :], (-1, k))
    tops = tf.reshape(tf.broadcast_to(population, tf.shape(bits)[:-2]), (-1,)) - k

    def step(i, chosen):
        top = tops + tf.cast(i, tf.int64)
        pick = picks[:, i] % (top + 1)
        taken = tf.reduce_any(tf.equal(chosen, pick[:, None]), axis=-1)
        value = tf.where(taken, top, pick)
        return i + 1, tf.where(tf.equal(tf.range(k), i), value[:, None], chosen)

    none = tf.fill(tf.shape(picks), tf.constant(-1, tf.int64))
    _, chosen = tf.while_loop(lambda i, _: i < k, step, (tf.constant(0), none))
    return tf.reshape(chosen, (*bits.shape[:-2], k))


def support_order(number: int, batch: int, steps: int, seed: int) -> tf.Tensor:
    """Draws the support images of each inner step, for a support set without classes.

    Args:
        number: Integer, the size of the support set.
        batch: Integer, the size of a minibatch.
        steps: Integer, the number of inner steps.
        seed: Integer.

    Returns:
        Positions in the support set, int32 `(steps, batch)`.
    """
    if steps == 0:
        return tf.zeros((0, batch), tf.int32)
    spec = TaskSpec(1, number, 0, batch, steps)
    bits = np.random.RandomState(seed).randint(0, 2**62, (spec.passes, number))
    return minibatch_order(tf.constant(bits, tf.int64), spec)


def seedless_support_order(images: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Returns the support images of each inner step, for sizes that are known when a graph runs.

    Minibatches cycle through the support set in passes. Each pass has another pseudo-random order,
    and a minibatch can span two passes. There is no seed: the same sizes give the same result.

    Args:
        images: Integer, the size of the support set.
        steps: Integer, inner steps.

    Returns:
        int32 `(steps, min(10, images))`, positions in the support set.

    Example:

    >>> seedless_support_order(3, 2).numpy()
    array([[1, 0, 2],
           [0, 1, 2]], dtype=int32)
    """
    images, steps = tf.convert_to_tensor(images), tf.convert_to_tensor(steps)
    batch = tf.minimum(images, INNER_BATCH_SIZE)
    passes = -(-steps * batch // images)
    bits = tf.random.stateless_uniform(
        tf.stack([passes, images]), (0, 0), None, None, tf.int32, alg="philox"
    )
    stream = tf.reshape(tf.argsort(bits, stable=True), (-1,))[: steps * batch]
    return tf.reshape(stream, tf.stack([steps, batch]))
