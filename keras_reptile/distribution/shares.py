"""Each replica's share of a meta-batch.

Replica r of N takes tasks r * M / N to (r + 1) * M / N of every meta-batch of M tasks, so the
stream of tasks is that of a single device. Every worker draws the whole stream, and keeps what
its own replicas take.
"""

from typing import Any

import tensorflow as tf

from keras_reptile.episodes.episode_format import REAL


def distributed(
    dataset: tf.data.Dataset, strategy: tf.distribute.Strategy, fill: bool = False
) -> tf.distribute.DistributedDataset:
    """A dataset of meta-batches, divided among the replicas of a strategy; endless, or unknown.

    Keras would divide it too, but unevenly where need be, and in a cluster into shares of a size
    that no shape tells. Here shares are of one size, known before the graph is built.

    Args:
        dataset: Dataset of dicts of tensors with the tasks along the first axis.
        strategy: A `tf.distribute.Strategy`.
        fill: Boolean. `False`: meta-batches must divide evenly, as in training. `True`: each is
            filled up with copies of its last task, and has one more key, `"real"`: int32
            `(tasks,)`, 0 for these copies and 1 for all others. Defaults to `False`.

    Raises:
        ValueError: If meta-batches must divide evenly and do not, or are not all alike.
    """
    replicas = strategy.num_replicas_in_sync
    size = largest_meta_batch(dataset) if fill else even_meta_batch(dataset, replicas)
    share = -(-size // replicas)

    def of_worker(context):
        here = replicas // context.num_input_pipelines
        first = context.input_pipeline_id * here

        def shares(tasks):
            whole = filled(tasks, share * replicas) if fill else tasks
            return shares_of(whole, first, here, share)

        part = dataset.map(shares).unbatch()
        # Where the end is known, so is the number of steps; an endless dataset spares replicas
        # asking each other at every step whether they are at the end.
        if dataset.cardinality() >= 0:
            return part.repeat()
        if dataset.cardinality() == tf.data.UNKNOWN_CARDINALITY:
            return part
        return part.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))

    return strategy.distribute_datasets_from_function(of_worker)


def check_ends(method: str, argument: str, dataset: Any, steps: int | None) -> None:
    """Raises `ValueError` for an endless dataset of which nobody says how much to take."""
    endless = isinstance(dataset, tf.data.Dataset) and steps is None
    if endless and dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
        raise ValueError(
            f"`{method}` would never end. Received an endless dataset and {argument}=None. Pass "
            f"`{argument}`, or build the dataset with `episode_dataset(..., tasks=...)`."
        )


def check_divisible(data: Any, replicas: int) -> None:
    """Raises `ValueError` for data of which nobody knows how replicas are to share it."""
    if data is not None and not isinstance(data, tf.data.Dataset):
        raise ValueError(
            "Replicas share meta-batches of a tf.data.Dataset. Received: "
            f"{type(data).__name__}, with {replicas} replicas. Keras would weigh shares alike "
            "however many tasks each has. Build a dataset with `episode_dataset`, or from a "
            "generator by `tf.data.Dataset.from_generator`."
        )


def elements_of(dataset: Any) -> int | None:
    """The number of meta-batches in a dataset, `None` if it is endless or unknown."""
    number = int(dataset.cardinality())
    return number if number >= 0 else None


def even_meta_batch(dataset: tf.data.Dataset, replicas: int) -> int:
    """The number of tasks in a meta-batch, a multiple of the number of replicas."""
    size = tf.nest.flatten(dataset.element_spec)[0].shape[0]
    if size is None:
        raise ValueError(
            "Replicas share meta-batches that all have the same number of tasks. Received a "
            "dataset whose elements differ. Let `meta_batch_size` divide `tasks`, or batch with "
            "`drop_remainder=True`."
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
            "Replicas share a meta-batch evenly. Received: "
            f"meta_batch_size={meta_batch_size}, with {replicas} replicas. Use a "
            f"meta_batch_size of {nearest_multiple(meta_batch_size, replicas)}, or as many "
            "devices as divide it."
        )


def nearest_multiple(number: int, of: int) -> int:
    """The multiple of `of`, at least one of it, that is nearest to a number.

    Example:

    >>> nearest_multiple(5, 4), nearest_multiple(1, 8)
    (4, 8)
    """
    return max(of, round(number / of) * of)


def largest_meta_batch(dataset: tf.data.Dataset) -> int:
    """The number of tasks in a dataset's first element; only the last may have fewer."""
    size = tf.nest.flatten(dataset.element_spec)[0].shape[0]
    if size is not None:
        return size
    return int(tf.nest.flatten(next(iter(dataset)))[0].shape[0])


def filled(tasks: dict[str, Any], size: int) -> dict[str, Any]:
    """A meta-batch with copies of its last task, `size` tasks in all, and `"real"`.

    Example:

    >>> filled({"x": tf.constant([5, 7])}, 4)["x"].numpy()
    array([5, 7, 7, 7], dtype=int32)
    >>> filled({"x": tf.constant([5, 7])}, 4)["real"].numpy()
    array([1, 1, 0, 0], dtype=int32)
    """
    number = tf.shape(tf.nest.flatten(tasks)[0])[0]
    tf.debugging.assert_less_equal(number, size, "A meta-batch is larger than the first.")
    places = tf.minimum(tf.range(size), number - 1)
    whole = tf.nest.map_structure(lambda t: tf.gather(t, places), tasks)
    return {**whole, REAL: tf.cast(tf.range(size) < number, tf.int32)}


def shares_of(tasks: dict[str, Any], first: int, number: int, share: int) -> dict[str, Any]:
    """The shares of `number` replicas from replica `first` on, `(number, share, ...)`.

    Example:

    >>> shares_of({"x": tf.range(8)}, first=1, number=2, share=2)["x"].numpy().tolist()
    [[2, 3], [4, 5]]
    """

    def cut(t):
        part = t[first * share : (first + number) * share]
        return tf.reshape(part, (number, share, *t.shape[1:]))

    return tf.nest.map_structure(cut, tasks)
