"""Episodes: few-shot tasks with their minibatches, as a `tf.data.Dataset`.

Task number i of a seed is the same task however many are drawn together, wherever drawing starts
and however many threads draw: all of its random numbers come from the pair (seed, i).
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_reptile.checks import INT64, check_boolean, check_integer, check_positive, check_seed
from keras_reptile.episodes.class_pool import ClassPool
from keras_reptile.episodes.episode_format import scaled
from keras_reptile.episodes.task_spec import TaskSpec

# Longer loops are loops in the graph too: unrolled, hundreds of ways or tasks would take minutes to
# trace.
UNROLLED = 32


def episode_dataset(
    pool: ClassPool,
    ways: int,
    shots: int,
    *,
    queries: int = 1,
    inner_batch_size: int = 10,
    inner_steps: int = 5,
    minibatches: str = "cycling",
    tail_shots: int | None = None,
    meta_batch_size: int = 1,
    seed: int = 0,
    start: int = 0,
    tasks: int | None = None,
    scale: bool = True,
) -> tf.data.Dataset:
    """Meta-batches of few-shot tasks, endless or a fixed number, the same for the same seed.

    Every task has `ways` distinct classes, numbered 0 to ways - 1 in random order, and
    `shots + queries` distinct images of each; no query image is a support image.

    Args:
        pool: A `ClassPool`.
        ways, shots, queries, inner_batch_size, inner_steps, minibatches, tail_shots: See
            `TaskSpec`.
        meta_batch_size: Integer, tasks in one element. Defaults to `1`.
        seed: Integer, decides every draw. Defaults to `0`.
        start: Integer, the meta-iteration to begin at: the stream is what a stream from 0 gives
            after so many elements. Defaults to `0`.
        tasks: Integer, tasks in all, the last element smaller if they do not divide; `None` for
            an endless stream. Defaults to `None`.
        scale: Boolean. Images of a uint8 pool come as float32 in [0, 1] if true, else as they
            are, a quarter of the bytes; `ReptileModel` then scales them where it computes.
            Defaults to `True`.

    Returns:
        A `tf.data.Dataset` of dicts:

        * `"support"`: tuple of images `(meta_batch_size, ways * shots, ...)`, in the pool's dtype
          or scaled, and labels `(meta_batch_size, ways * shots)`, int32;
        * `"order"`: int32 `(meta_batch_size, inner_steps, inner_batch_size)`, the positions in
          the support set that each minibatch takes;
        * `"query"`: like `"support"`, with `ways * queries`;
        * `"tail"`, with `tail_shots` only: int32 `(meta_batch_size, ways * tail_shots)`, the
          positions in the support set that the last minibatch takes; `"order"` then holds the
          `inner_steps - 1` minibatches before it.

    Raises:
        ValueError: If the pool is too small for the tasks, or an argument is out of range.

    Example:

    >>> pool = ClassPool.from_arrays(np.zeros((60, 28, 28, 1), np.uint8), np.arange(60) % 6)
    >>> episode = next(iter(episode_dataset(pool, ways=5, shots=2, meta_batch_size=3)))
    >>> tuple(episode["support"][0].shape), tuple(episode["order"].shape)
    ((3, 10, 28, 28, 1), (3, 5, 10))
    """
    spec = TaskSpec(ways, shots, queries, inner_batch_size, inner_steps, minibatches, tail_shots)
    spec.check_against(pool)
    check_seed("seed", seed, -INT64, INT64)
    check_boolean("scale", scale)
    return task_stream(_MetaBatches(pool, spec, seed, scale).draw, meta_batch_size, start, tasks)


def task_stream(
    draw: Callable, meta_batch_size: int, start: int = 0, tasks: int | None = None
) -> tf.data.Dataset:
    """Meta-batches of numbered tasks, endless or a fixed number.

    Args:
        draw: Function `(first, size)` to the episode of the tasks number `first` to
            `first + size - 1`; `first` is an int64 tensor.
        meta_batch_size, start, tasks: See `episode_dataset`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> numbers = lambda first, size: first + tf.range(size, dtype=tf.int64)
    >>> [n.numpy().tolist() for n in task_stream(numbers, 2, start=3, tasks=3)]
    [[6, 7], [8]]
    """
    check_positive("meta_batch_size", meta_batch_size)
    check_integer("start", start, 0)
    if tasks is not None:
        check_positive("tasks", tasks)
    first = start * meta_batch_size
    if first + (tasks or meta_batch_size) > INT64:
        raise ValueError(
            "Tasks are numbered in 64 bits, from `start * meta_batch_size` on. Received: "
            f"start={start}, meta_batch_size={meta_batch_size}, tasks={tasks}. Lower one of them."
        )
    if tasks is None:
        firsts = tf.data.Dataset.counter(first, meta_batch_size)
        return _mapped(firsts, draw, meta_batch_size)
    return _finite(draw, meta_batch_size, first, tasks)


def _finite(draw, meta_batch_size, first, tasks):
    whole = tasks - tasks % meta_batch_size
    parts = []
    if whole:
        firsts = tf.data.Dataset.range(first, first + whole, meta_batch_size)
        parts.append(_mapped(firsts, draw, meta_batch_size))
    if whole < tasks:
        last = tf.data.Dataset.from_tensors(tf.constant(first + whole, tf.int64))
        parts.append(_mapped(last, draw, tasks - whole))
    return parts[0] if len(parts) == 1 else parts[0].concatenate(parts[1])


def _mapped(firsts, draw, size):
    # Draws are stateless, so order and parallelism change nothing but speed.
    # There is nothing in it for AutoGraph to convert, and looking takes a second.
    drawn = tf.autograph.experimental.do_not_convert(lambda first: draw(first, size))
    dataset = firsts.map(drawn, num_parallel_calls=2, deterministic=True)
    # There is nothing to optimize or tune, and to try, tf.data copies the whole pool.
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return dataset.prefetch(4).with_options(options)


class _MetaBatches:
    """Draws meta-batches: indices first, in `draw_tasks`, then the images that they point to."""

    def __init__(self, pool: ClassPool, spec: TaskSpec, seed: int, scale: bool):
        self.spec, self.seed, self.scale = spec, seed, scale
        # Eager tensors: captured by the pipeline by reference, where arrays would be copied into
        # its graph.
        self.images = pool.tensor
        self.offsets = tf.convert_to_tensor(pool.offsets)
        self.counts = tf.convert_to_tensor(pool.counts)

    def draw(self, first: tf.Tensor, size: int) -> dict[str, Any]:
        spec = self.spec
        images, order = draw_tasks(spec, self.counts, self.offsets, self.seed, first, size)
        support, query = images[..., : spec.shots], images[..., spec.shots :]
        tail = {} if spec.tail_shots is None else {"tail": tf.tile(tail_of(spec)[None], (size, 1))}
        return {
            "support": self._examples(support, size),
            "order": order,
            "query": self._examples(query, size),
            **tail,
        }

    def _examples(self, indices, size):
        each = indices.shape[-1]
        x = tf.gather(self.images, tf.reshape(indices, (size, self.spec.ways * each)))
        if self.scale:
            x = scaled(x)
        labels = np.repeat(np.arange(self.spec.ways, dtype=np.int32), each)
        return x, tf.tile(labels[None], (size, 1))


def draw_tasks(spec: TaskSpec, counts, offsets, seed: int, first, size: int) -> tuple:
    """The random part of `size` tasks, from task number `first` on.

    Returns:
        Tuple of the images' positions in the pool, int64 `(size, ways, shots + queries)`, and the
        minibatches' positions in the support set, int32 `(size, inner_steps, inner_batch_size)`,
        one step less where there is a tail.
    """
    ways, each, n = spec.ways, spec.shots + spec.queries, spec.drawn_size
    passes = spec.passes
    needs = (2 * ways, 2 * ways * each, passes * n)
    for_classes, for_images, for_order = tf.split(
        task_bits(seed, first, size, sum(needs)), needs, axis=1
    )
    total = tf.shape(counts, out_type=tf.int64)[0]
    classes = distinct(tf.reshape(for_classes, (size, 2, ways)), total[None])
    bits = tf.reshape(for_images, (size, ways, 2, each))
    images = distinct(bits, tf.gather(counts, classes)) + tf.gather(offsets, classes)[..., None]
    order = minibatch_order(tf.reshape(for_order, (size, passes, n)), spec)
    return images, order


def minibatch_order(bits: tf.Tensor, spec: TaskSpec) -> tf.Tensor:
    """The support images of each minibatch, from one random order of those to draw from a pass.

    Args:
        bits: Random integers `(..., passes, ways * drawn_shots)`, with `spec.passes` passes.
        spec: The `TaskSpec`.

    Returns:
        int32 `(..., drawn_steps, inner_batch_size)`, without the tail.
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
    """Positions in the support set of the images kept apart, int32 `(ways * tail_shots,)`."""
    # A class's images are in random order, so its last are as random as any.
    return _in_support(spec)[:, spec.drawn_shots :].ravel()


