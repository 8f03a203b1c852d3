"""What the tasks of a meta-batch leave: the meta-gradient, and the inner state to carry on."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.algorithm.adaptation import Adaptation
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.methods import METHODS
from keras_reptile.algorithm.prediction import all_finite


class Outcome(NamedTuple):
    """What a meta-iteration's tasks lead to.

    gradient: List of tensors shaped like the weights, what the outer optimizer is given.
    state: The `InnerState` to carry on, averaged over tasks (not yet over replicas); its slots are
        () where nothing is carried.
    first_loss: Tensor `(tasks,)`, the losses of the first minibatches.
    predictions: Tensor `(tasks, queries, outputs)`; () where the tasks have no queries.
    """

    gradient: list
    state: InnerState
    first_loss: tf.Tensor
    predictions: Any


def of_tasks(model, theta: Sequence, tasks: Adaptation, predictions: Any) -> Outcome:
    """The outcome of tasks that run along the first axis of their `Adaptation`.

    The state's step may be one for all of them.
    """
    gradient = METHODS[model.method].gradient(theta, tasks)
    return Outcome(gradient, state_left_by(model, tasks.state), tasks.first_loss, predictions)


def with_nan_shown(found: Outcome) -> Outcome:
    """The outcome, with NaN for predictions, or losses without any, if its gradient is not finite.

    So the loss of a step that spoils the weights shows it, as a plain Keras model's does.
    """
    finite = all_finite(found.gradient)
    shown = lambda t: tf.where(finite, t, tf.constant(math.nan, t.dtype))  # noqa: E731
    if isinstance(found.predictions, tf.Tensor):
        return found._replace(predictions=shown(found.predictions))
    return found._replace(first_loss=shown(found.first_loss))


def state_left_by(model, tasks: InnerState) -> InnerState:
    """Of the tasks' final states, that of the last one in serial order, else the mean."""
    # Side by side, all tasks made the same number of steps; serially, the last has the most.
    step = tf.reduce_max(tasks.step)
    if model.inner_state == "reset":
        return InnerState(step, ())
    if model.task_order == "serial":
        if distribution.replicas() > 1:
            raise ValueError(distribution.SERIAL.format(distribution.replicas()))
        return InnerState(step, tf.nest.map_structure(lambda s: s[-1], tasks.slots))
    mean = lambda s: tf.reduce_mean(s, axis=0)  # noqa: E731
    return InnerState(step, tf.nest.map_structure(mean, tasks.slots))


def in_series(settings: Any) -> bool:
    """Whether each task starts from the inner state that the one before it left.

    Args:
        settings: What has a `task_order` and an `inner_state`: a model, or a recipe.

    Example:

    >>> from keras_reptile.recipes.recipe import Recipe
    >>> in_series(Recipe(task_order="serial")), in_series(Recipe())
    (True, False)
    >>> in_series(Recipe(task_order="serial", inner_state="reset"))
    False
    """
    return settings.task_order == "serial" and settings.inner_state == "carried"
