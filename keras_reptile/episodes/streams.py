"""Endless streams of tasks: their datasets, and their parts of several meta-steps."""

import weakref
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_reptile.episodes.class_pool import ClassPool
from keras_reptile.episodes.meta_batches import MetaBatches


class Stream(NamedTuple):
    """The source of an endless dataset of `episode_dataset`.

    `seed` is the seed of the stream, see `seed_of`. `start` is that of `episode_dataset`.
    """

    pool: ClassPool
    meta_batches: MetaBatches
    seed: int
    meta_batch_size: int
    start: int | Callable[[], int]


_streams: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def known(dataset: tf.data.Dataset, stream: Stream) -> tf.data.Dataset:
    """Registers the stream of a dataset for `stream_of`, and returns the dataset."""
    _streams[dataset] = stream
    return dataset


def stream_of(data: object) -> Stream | None:
    """Returns the stream of a dataset, or `None` for other data, and for changed datasets."""
    return _streams.get(data) if isinstance(data, tf.data.Dataset) else None


def executions(
    firsts: tf.data.Dataset, meta_batch_size: int, number: int, steps: int | None
) -> tf.data.Dataset:
    """Returns the parts of an endless stream that are computed together.

    Args:
        firsts: Dataset whose first element is the number of the stream's first task, int64.
        meta_batch_size: Integer.
        number: Integer, the meta-batches of a part.
        steps: Integer, the meta-batches of an epoch, or `None`. The last part of each epoch has
            fewer than `number` if they do not divide evenly.

    Returns:
        Endless dataset of tuples of the number of a part's first task, and of the part's number of
        meta-batches, both int64.

    Example:

    >>> parts = executions(tf.data.Dataset.from_tensors(np.int64(100)), 2, number=4, steps=6)
    >>> [(int(first), int(number)) for first, number in parts.take(4)]
    [(100, 4), (108, 2), (112, 4), (120, 2)]
    """
    in_epoch = None if steps is None else -(-steps // number)

    def part(begin, i):
        if in_epoch is None:
            return begin + i * number * meta_batch_size, tf.constant(number, tf.int64)
        within = i % in_epoch * number
        done = i // in_epoch * steps + within
        return begin + done * meta_batch_size, tf.minimum(tf.cast(number, i.dtype), steps - within)

    return firsts.take(1).flat_map(
        lambda begin: tf.data.Dataset.counter().map(lambda i: part(begin, i))
    )
