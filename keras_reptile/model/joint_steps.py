"""Meta-steps of several models in one program, such as those of one setting with several seeds."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_reptile.episodes.episode_checks import episodes_of
from keras_reptile.episodes.episode_format import after
from keras_reptile.execution import batched_models, on_device


def joint_step(models: Sequence) -> tf.types.experimental.PolymorphicFunction:
    """Returns the program from a meta-batch for each model to the logs of each.

    Args:
        models: Sequence of `ReptileModel` with all their variables, alike in all but their values.
    """
    compiled = models[0].jit_compile or None
    run = step_together(models)
    return tf.function(run, jit_compile=compiled, autograph=False, reduce_retracing=True)


def step_together(models: Sequence) -> Callable:
    """Returns the function of `joint_step`, for a graph.

    Tasks of all models are one batch if the plan is one batch and the network is a chain of known
    layers. Otherwise each model makes its own step in the program. Its operations are then those
    of the model alone, and so are its bits on a CPU.
    """
    # Nested as in Keras's own function: TensorFlow computes MAML's gradients in another order if
    # a loop is in the outermost function.
    steps = [tf.function(m.train_step, autograph=False, reduce_retracing=True) for m in models]

    def run(data):
        loop, plan = models[0]._inner_loop, models[0]._plan(training=True)
        if batched_models.are_one_batch(loop, plan, episodes_of(data[0])["support"][0]):
            return _as_one_batch(models, loop, plan, data)
        return [step(own) for step, own in zip(steps, data, strict=True)]

    return run


def _as_one_batch(models, loop, plan, data) -> list[dict[str, Any]]:
    episodes = [episodes_of(own) for own in data]
    with contextlib.ExitStack() as stack:
        for own in episodes:
            stack.enter_context(after(own))
        given = [model._given(own) for model, own in zip(models, episodes, strict=True)]
        results = batched_models.train_tasks(loop, plan, given)
        return [
            model._step(*model._learned(own, result))
            for model, own, result in zip(models, episodes, results, strict=True)
        ]


class JointSteps:
    """The programs of joint steps, made once for each set of models that step together."""

    def __init__(self):
        self._made: dict[tuple, Callable] = {}

    def run(self, models: Sequence, data: Sequence) -> list[dict[str, Any]]:
        """Makes steps of each model. Returns the logs as NumPy values, once they are known.

        Args:
            models: See `joint_step`. They have made the same number of meta-iterations.
            data: Sequence of what the datasets of their `fit` yield, one for each model:
                meta-batches, or if the device draws the tasks, parts of their streams.
        """
        on_a_device = models[0]._source.stream is not None
        make = self._on_device if on_a_device else functools.partial(_of_meta_batches, data)
        logs = self._made_once(models, "step", make)(tuple(data))
        return tf.nest.map_structure(lambda t: t.numpy(), logs)

    def _on_device(self, models) -> Callable:
        _, _, device, steps = models[0]._source
        streams = [model._source.stream for model in models]
        results = [model.task_metrics.container.result for model in models]

        def program_of(meta_batches, size, number):
            compiled = models[0].jit_compile
            how = meta_batches, size, number, compiled
            return self._made_once(
                models, how, lambda _: on_device.program(step_together(models), results, *how)
            )

        return on_device.joint_function(streams, device, steps, program_of)

    def _made_once(self, models, kind, make) -> Callable:
        key = (*map(id, models), kind)
        if key not in self._made:
            self._made[key] = make(models)
        return self._made[key]


def _of_meta_batches(data, models) -> Callable:
    for model, own in zip(models, data, strict=True):
        model.build_variables(tf.nest.map_structure(tf.TensorSpec.from_tensor, own))
    return joint_step(models)
