"""A fine-tuned network, from an initialization and a task."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerState, TaskSchedule
from keras_reptile.algorithm.learner_loss import of_learner
from keras_reptile.algorithm.mean_network import mean_network
from keras_reptile.algorithm.moved_layers import freeze_others
from keras_reptile.algorithm.network_copy import copy_of
from keras_reptile.algorithm.network_function import values_of
from keras_reptile.algorithm.partial_adaptation import part
from keras_reptile.algorithm.prediction import all_finite
from keras_reptile.fine_tuned import taking_bytes
from keras_reptile.keras_internals import moments_of
from keras_reptile.metrics.query_metrics import get_metrics


class Initialization(NamedTuple):
    """Everything that a learner is made from, except for the task.

    loop: The `InnerLoop` of evaluation. Its network has the weights to start from.
    state: The `InnerState` to start from.
    optimizer_config: Dict, the inner optimizer as `keras.optimizers.serialize` returns it.
    byte_scale: Float or None, see `network_inputs.resolved`.
    trained_on_bytes: Boolean, whether the training images were bytes.
    """

    loop: InnerLoop
    state: InnerState
    optimizer_config: dict[str, Any]
    byte_scale: float | None
    trained_on_bytes: bool


def adaptation(loop: InnerLoop) -> Callable:
    """Returns `adapted` with this loop, as a `tf.function`."""
    return tf.function(functools.partial(adapted, loop), autograph=False, reduce_retracing=True)


def adapted(
    loop: InnerLoop, task: dict, theta: list, non_trainable: list, state: InnerState
) -> tuple:
    """Returns the adapted weights, the other variables, and the inner state.

    The moving averages among the other variables are the statistics of the support set.
    """
    loop = loop.with_forms(loop.f.forms, non_trainable)
    result = loop.adapt(task, theta, state)
    non_trainable = loop.f.support_statistics(result.weights, loop.as_taken(task["support"][0]))
    return result.weights, non_trainable, result.state


class Part(NamedTuple):
    """An adapted copy of the network, and the inner state after its steps."""

    network: keras.Model
    state: InnerState


def fine_tuned(
    start: Initialization, adapt: Callable, tasks: Sequence[dict], steps: int
) -> keras.Model:
    """Returns a compiled copy of the network, adapted to a task. See `ReptileModel.adapt`.

    Args:
        start: The `Initialization`.
        adapt: The result of `adaptation` for a network of the same layers.
        tasks: Sequence of dicts, the task in each orientation, see `InnerLoop`. If there are
            several, the network is the mean of a copy for each.
        steps: Integer, the inner steps of the task.

    Raises:
        ValueError: If the network cannot be copied, or the adapted weights are not finite.
    """
    parts = [_adapted_copy(start, adapt, task, steps) for task in tasks]
    return _compiled(start, parts, steps)


def _adapted_copy(start: Initialization, adapt: Callable, task: dict, steps: int) -> Part:
    """Returns a copy of the network, in which the layers that the inner loop keeps are frozen."""
    network = start.loop.f.network
    # Made first, as not every network can be copied.
    copy = copy_of(network)
    theta = values_of(network.trainable_variables)
    non_trainable = values_of(network.non_trainable_variables)
    weights, non_trainable, state = adapt(task, theta, non_trainable, start.state)
    if not all_finite(weights):
        raise ValueError(
            "The inner loop diverged: the adapted weights contain NaN or infinity. Received: "
            f"steps={steps}. Use fewer steps, a lower learning rate of the inner optimizer, or "
            "inputs in the range that the network was trained on."
        )
    copy.trainable = network.trainable
    trainable = copy.trainable_variables
    variables = (*trainable, *copy.non_trainable_variables)
    for variable, value in zip(variables, (*weights, *non_trainable), strict=True):
        variable.assign(value)
    moved = start.loop.parts.moved
    if moved is not None:
        freeze_others(copy, [v for i, v in enumerate(trainable) if i not in moved])
        state = state._replace(slots=tuple(part(slot, moved) for slot in state.slots))
    return Part(copy, state)


def _compiled(start: Initialization, parts: Sequence[Part], steps: int) -> keras.Model:
    """Returns the learner, compiled for more steps of the inner loop by `fit`."""
    networks, loss = [part.network for part in parts], start.loop.loss
    trainable = [v for network in networks for v in network.trainable_variables]
    slots = zip(*(part.state.slots for part in parts), strict=True)
    state = parts[0].state._replace(slots=tuple(sum(slot, ()) for slot in slots))
    learner = networks[0] if len(networks) == 1 else mean_network(networks)
    learner = taking_bytes(learner, start.byte_scale, start.trained_on_bytes)
    learner.compile(
        optimizer=_optimizer(start, trainable, steps, state),
        loss=of_learner(loss),
        # Keras's "accuracy" follows from shapes: it would compare logits with 0.5.
        metrics=get_metrics(None, loss) or None,
    )
    return learner


def _optimizer(start, trainable, steps, state):
    """Returns the inner optimizer as a Keras optimizer that continues from the inner state."""
    optimizer = keras.optimizers.deserialize(start.optimizer_config)
    carried, schedule = int(state.step) - steps, start.loop.optimizer.learning_rate
    if callable(schedule) and carried:
        # Keras has one count for the moments, whose steps are carried, and for the schedule.
        optimizer.learning_rate = TaskSchedule(schedule, carried)
    optimizer.build(trainable)
    optimizer.iterations.assign(state.step)
    # With beta_1 = 0 Adam's first moment is not kept: the next gradient replaces it.
    moments = moments_of(optimizer)[-len(state.slots) :] if state.slots else ()
    for variables, values in zip(moments, state.slots, strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    return optimizer
