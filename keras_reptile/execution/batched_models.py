"""The tasks of several models as one batch, such as those of one setting with several seeds.

The first axis of all tensors in the inner loop is that of the tasks of all models: the first task
of each model, then the second task of each, and so on. Each task starts from the weights and the
inner state of its own model, and a mean over tasks is one over each model's own.
"""

import functools
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.network_function import values_of
from keras_reptile.episodes.episode_format import with_inputs
from keras_reptile.execution import batched_tasks, vectorized
from keras_reptile.execution.batched_network import batched_network
from keras_reptile.execution.outcome import Outcome
from keras_reptile.execution.plan import Plan
from keras_reptile.execution.weight_vectors import layout_of


def are_one_batch(loop: InnerLoop, plan: Plan, images: Any) -> bool:
    """Returns whether the tasks of models with this loop and plan can be one batch.

    They can if the plan is one batch and the network is a chain of known layers, whose functions
    have no other state than their weights.

    Args:
        loop: The `InnerLoop`.
        plan: The `Plan` of training.
        images: The support images of a model's tasks.
    """
    return plan.one_batch and batched_network(loop.f.network, loop.as_taken(images)) is not None


def train_tasks(
    loop: InnerLoop, plan: Plan, given: Sequence[tuple[dict, list, InnerState]]
) -> tuple[Outcome, ...]:
    """Returns the outcome of each model's tasks.

    Args:
        loop: The `InnerLoop` of one of the models. Those of the others have the same settings.
        plan: The `Plan` of training.
        given: Sequence with a tuple for each model: its tasks, theta and inner state, see
            `meta_batch.train_tasks`. Tasks have the same shapes, and the inner states have made the
            same number of steps.
    """
    arguments = (
        values_of(loop.f.network.non_trainable_variables),
        *map(tuple, zip(*given, strict=True)),
    )
    run = vectorized.compiled(functools.partial(_train, loop, plan), *arguments)
    if run is None:
        raise ValueError(
            "Tasks of several models need a meta-batch of known size. Received: tasks of shape "
            f"{given[0][0]['order'].shape}."
        )
    return run(*arguments)


def _train(loop, plan, non_trainable, tasks, thetas, states) -> tuple:
    loop = loop.with_forms(plan.forms, non_trainable)
    tasks = with_inputs(tf.nest.map_structure(_in_turn, *tasks), loop.as_taken)
    network = batched_network(loop.f.network, tasks["support"][0])
    layout = layout_of(thetas[0], loop.optimizer, batched_tasks.MAX_ELEMENTS_IN_VECTOR)
    number = tasks["order"].shape[0] // len(thetas)
    theta, slots = (
        tf.nest.map_structure(lambda *values: _for_each_task(tf.stack(values), number), *each)
        for each in (thetas, [state.slots for state in states])
    )
    state = states[0]._replace(slots=slots)
    adapted = batched_tasks.adapt(loop, network, layout, tasks, theta, state)
    results = adapted, batched_tasks.predict(loop, network, layout, tasks, theta, adapted)
    return tuple(
        batched_tasks.outcome_of(loop, plan, layout, own, *_of_model(results, i, len(thetas)))
        for i, own in enumerate(thetas)
    )


def _in_turn(*of_models) -> tf.Tensor:
    """Returns the tasks of all models along one axis, in turn."""
    stacked = tf.stack(of_models, axis=1)
    return tf.reshape(stacked, (-1, *stacked.shape[2:]))


def _for_each_task(of_models, number) -> tf.Tensor:
    """Returns the values `(models, ...)` once for each task of every model, in turn."""
    return tf.tile(of_models, (number, *[1] * (of_models.shape.rank - 1)))


def _of_model(results, index, models):
    """Returns the results of one model's tasks. A scalar is the same for all models."""
    return tf.nest.map_structure(lambda t: t[index::models] if t.shape.rank else t, results)
