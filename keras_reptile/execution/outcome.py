"""The outcome of a meta-batch: the meta-gradient, and the inner state for the next meta-batch."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.algorithm.adaptation import Adaptation
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.prediction import all_finite
from keras_reptile.algorithm.shared_head import with_equal_outputs
from keras_reptile.execution.plan import Plan


class Outcome(NamedTuple):
    """The outcome of a meta-batch's tasks.

    gradient: List of tensors shaped like the weights, for the outer optimizer.
    state: The `InnerState` for the next meta-batch: the mean over tasks, not yet over replicas; in
        series, that of the last task. Its slots are () if no state is carried.
    first_loss: Tensor `(tasks,)`, the losses of the first minibatches.
    predictions: Tensor `(tasks, queries, outputs)`; () if the tasks have no queries.
    """

    gradient: list
    state: InnerState
    first_loss: tf.Tensor
    predictions: Any


def of_tasks(
    loop: InnerLoop,
    plan: Plan,
    theta: Sequence,
    tasks: Adaptation,
    predictions: Any,
    layout: Any = None,
) -> Outcome:
    """Returns the outcome of tasks, from an `Adaptation` with a first axis of tasks.

    The state's step may be a scalar, the same for all tasks.

    Args:
        loop, plan, predictions: See `meta_batch.train_tasks`, and `Outcome`.
        theta: Sequence of tensors, the weights that the tasks started from.
        tasks: The `Adaptation`.
        layout: The layout of vectors, if theta, the `Adaptation` and the outcome are vectors of
            weights, see `weight_vectors`. Defaults to `None`, they are weights.
    """
    gradient = _gradient(loop.rules, theta, tasks, layout)
    return Outcome(gradient, state_left_by(plan, tasks.state), tasks.first_loss, predictions)


def _gradient(rules, theta, tasks, layout) -> list:
    """Returns the gradient of a method. A registered method gets weights instead of vectors."""
    if layout is None or rules.elementwise:
        return rules.gradient(theta, tasks)
    weights = layout.unpack(tasks.weights)
    kept = {
        name: _of_each_task(layout.unpack(getattr(tasks, name)), weights) for name in rules.keeps
    }
    gradient = rules.gradient(list(layout.unpack(theta)), tasks._replace(weights=weights, **kept))
    return list(layout.pack(gradient))


def _of_each_task(tensors, weights) -> tuple:
    """Returns tensors with the axis of tasks, which they lack if all tasks share them."""
    return tuple(tf.broadcast_to(t, w.shape) for t, w in zip(tensors, weights, strict=True))


def with_nan_shown(result: Outcome) -> Outcome:
    """Returns the outcome with NaN for predictions, if the gradient is not finite.

    Without predictions, the losses become NaN. So a step that makes the weights NaN is visible in
    the logs, as with a plain Keras model.
    """
    finite = all_finite(result.gradient)
    shown = lambda t: tf.where(finite, t, tf.constant(math.nan, t.dtype))  # noqa: E731
    if isinstance(result.predictions, tf.Tensor):
        return result._replace(predictions=shown(result.predictions))
    return result._replace(first_loss=shown(result.first_loss))


def with_shared_head(result: Outcome, head: Sequence[int]) -> Outcome:
    """Returns the outcome that keeps all outputs of a head equal, see `shared_head`.

    Args:
        result: The `Outcome` of a meta-batch.
        head: Sequence of integers, the positions of the head's variables among the weights.
    """
    slots = tuple(with_equal_outputs(kind, head) for kind in result.state.slots)
    gradient = with_equal_outputs(result.gradient, head)
    return result._replace(gradient=gradient, state=result.state._replace(slots=slots))


def state_left_by(plan: Plan, tasks: InnerState) -> InnerState:
    """Returns the state for the next meta-batch: that of the last task in series, else the mean."""
    # In parallel, all tasks have made the same number of steps. In series, the last has the most.
    step = tf.reduce_max(tasks.step)
    if plan.carry == "nothing":
        return InnerState(step, ())
    if plan.in_series:
        if distribution.replicas() > 1:
            raise ValueError(distribution.SERIAL.format(distribution.replicas()))
        return InnerState(step, tf.nest.map_structure(lambda s: s[-1], tasks.slots))
    mean = lambda s: tf.reduce_mean(s, axis=0)  # noqa: E731
    return InnerState(step, tf.nest.map_structure(mean, tasks.slots))
