"""Meta-steps of several models in one program, such as those of one setting with several seeds."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_reptile.episodes.episode_checks import episodes_of
from keras_reptile.episodes.episode_format import after
from keras_reptile.execution import batched_models


def joint_step(models: Sequence) -> Callable:
    """Returns a function from a meta-batch for each model to the logs of each.

    Tasks of all models are one batch if the plan is one batch and the network is a chain of known
    layers. Otherwise each model makes its own step in the program. Its operations are then those
    of the model alone, and so are its bits on a CPU.

    Args:
        models: Sequence of `ReptileModel` with all their variables, alike in all but their values.
    """
    # Nested as in Keras's own function: TensorFlow derives MAML's gradients in another order where
    # a loop lies in the outermost function.
    steps = [tf.function(m.train_step, autograph=False, reduce_retracing=True) for m in models]

    def run(data):
        loop, plan = models[0]._inner_loop, models[0]._plan(training=True)
        if batched_models.are_one_batch(loop, plan, episodes_of(data[0])["support"][0]):
            return _as_one_batch(models, data)
        return [step(own) for step, own in zip(steps, data, strict=True)]

    compiled = models[0].jit_compile or None
    return tf.function(run, jit_compile=compiled, autograph=False, reduce_retracing=True)


def _as_one_batch(models, data) -> list[dict[str, Any]]:
    episodes = [episodes_of(own) for own in data]
    with contextlib.ExitStack() as stack:
        for own in episodes:
            stack.enter_context(after(own))
        given = [model._given(own) for model, own in zip(models, episodes, strict=True)]
        loop, plan = models[0]._inner_loop, models[0]._plan(training=True)
        results = batched_models.train_tasks(loop, plan, given)
        return [
            model._step(*model._learned(own, result))
            for model, own, result in zip(models, episodes, results, strict=True)
        ]


class JointSteps:
    """The programs of joint steps, one for each set of models that make a step together."""

    def __init__(self):
        self._programs: dict[tuple, Callable] = {}

    def run(self, models: Sequence, data: Sequence) -> list[dict[str, Any]]:
        """Makes a step of each model. Returns the logs as NumPy values, once they are known.

        Args:
            models: See `joint_step`. Those of inner states that are carried as one batch have made
                the same number of steps.
            data: Sequence of meta-batches, one for each model.
        """
        key = tuple(map(id, models))
        if key not in self._programs:
            for model, own in zip(models, data, strict=True):
                model.build_variables(tf.nest.map_structure(tf.TensorSpec.from_tensor, own))
            self._programs[key] = joint_step(tuple(models))
        return tf.nest.map_structure(lambda t: t.numpy(), self._programs[key](tuple(data)))
