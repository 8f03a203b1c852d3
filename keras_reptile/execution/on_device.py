"""Meta-steps whose tasks are drawn on the device. A program can have several of them.

The pool is in the device's memory. The host passes each program the number of its first task.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_reptile.episodes import philox
from keras_reptile.episodes.meta_batches import MetaBatches, PoolTensors
from keras_reptile.episodes.streams import Stream


def train_function(stream: Stream, device: str, steps: int, program_of: Callable) -> Callable:
    """Returns a function like that of `Trainer.make_train_function`, for parts of a stream.

    Args:
        stream, device, steps: See `TaskSource`.
        program_of: Function `(meta_batches, size, number)` to the `program` of so many meta-steps.

    Returns:
        Function from an iterator over `executions_of` to the logs of the last meta-step.
    """
    run = joint_function((stream,), device, steps, program_of)
    return lambda iterator: run((next(iterator),))[0]


def joint_function(
    streams: Sequence[Stream], device: str, steps: int, program_of: Callable
) -> Callable:
    """Returns a function from a part of each stream to the logs of each one's last meta-step.

    Args:
        streams: Sequence of `Stream`, alike in all but their seeds and starts. All draw from the
            pool of the first. Their parts have the same number of meta-steps.
        device, steps, program_of: See `train_function`.
    """
    meta_batches, size = streams[0].meta_batches, streams[0].meta_batch_size
    pool = placed(meta_batches.tensors(streams[0].pool), device)
    seeds = tuple(tf.constant(stream.seed, tf.int64) for stream in streams)

    def function(parts):
        firsts, (number, *_) = zip(*parts, strict=True)
        # A shorter part calls the program of one meta-step several times. Otherwise each length
        # would have a program of its own.
        together = steps if number == steps else 1
        for i in range(0, int(number), together):
            starts = tuple(first + i * size if i else first for first in firsts)
            logs = program_of(meta_batches, size, together)(pool, seeds, starts)
        return logs

    return function


def placed(pool: PoolTensors, kind: str) -> PoolTensors:
    """Returns the pool's tensors on the first device of this kind, if there is one."""
    devices = tf.config.list_logical_devices(kind)
    with tf.device(devices[0].name if devices else None):
        return tf.nest.map_structure(lambda t: t if t is None else tf.identity(t), pool)


def program(
    train_step: Callable,
    results: Sequence[Callable],
    meta_batches: MetaBatches,
    size: int,
    number: int,
    compiled: bool,
) -> tf.types.experimental.PolymorphicFunction:
    """Returns the function of several meta-steps, of one model or of several together.

    Args:
        train_step: Function of a list with a meta-batch for each model to a list of their logs. The
            models have all their variables.
        results: Sequence of functions, one for each model. They return the values of all logs so
            far, by name.
        meta_batches: The `MetaBatches` of the stream.
        size: Integer, the tasks of a meta-batch.
        number: Integer, the meta-steps.
        compiled: Boolean, whether XLA compiles the function.

    Returns:
        Function of a pool's `PoolTensors`, and of tuples of the streams' seeds and the numbers of
        their first tasks, all int64, to a list of the logs of the last meta-step.
    """

    def drawn(pool, seed, first):
        images, *others = meta_batches.positions(pool, seed, first, number * size, philox.task_bits)
        return [
            tf.reshape(t, (number, size, *t.shape[1:]))
            for t in (tf.cast(images, tf.int32), *others)
        ]

    def run(pool, seeds, firsts):
        streams = [drawn(pool, *each) for each in zip(seeds, firsts, strict=True)]
        names: list[list[str]] = []

        def step(i):
            data = [meta_batches.episodes(pool, tuple(t[i] for t in tasks)) for tasks in streams]
            names[:] = map(list, train_step(data))
            return (i + 1,)

        tf.while_loop(lambda i: i < number, step, (tf.constant(0),), parallel_iterations=1)
        # The logs of a step are means over the earlier steps, too.
        values = [result() for result in results]
        return [{n: own[n] for n in of} for own, of in zip(values, names, strict=True)]

    return tf.function(run, jit_compile=compiled or None, autograph=False)