def _in_support(spec):
    """Positions of each class's images in the support set, `(ways, shots)`."""
    return np.arange(spec.ways * spec.shots, dtype=np.int32).reshape(spec.ways, spec.shots)


def task_bits(seed: int, first: tf.Tensor, size: int, number: int) -> tf.Tensor:
    """Random integers `(size, number)` in [0, 2^62): each row from its task's number alone."""

    def row(i):
        own = tf.stack([tf.constant(seed, tf.int64), first + tf.cast(i, tf.int64)])
        return tf.random.stateless_uniform((number,), own, 0, 2**62, tf.int64, "philox")

    if size > UNROLLED:
        return tf.map_fn(row, tf.range(size), fn_output_signature=tf.int64)
    return tf.stack([row(i) for i in range(size)])


def distinct(bits: tf.Tensor, population: tf.Tensor) -> tf.Tensor:
    """k distinct numbers below `population`, in random order (Floyd's algorithm).

    Its work depends on k only, so that drawing from a million images costs what drawing from a
    thousand does.

    Args:
        bits: Random integers int64 `(..., 2, k)`.
        population: Integers int64 `(...)` or broadcast to it, at least k.

    Returns:
        int64 `(..., k)`.
    """
    k = bits.shape[-1]
    chosen = _many(bits, population) if k > UNROLLED else _few(bits, population)
    # Floyd's subset is uniform but its order is not.
    return tf.gather(chosen, tf.argsort(bits[..., 1, :]), batch_dims=len(bits.shape) - 2)


def _few(bits, population):
    """Floyd's k numbers by O(k^2) operations in the graph, each of them small."""
    k = bits.shape[-1]
    chosen: list[tf.Tensor] = []
    for i in range(k):
        top = population - k + i
        pick = bits[..., 0, i] % (top + 1)
        taken = [tf.equal(pick, c) for c in chosen]
        chosen.append(tf.where(tf.reduce_any(taken, axis=0), top, pick) if taken else pick)
    return tf.stack(chosen, -1)


def _many(bits, population):
    """The same numbers by a loop in the graph."""
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
