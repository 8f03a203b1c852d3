"""Episodes: few-shot tasks with their minibatches, as a `tf.data.Dataset`.

All random numbers of task i come from the pair (seed, i). So task i does not depend on the size of
a meta-batch, on the first task that is drawn or on the number of threads.
"""

import weakref
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_reptile.checks import (
    INT64,
    check_boolean,
    check_choice,
    check_integer,
    check_positive,
    check_seed,
)
from keras_reptile.episodes import streams
from keras_reptile.episodes.class_pool import ClassPool
from keras_reptile.episodes.meta_batches import MetaBatches
from keras_reptile.episodes.repeats import marked_as_following
from keras_reptile.episodes.task_spec import TaskSpec

SPLITS = ("train", "validation", "test")


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
    start: int | Callable[[], int] = 0,
    tasks: int | None = None,
    scale: bool = False,
    split: str = "train",
    within_groups: bool = False,
) -> tf.data.Dataset:
    """Returns a dataset of meta-batches of few-shot tasks, drawn from a pool.

    Every task has `ways` distinct classes, labelled 0 to ways - 1 in random order, and
    `shots + queries` distinct images of each class. No query image is a support image. The same
    seed gives the same tasks.

    Args:
        pool: A `ClassPool`.
        ways: Integer, classes in a task, at least 2: among one class, every answer is right.
        shots, queries, inner_batch_size, inner_steps, minibatches, tail_shots: See `TaskSpec`.
        meta_batch_size: Integer, tasks in one element. Defaults to `1`.
        seed: Integer, the seed of all random numbers. Defaults to `0`.
        start: Integer, the meta-iteration at which the stream begins: the elements before it are
            skipped. Or a function without arguments that returns this integer. The function is
            called each time an iteration over the dataset begins. With
            `start=lambda: model.meta_iteration` a second `fit` continues the stream, and so does a
            `fit` that `keras.callbacks.BackupAndRestore` resumes. With an integer it would begin
            with the same tasks again. Defaults to `0`.
        tasks: Integer, the number of tasks in the dataset. If it is not a multiple of
            `meta_batch_size`, the last element is smaller. `None` for an endless stream. Defaults
            to `None`.
        scale: Boolean. If false, images of a uint8 pool stay uint8, and `ReptileModel` scales them,
            see its `byte_scale`. If true, they become float32 in [0, 1], which takes four times
            the memory. Do not use `True` for a network that scales bytes itself. Defaults to
            `False`.
        split: String, `"train"`, `"validation"` or `"test"`. The same seed gives independent random
            numbers for each split. Without this, two pools with the same numbers of classes and
            images would give tasks at the same positions. Defaults to `"train"`.
        within_groups: Boolean, whether all classes of a task are of one group of the pool, such as
            an alphabet of Omniglot. Each task first draws a group, with equal probability for each.
            Groups with fewer than `ways` classes are left out. Defaults to `False`: any classes of
            the pool.

    Returns:
        A `tf.data.Dataset` of dicts:

        * `"support"`: tuple of images `(meta_batch_size, ways * shots, ...)`, in the pool's dtype
          or scaled, and labels `(meta_batch_size, ways * shots)`, int32.
        * `"order"`: int32 `(meta_batch_size, inner_steps, inner_batch_size)`, the positions of each
          minibatch's images in the support set.
        * `"query"`: like `"support"`, with `ways * queries` images.
        * `"tail"`, with `tail_shots` only: int32 `(meta_batch_size, ways * tail_shots)`, the
          positions of the last minibatch's images in the support set. `"order"` then contains the
          `inner_steps - 1` minibatches before it.
        * `"classes"`, with `tasks` only: int32 `(meta_batch_size, ways)`, the position of each
          label's class in the pool. `evaluate` measures the accuracy of each class by it.

    Raises:
        ValueError: If the pool is too small for the tasks, an argument is out of range, or
            `within_groups` is true and no group has `ways` classes.

    Example:

    >>> pool = ClassPool.from_arrays(np.zeros((60, 28, 28, 1), np.uint8), np.arange(60) % 6)
    >>> episode = next(iter(episode_dataset(pool, ways=5, shots=2, meta_batch_size=3)))
    >>> tuple(episode["support"][0].shape), tuple(episode["order"].shape)
    ((3, 10, 28, 28, 1), (3, 5, 10))
    """
    ways = check_integer("ways", ways, 2)
    spec = TaskSpec(ways, shots, queries, inner_batch_size, inner_steps, minibatches, tail_shots)
    check_boolean("within_groups", within_groups)
    spec.check_against(pool, within_groups)
    seed = check_seed("seed", seed, -INT64, INT64)
    meta_batch_size = check_positive("meta_batch_size", meta_batch_size)
    check_boolean("scale", scale)
    check_choice("split", split, SPLITS)
    meta_batches = MetaBatches(spec, scale, tasks is not None, within_groups)
    tensors, seed = meta_batches.tensors(pool), seed_of(seed, split)

    def draw(first, size):
        positions = meta_batches.traced_positions(tensors, seed, first, size)
        return meta_batches.episodes(tensors, positions)

    dataset = task_stream(draw, meta_batch_size, start, tasks)
    if tasks is not None:
        return dataset
    return streams.known(dataset, streams.Stream(pool, meta_batches, seed, meta_batch_size, start))


