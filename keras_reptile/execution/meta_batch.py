"""Computes the tasks of a meta-batch: as one batch, in parallel, or one after another."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_reptile.algorithm.adaptation import Adaptation
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.network_function import values_of
from keras_reptile.episodes import network_inputs
from keras_reptile.episodes.episode_format import (
    check_last_step,
    number_of_queries,
)
from keras_reptile.execution import compiled_tasks, outcome, vectorized
from keras_reptile.execution.outcome import Outcome
from keras_reptile.execution.plan import EACH_TASK, NOTHING, THE_LOOP, WHOLE_STEPS, Plan


class TaskResult(NamedTuple):
    """The result of a training task. `predictions` is () if the task has no queries."""

    adaptation: Adaptation
    predictions: Any


def train_tasks(
    loop: InnerLoop,
    plan: Plan,
    tasks: dict,
    theta: list,
    state: InnerState,
    made_once: Callable,
) -> Outcome:
    """Adapts to every training task by the loop's method, and predicts its queries.

    Args:
        loop: The `InnerLoop`.
        plan: The `Plan` of training.
        tasks: Episodes that `numbered_tasks.numbered` returned, tasks along the first axis.
        theta: List of tensors, the weights to start from.
        state: The `InnerState` to start from.
        made_once: Function `(key, make)`, see `Traces`.
    """
    plan = _allowed(plan, loop)
    if loop.rules.keeps:
        check_last_step(tasks)
    for sentence in plan.refused:
        warnings.warn(sentence, stacklevel=2)

    at_once = functools.partial(vectorized.train, loop, plan)
    separately = functools.partial(_train_separately, loop, plan.separately())
    return _run("train", loop, plan, at_once, separately, (tasks, theta, state), made_once)


def evaluate_tasks(
    loop: InnerLoop,
    plan: Plan,
    modes: Sequence[bool],
    tasks: dict,
    theta: list,
    state: InnerState,
    made_once: Callable,
) -> tuple:
    """Adapts to every task from the same state, and predicts its queries in each mode.

    Args:
        loop, plan, tasks, theta, state, made_once: See `train_tasks`.
        modes: Sequence of booleans, each whether to predict transductively.

    Returns:
        Tuple of the first losses `(tasks,)`, and a tuple with the predictions
        `(tasks, queries, outputs)` of each mode.
    """
    plan = _allowed(plan, loop)
    at_once = functools.partial(vectorized.evaluate, loop, plan, modes)
    separately = functools.partial(_evaluate_separately, loop, plan.separately(), modes)
    arguments = tasks, theta, state
    return _run(f"evaluate {modes}", loop, plan, at_once, separately, arguments, made_once)


def _allowed(plan: Plan, loop: InnerLoop) -> Plan:
    """Returns the plan. It compiles nothing if XLA does not compile a layer of the network."""
    layers = vectorized.not_for_xla(loop.f.network)
    if not layers or plan.compiled == NOTHING:
        return plan
    if plan.compiled == EACH_TASK:
        # On other devices, compilation is not the user's wish but the default.
        text = f"Tasks are not compiled: XLA does not compile the layers {layers}."
        warnings.warn(text, stacklevel=3)
    return dataclasses.replace(plan, compiled=NOTHING)


def _run(name, loop, plan, at_once, separately, arguments, made_once):
    """Computes all tasks as one batch if the plan says so and it is possible, else separately.

    `at_once` takes the values of the network's non-trainable variables, and the arguments.
    `separately` takes the arguments.
    """
    if plan.one_batch:
        make = vectorized.as_one_batch(loop.f.network, at_once, arguments)
        if make and tf.executing_eagerly():
            shapes = [(tuple(t.shape), t.dtype) for t in tf.nest.flatten(arguments)]
            run = made_once((name, *shapes), make)
        else:
            run = make and make()
        if run:
            return run(values_of(loop.f.network.non_trainable_variables), *arguments)
    if plan.compiled in (THE_LOOP, WHOLE_STEPS):
        separately = tf.function(separately, jit_compile=True, autograph=False)
    return separately(*arguments)


def _train_separately(loop, plan, tasks, theta, state) -> Outcome:
    if plan.compiled == EACH_TASK and compiled_tasks.fits(tasks):
        return compiled_tasks.train(loop, plan, tasks, theta, state)
    has_queries = number_of_queries(tasks) != 0

    def task_fn(loop, task, state):
        adapted = loop.adapt(task, theta, state)
        if not has_queries:
            return TaskResult(adapted, ())
        query_x = task["query"][0]
        weights = loop.parts.solution(theta, adapted.weights)
        return TaskResult(adapted, loop.predict(weights, None, query_x, transductive=True))

    outputs = TaskResult(
        _adaptation_spec(theta, state, loop.rules.keeps),
        _predictions_spec(loop, tasks, theta[0].dtype) if has_queries else (),
    )
    over_tasks = one_after_another if plan.in_series else side_by_side
    results = over_tasks(_with_forms(plan, loop, task_fn), tasks, state, outputs)
    return outcome.of_tasks(loop, plan, theta, *results)


def _evaluate_separately(loop, plan, modes, tasks, theta, state) -> tuple:
    if plan.compiled == EACH_TASK and compiled_tasks.fits(tasks):
        return compiled_tasks.evaluate(loop, modes, tasks, theta, state)

    def task_fn(loop, task, state):
        adapted = loop.adapt(task, theta, state)
        images = task["support"][0], task["query"][0]
        predict = functools.partial(loop.predict, adapted.weights, *images)
        return adapted.first_loss, tuple(predict(transductive=mode) for mode in modes)

    dtype = theta[0].dtype
    predictions = tuple(_predictions_spec(loop, tasks, dtype) for _ in modes)
    outputs = tf.TensorSpec((), dtype), predictions
    return side_by_side(_with_forms(plan, loop, task_fn), tasks, state, outputs)


def _with_forms(plan: Plan, loop: InnerLoop, task_fn: Callable) -> Callable:
    """Returns a function of one task in the form that the plan has for its device."""
    if plan.compiled == EACH_TASK:
        return compiled_tasks.compiled(loop, task_fn)
    return functools.partial(task_fn, loop.with_forms(plan.forms))


def _adaptation_spec(theta, state, keeps):
    spec_of = lambda t: tf.TensorSpec(t.shape, t.dtype)  # noqa: E731
    weights, state = tf.nest.map_structure(spec_of, (tuple(theta), state))
    first_loss = tf.TensorSpec((), theta[0].dtype)
    return Adaptation(weights, state, first_loss, **{name: weights for name in keeps})


def _predictions_spec(loop, episodes, dtype):
    network = loop.f.network
    x = network_inputs.symbolic(episodes["query"][0], network, lambda t: t.shape[1:])
    return tf.TensorSpec(network.compute_output_spec(x).shape, dtype)


def side_by_side(task_fn: Callable, tasks: Any, state: InnerState, outputs: Any) -> Any:
    """Runs every task from the same inner state, as many at once as there are threads.

    Args:
        task_fn: Function of `task` and `state` to a structure of tensors.
        tasks: Structure of tensors, each with the tasks along its first axis.
        state: The `InnerState` that all start from.
        outputs: Structure of `tf.TensorSpec`, the signature of `task_fn`'s result.

    Returns:
        The structure that `task_fn` returns, with the tasks along a new first axis.
    """
    # When TensorFlow runs eagerly, map_fn is always serial, and warns about a larger number.
    at_once = 1 if tf.executing_eagerly() else 64
    # Called eagerly, map_fn would have AutoGraph rewrite the function and all that it calls.
    of_task = tf.autograph.experimental.do_not_convert(functools.partial(task_fn, state=state))
    return tf.map_fn(
        of_task,
        tasks,
        fn_output_signature=outputs,
        parallel_iterations=at_once,
    )


def one_after_another(task_fn: Callable, tasks: Any, state: InnerState, outputs: Any) -> Any:
    """Runs the tasks in series, each from the inner state after the task before it.

    Arguments and returns are those of `side_by_side`. `task_fn` must return `(Adaptation, ...)`.
    """
    number = tf.shape(tf.nest.flatten(tasks)[0])[0]
    arrays = [
        tf.TensorArray(s.dtype, number, element_shape=s.shape) for s in tf.nest.flatten(outputs)
    ]

    def step(i, state, arrays):
        result = task_fn(tf.nest.map_structure(lambda t: t[i], tasks), state)
        values = tf.nest.flatten(result)
        written = [a.write(i, v) for a, v in zip(arrays, values, strict=True)]
        return i + 1, result[0].state, tuple(written)

    start = (tf.constant(0), state, tuple(arrays))
    _, _, arrays = tf.while_loop(lambda i, *_: i < number, step, start, parallel_iterations=1)
    return tf.nest.pack_sequence_as(outputs, [a.stack() for a in arrays])
