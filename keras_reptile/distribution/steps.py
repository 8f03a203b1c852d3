"""Runs a step of `fit` or `evaluate` on every replica."""

import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_reptile.distribution.replicas import gathered
from keras_reptile.distribution.shares import distributed, elements_of
from keras_reptile.episodes.episode_format import IS_REAL


def step_function(
    strategy: tf.distribute.Strategy,
    step: Callable,
    number: int,
    run_eagerly: bool,
    elements: Callable,
) -> Callable:
    """Returns a function like that of `Trainer.make_train_function`, for any strategy.

    Keras's own function computes the mean of each log over replicas by a collective operation. In a
    cluster this fails for scalars (keras issue 20585). It also runs `steps_per_execution` in a
    loop, in which the collectives of `MirroredStrategy` fail (keras issue 19246). Here the logs are
    those of this process's first replica, and the steps run one after another.

    Args:
        strategy: The strategy.
        step: Function from a replica's data to a dict of logs.
        number: Integer, the steps of a call.
        run_eagerly: Boolean, whether TensorFlow runs operations one by one.
        elements: Function that returns the number of elements of the dataset, which is repeated, or
            `None` if that is not known. A call ends where the dataset begins again.

    Returns:
        Function from an iterator to the logs of the last of its steps.
    """

    def one_step(data):
        return first_replica(strategy, strategy.run(step, args=(data,)))

    if not run_eagerly:
        one_step = tf.function(one_step, reduce_retracing=True, autograph=False)

    taken: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()

    def function(iterator):
        logs, size, done = None, elements(), taken.get(iterator, 0)
        together = min(number, size - done % size) if size else number
        taken[iterator] = done + together
        for _ in range(together):
            try:
                logs = one_step(next(iterator))
            except (StopIteration, tf.errors.OutOfRangeError):
                if logs is None:
                    raise StopIteration from None
        return logs

    return function


def first_replica(strategy: tf.distribute.Strategy, values: Any) -> Any:
    """Returns the values of this process's first replica."""
    first = lambda value: strategy.experimental_local_results(value)[0]  # noqa: E731
    return tf.nest.map_structure(first, values)


def values_by_task(
    strategy: tf.distribute.Strategy | None,
    made_once: Callable,
    name: Any,
    function: Callable,
    dataset: tf.data.Dataset,
) -> Iterator:
    """Runs a function on every meta-batch of a finite dataset, on all replicas.

    Args:
        strategy: The strategy, or `None`.
        made_once: Function `(key, make)` to the object of a key, which only its first call makes.
        name: Hashable, different for each function of a model. The function is traced once for
            each name and each shape of the dataset's first element.
        function: Function from a meta-batch, or a share of one, to a float tensor
            `(tasks, values)`.
        dataset: Finite dataset of meta-batches.

    Yields:
        Array `(tasks, values)`, the values of a meta-batch's tasks in their order, without those of
        copies that only fill it up.
    """
    if strategy is not None:
        yield from _on_replicas(strategy, made_once, name, function, dataset)
        return
    run = None
    for element in dataset:
        if run is None:
            key = (name, *((t.shape, t.dtype) for t in tf.nest.flatten(element)))
            run = made_once(
                key, lambda: tf.function(function, reduce_retracing=True, autograph=False)
            )
        rows = run(element).numpy()
        yield rows[np.flatnonzero(element[IS_REAL])] if IS_REAL in element else rows


def _on_replicas(strategy, made_once, name, function, dataset) -> Iterator:
    def on_replica(share):
        values = function(share)
        is_real = tf.cast(share[IS_REAL], values.dtype)[:, None]
        return gathered(tf.concat([values, is_real], axis=1))

    def on_all(data):
        return first_replica(strategy, strategy.run(on_replica, (data,)))

    shares = iter(distributed(dataset, strategy, fill=True))
    # A `tf.function` is traced again for another shape.
    run = made_once((name, "replicas"), lambda: tf.function(on_all, autograph=False))
    for _ in range(elements_of(dataset) or 0):
        rows = run(next(shares)).numpy()
        yield rows[np.flatnonzero(rows[:, -1]), :-1]