def executions_of(stream: streams.Stream, number: int, steps: int | None) -> tf.data.Dataset:
    """Returns the parts of a stream, see `streams.executions`."""
    firsts = task_stream(lambda first, _: first, stream.meta_batch_size, stream.start)
    return streams.executions(firsts, stream.meta_batch_size, number, steps)


def seed_of(seed: int, split: str) -> int:
    """Returns the seed of a split's stream. For "train" it is the seed itself.

    Example:

    >>> seed_of(7, "train")
    7
    >>> seed_of(7, "test") == seed_of(7, "validation")
    False
    """
    index = SPLITS.index(split)
    if index == 0:
        return seed
    words = np.random.SeedSequence([index, seed % 2**64]).generate_state(1, np.uint64)
    return int(words.view(np.int64)[0])


def task_stream(
    draw: Callable,
    meta_batch_size: int,
    start: int | Callable[[], int] = 0,
    tasks: int | None = None,
) -> tf.data.Dataset:
    """Returns a dataset of meta-batches of numbered tasks.

    Args:
        draw: Function `(first, size)` that returns the episode of the tasks number `first` to
            `first + size - 1`. `first` is an int64 tensor.
        meta_batch_size, start, tasks: See `episode_dataset`.

    Raises:
        ValueError: If an argument is out of range.

    Example:

    >>> numbers = lambda first, size: first + tf.range(size, dtype=tf.int64)
    >>> [n.numpy().tolist() for n in task_stream(numbers, 2, start=3, tasks=3)]
    [[6, 7], [8]]
    """
    meta_batch_size = check_positive("meta_batch_size", meta_batch_size)
    if tasks is not None:
        tasks = check_positive("tasks", tasks)
    if callable(start):
        return _following(draw, meta_batch_size, start, tasks)
    start = check_integer("start", start, 0)
    first = start * meta_batch_size
    if first + (tasks or meta_batch_size) > INT64:
        raise ValueError(
            "Task numbers must fit into 64 bits. The first is `start * meta_batch_size`. Received: "
            f"start={start}, meta_batch_size={meta_batch_size}, tasks={tasks}. Lower one of them."
        )
    if tasks is None:
        firsts = tf.data.Dataset.counter(first, meta_batch_size)
        return _mapped(firsts, draw, meta_batch_size)
    return _finite(draw, meta_batch_size, first, tasks)


def _following(draw, meta_batch_size, start, tasks):
    """Returns an endless stream. Each iteration over it begins where the function says."""
    if tasks is not None:
        raise ValueError(
            "`start` must be an integer for a fixed number of tasks. Received: a function as "
            f"`start`, and tasks={tasks}. Leave one of them out."
        )

    begin = _Start(start, INT64 // meta_batch_size - 1)
    # TensorFlow keeps the function that it calls until the process ends. By a reference to `start`
    # it would also keep the model.
    alive = weakref.ref(begin)

    def first():
        begin = alive()
        assert begin is not None, "the dataset is gone"
        return np.int64(begin() * meta_batch_size)

    def counter(_):
        begin = tf.ensure_shape(tf.numpy_function(first, [], tf.int64), ())
        return tf.data.Dataset.counter(begin, meta_batch_size)

    firsts = tf.data.Dataset.from_tensors(0).flat_map(counter)
    # Datasets that are made from this one keep it, and so do their iterators.
    vars(firsts)["_start"] = begin
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return marked_as_following(_mapped(firsts.apply(endless), draw, meta_batch_size))


class _Start:
    """The function `start` of an endless stream, with the check of its result."""

    def __init__(self, start: Callable[[], int], most: int):
        self._start, self._most = start, most

    def __call__(self) -> int:
        return check_integer("start()", self._start(), 0, self._most)


def _finite(draw, meta_batch_size, first, tasks):
    """Returns a dataset of a fixed number of tasks. The last meta-batch may be smaller."""
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
    """Returns a dataset of episodes, from that of the number of each one's first task."""
    # AutoGraph has nothing to convert here, and its search takes a second.
    drawn = tf.autograph.experimental.do_not_convert(lambda first: draw(first, size))
    # `draw` is stateless, so parallel calls change the speed only.
    dataset = firsts.map(drawn, num_parallel_calls=2, deterministic=True)
    # tf.data has nothing to optimize or tune here, and would copy the whole pool to try.
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return dataset.prefetch(4).with_options(options)
