"""Divides meta-batches among replicas.

Replica r of N takes tasks r * M / N to (r + 1) * M / N - 1 of every meta-batch of M tasks. So the
stream of tasks is the same as on a single device. Every worker draws the whole stream, and keeps
the tasks of its own replicas.
"""

from typing import Any

import tensorflow as tf

from keras_reptile.episodes.episode_format import IS_REAL, mapped


def distributed(
    dataset: tf.data.Dataset, strategy: tf.distribute.Strategy, fill: bool = False
) -> tf.distribute.DistributedDataset:
    """Divides a dataset of meta-batches among the replicas of a strategy.

    Keras can also divide a dataset. But its shares may have different sizes, and in a cluster their
    sizes are unknown when the graph is built. Here all shares have one size that is known before.

    Args:
        dataset: Dataset of dicts of tensors with the tasks along the first axis.
        strategy: A `tf.distribute.Strategy`.
        fill: Boolean. If `False`, the number of replicas must divide a meta-batch, as in training.
            If `True`, each meta-batch is filled up with copies of its last task, and gets the key
            `"real"`: int32 `(tasks,)`, 0 for these copies and 1 for the other tasks. Defaults to
            `False`.

    Returns:
        A `DistributedDataset`. It is endless, or its number of elements is unknown.

    Raises:
        ValueError: If `fill` is false and the number of replicas does not divide a meta-batch, or
            meta-batches have different sizes.
    """
    replicas = strategy.num_replicas_in_sync
    size = largest_meta_batch(dataset) if fill else even_meta_batch(dataset, replicas)
    share = -(-size // replicas)

    def of_worker(context):
        own_replicas = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * own_replicas

        def shares(tasks):
            whole = filled(tasks, share * replicas) if fill else tasks
            return shares_of(whole, first, own_replicas, share)

        part = unbatched(mapped(dataset, shares))
        # If the end is known, the number of steps is known too, and the dataset is made endless.
        # Otherwise replicas would communicate at every step whether they are at the end.
        if dataset.cardinality() >= 0:
            return part.repeat()
        if dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY:
            return part
        return part.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    return strategy.distribute_datasets_from_function(of_worker)


def unbatched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the parts of a dataset's elements along their first axis.

    `Dataset.unbatch` ends the process at a tensor without elements, such as the queries of tasks
    with `queries=0`.

    Example:

    >>> tasks = tf.data.Dataset.from_tensors({"query": tf.zeros((2, 1, 0))})
    >>> [tuple(task["query"].shape) for task in unbatched(tasks)]
    [(1, 0), (1, 0)]
    """
    parts = dataset.unbatch()
    if not any(map(_may_be_empty, tf.nest.flatten(parts.element_spec))):
        return parts
    number = parts.cardinality()
    slices = dataset.flat_map(
        tf.autograph.experimental.do_not_convert(tf.data.Dataset.from_tensor_slices)
    )
    if number == tf.data.UNKNOWN_CARDINALITY:
        return slices
    return slices.apply(tf.data.experimental.assert_cardinality(number))


def _may_be_empty(spec: tf.TensorSpec) -> bool:
    return not spec.shape.num_elements()


def check_ends(method: str, argument: str, dataset: Any, steps: int | None) -> None:
    """Raises `ValueError` for an endless dataset without a number of steps."""
    endless = isinstance(dataset, tf.data.Dataset) and steps is None
    if endless and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"`{method}` would never end. Received: an endless dataset and {argument}=None. Pass "
            f"`{argument}`, or build the dataset with `episode_dataset(..., tasks=...)`."
        )


def check_divisible(data: Any, replicas: int) -> None:
    """Raises `ValueError` for data that replicas cannot share: they must be a dataset."""
    if data is not None and not isinstance(data, tf.data.Dataset):
        raise ValueError(
            "Replicas can share meta-batches of a tf.data.Dataset only. Received: "
            f"{type(data).__name__}, with {replicas} replicas. Keras would give shares of "
            "different sizes the same weight. Build a dataset with `episode_dataset`, or from a "
            "generator with `tf.data.Dataset.from_generator`."
        )


def elements_of(dataset: Any) -> int | None:
    """Returns the number of meta-batches in a dataset, or `None` if it is endless or unknown."""
    number = int(dataset.cardinality())
    return number if number >= 0 else None


def even_meta_batch(dataset: tf.data.Dataset, replicas: int) -> int:
    """Returns the number of tasks in a meta-batch, after checking that replicas divide it."""
    size = tf.nest.flatten(dataset.element_spec)[0].shape[0]
    if size is None:
        raise ValueError(
            "Replicas need meta-batches that all have the same number of tasks. Received: a "
            "dataset whose elements have different sizes. Make `tasks` a multiple of "
            "`meta_batch_size`, or batch with `drop_remainder=True`."
        )
    check_divides(size, replicas)
    return size


def check_divides(meta_batch_size: int, replicas: int) -> None:
    """Raises `ValueError` if replicas cannot share a meta-batch evenly.

    Example:

    >>> check_divides(6, replicas=2)
    """
    if meta_batch_size % replicas:
        raise ValueError(
            "`meta_batch_size` must be a multiple of the number of replicas. Received: "
            f"meta_batch_size={meta_batch_size}, with {replicas} replicas. Use a "
            f"meta_batch_size of {nearest_multiple(meta_batch_size, replicas)}, or a number of "
            "devices that divides it."
        )


def nearest_multiple(number: int, of: int) -> int:
    """Returns the positive multiple of `of` that is nearest to a number.

    Example:

    >>> nearest_multiple(5, 4), nearest_multiple(1, 8)
    (4, 8)
    """
    return max(of, round(number / of) * of)


def largest_meta_batch(dataset: tf.data.Dataset) -> int:
    """Returns the number of tasks in a dataset's first element. Only the last may have fewer."""
    size = tf.nest.flatten(dataset.element_spec)[0].shape[0]
    if size is not None:
        return size
    return int(tf.nest.flatten(next(iter(dataset)))[0].shape[0])


def filled(tasks: dict[str, Any], size: int) -> dict[str, Any]:
    """Fills a meta-batch up to `size` tasks with copies of its last task, and adds `"real"`.

    Example:

    >>> filled({"x": tf.constant([5, 7])}, 4)["x"].numpy()
    array([5, 7, 7, 7], dtype=int32)
    >>> filled({"x": tf.constant([5, 7])}, 4)["real"].numpy()
    array([1, 1, 0, 0], dtype=int32)
    """
    number = tf.shape(tf.nest.flatten(tasks)[0])[0]
    tf.debugging.assert_less_equal(number, size, "A meta-batch is larger than the first.")
    indices = tf.minimum(tf.range(size), number - 1)
    whole = tf.nest.map_structure(lambda t: tf.gather(t, indices), tasks)
    is_real = tf.cast(tf.range(size) < number, tf.int32)
    return {**whole, IS_REAL: is_real * whole.get(IS_REAL, 1)}


def regrouped(dataset: tf.data.Dataset, most: int) -> tf.data.Dataset:
    """Returns the same tasks in meta-batches of one size, as few as possible.

    Args:
        dataset: Finite dataset of dicts of tensors with the tasks along the first axis. Only the
            last element may have fewer tasks than the first.
        most: Integer, the most tasks in a meta-batch.

    Returns:
        A dataset with the key `"real"`, see `distributed`.

    Example:

    >>> three = tf.data.Dataset.range(8).map(lambda x: {"x": x}).batch(3)
    >>> [tasks["x"].numpy().tolist() for tasks in regrouped(three, 6)]
    [[0, 1, 2, 3, 4, 5], [6, 7, 7, 7, 7, 7]]
    """
    size, elements = largest_meta_batch(dataset), int(dataset.cardinality())
    pieces = -(-size // most)
    piece = -(-size // pieces)
    # The pieces are divided evenly among the meta-batches, so that few copies fill these up.
    groups = -(-elements * pieces // max(1, most // piece))
    together = -(-elements * pieces // groups)

    def cut(tasks):
        whole = filled(tasks, pieces * piece)
        return tf.nest.map_structure(lambda t: tf.reshape(t, (pieces, piece, *t.shape[1:])), whole)

    def join(parts):
        joined = tf.nest.map_structure(lambda t: tf.reshape(t, (-1, *t.shape[2:])), parts)
        return filled(joined, together * piece)

    return mapped(unbatched(mapped(dataset, cut)).batch(together), join)


def shares_of(tasks: dict[str, Any], first: int, number: int, share: int) -> dict[str, Any]:
    """Returns the shares of `number` replicas, beginning with `first`, `(number, share, ...)`.

    Example:

    >>> shares_of({"x": tf.range(8)}, first=1, number=2, share=2)["x"].numpy().tolist()
    [[2, 3], [4, 5]]
    """

    def cut(t):
        part = t[first * share : (first + number) * share]
        return tf.reshape(part, (number, share, *t.shape[1:]))

    return tf.nest.map_structure(cut, tasks)
