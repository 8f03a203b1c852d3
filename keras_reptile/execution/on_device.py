"""Meta-steps whose tasks are drawn on the device. A program can have several of them.

The pool is in the device's memory. The host passes each program the number of its first task.
"""

from collections.abc import Callable

import tensorflow as tf

from keras_reptile.episodes import philox
from keras_reptile.episodes.meta_batches import MetaBatches, PoolTensors
from keras_reptile.episodes.streams import Stream


def train_function(stream: Stream, device: str, steps: int, program_of: Callable) -> Callable:
    """Returns a function like that of `Trainer.make_train_function`, for parts of a stream.

    Args:
        stream, device, steps: See `TaskSource`.
        program_of: Function `(form, size, number)` to the `program` of so many meta-steps.

    Returns:
        Function from an iterator over `executions_of` to the logs of the last meta-step.
    """
    pool, size = placed(stream.form.tensors(stream.pool), device), stream.meta_batch_size
    seed = tf.constant(stream.seed, tf.int64)

    def function(iterator):
        first, number = next(iterator)
        # Short parts have one program for all their numbers of meta-steps.
        together = steps if number == steps else 1
        for i in range(0, int(number), together):
            start = first + i * size if i else first
            logs = program_of(stream.form, size, together)(pool, seed, start)
        return logs

    return function


def placed(pool: PoolTensors, kind: str) -> PoolTensors:
    """Returns the pool's tensors on the first device of this kind, if there is one."""
    devices = tf.config.list_logical_devices(kind)
    with tf.device(devices[0].name if devices else None):
        return tf.nest.map_structure(lambda t: t if t is None else tf.identity(t), pool)


def program(
    train_step: Callable,
    results: Callable,
    form: MetaBatches,
    size: int,
    number: int,
    compiled: bool,
) -> tf.types.experimental.PolymorphicFunction:
    """Returns the function of several meta-steps.

    Args:
        train_step: Function of a meta-batch to its logs, that of a model with all its variables.
        results: Function to the values of all logs so far, by name.
        form: The `MetaBatches` of the stream.
        size: Integer, the tasks of a meta-batch.
        number: Integer, the meta-steps.
        compiled: Boolean, whether XLA compiles the function.

    Returns:
        Function of a pool's `PoolTensors`, the stream's seed and the number of the first task, both
        int64, to the logs of the last meta-step.
    """

    def run(pool, seed, first):
        images, *others = form.positions(pool, seed, first, number * size, philox.task_bits)
        drawn = [
            tf.reshape(t, (number, size, *t.shape[1:]))
            for t in (tf.cast(images, tf.int32), *others)
        ]
        names: list[str] = []

        def step(i):
            names[:] = train_step(form.episodes(pool, tuple(t[i] for t in drawn)))
            return (i + 1,)

        tf.while_loop(lambda i: i < number, step, (tf.constant(0),), parallel_iterations=1)
        # The logs of a step are means over the earlier steps, too.
        values = results()
        return {name: values[name] for name in names}

    return tf.function(run, jit_compile=compiled or None, autograph=False)
