"""The tasks of a meta-batch on the cores of a CPU, with inner steps that XLA compiles.

XLA runs a program on one core. It uses other cores only if more than eight operations are ready at
once. So each program is small: some steps of one task, with all weights in one vector, or the
prediction of one task's queries.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_reptile.algorithm.adaptation import Adaptation
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.network_function import values_of
from keras_reptile.episodes.episode_format import number_of_queries
from keras_reptile.execution import core_schedule, outcome
from keras_reptile.execution.outcome import Outcome
from keras_reptile.execution.plan import Plan
from keras_reptile.execution.weight_vectors import layout_of
from keras_reptile.kernels.forms import BY_XLA_ON_A_CPU
from keras_reptile.threads import cores_for_tasks

# Each task adds nodes to the graph. Their tracing takes a tenth of a second.
MAX_TASKS_PER_GRAPH = 100


def fits(tasks: dict) -> bool:
    """Returns whether the numbers of tasks and steps are known, and the tasks fit in a graph."""
    number, steps = tasks["order"].shape[:2]
    return None not in (number, steps) and number <= MAX_TASKS_PER_GRAPH and steps > 0


def train(loop: InnerLoop, plan: Plan, tasks: dict, theta: list, state: InnerState) -> Outcome:
    """Returns the outcome of the tasks by the loop's method."""
    layout = layout_of(theta, loop.optimizer)
    modes = [True] if number_of_queries(tasks) != 0 else []
    results = _run(loop, layout, tasks, theta, state, modes, plan.in_series)
    adapted, predictions = zip(*results, strict=True)
    packed = _outcome(loop, plan, layout, layout.pack(theta), adapted)
    return Outcome(
        gradient=list(layout.unpack(packed.gradient)),
        state=packed.state._replace(slots=tuple(map(layout.unpack, packed.state.slots))),
        first_loss=packed.first_loss,
        predictions=_stacked(predictions)[0] if modes else (),
    )


def evaluate(
    loop: InnerLoop, modes: Sequence[bool], tasks: dict, theta: list, state: InnerState
) -> tuple:
    """Returns the tasks' first losses, and their queries' predictions in each mode."""
    layout = layout_of(loop.parts.carried(theta), loop.optimizer)
    results = _run(loop, layout, tasks, theta, state, modes)
    return _stacked([(adapted.first_loss, predictions) for adapted, predictions in results])


def _outcome(loop, plan, layout, theta, tasks: Sequence[Adaptation]) -> Outcome:
    """Returns the mean of the outcomes that each task would have alone."""
    alone = [tf.nest.map_structure(lambda t: t[None], task) for task in tasks]
    each = [outcome.of_tasks(loop, plan, theta, task, (), layout) for task in alone]
    last = each[-1].state
    slots = (
        last.slots
        if plan.in_series
        else tf.nest.map_structure(_mean, *(e.state.slots for e in each))
    )
    return Outcome(
        gradient=[_mean(*of_tasks) for of_tasks in zip(*(e.gradient for e in each), strict=True)],
        state=InnerState(last.step, slots),
        first_loss=tf.concat([e.first_loss for e in each], axis=0),
        predictions=(),
    )


def _mean(*values) -> tf.Tensor:
    # The last task ends last. The others are summed meanwhile.
    *others, last = values
    return (tf.add_n(others) + last if others else last) / len(values)


def _stacked(values: Sequence) -> Any:
    """Returns structures of tensors as one structure, with a first axis of tasks."""
    return tf.nest.map_structure(lambda *of_tasks: tf.stack(of_tasks), *values)


def _run(loop, layout, tasks, theta, state, modes, in_series=False) -> list:
    """Returns each task's `Adaptation`, weights in vectors, and its predictions in each mode."""
    tasks = _with_tail_as_row(tasks)
    number, rows = tasks["order"].shape[:2]
    steps = rows + ("tail" in tasks)
    each = [tf.nest.map_structure(lambda t, i=i: t[i], tasks) for i in range(number)]
    some_steps = compiled(loop, functools.partial(_some_steps, layout, theta))
    predict = compiled(loop, functools.partial(_predict, modes))

    def advance(segment, so_far):
        for a, b in itertools.pairwise(_cuts(segment, rows)):
            minibatches = _minibatches(each[segment.task], a, rows)
            so_far = some_steps(
                *minibatches, so_far._replace(before_last=()), *map(tf.constant, (a, b))
            )
        return so_far

    def finish(task, so_far):
        if not modes:
            return so_far, ()
        images = each[task]["support"][0], each[task]["query"][0]
        return so_far, predict(loop.parts.solution(theta, layout.unpack(so_far.weights)), *images)

    start = _packed(layout, loop.parts.carried(theta), loop.parts.carried_state(state))
    if in_series:
        return _in_series(number, steps, start, advance, finish)
    schedule = core_schedule.core_schedule(number, steps, cores_for_tasks())
    return core_schedule.run(schedule, start, advance, finish, steps)


def _cuts(segment, rows) -> list[int]:
    """Returns the steps at which a segment begins, meets a tail of another size, and ends."""
    first, last = segment.first, segment.last
    return sorted({first, last, *({rows} if first < rows < last else ())})


def _minibatches(task, step, rows) -> tuple:
    """Returns a task's minibatches from this step on, and the step of the first of them."""
    order, base = (task["tail"][None], rows) if step == rows else (task["order"], 0)
    if order.shape[0] == 1:
        # XLA would gather the images of a single row before the loop, in many operations at once.
        order = tf.repeat(order, 2, axis=0)
    return {"support": task["support"], "number": task["number"], "order": order}, tf.constant(base)


def _with_tail_as_row(tasks) -> dict:
    """Returns the tasks with the tail as one more minibatch, if it has the size of the others."""
    if "tail" not in tasks or tasks["tail"].shape[1] != tasks["order"].shape[2]:
        return tasks
    order = tf.concat([tasks["order"], tasks["tail"][:, None]], axis=1)
    return {**{k: v for k, v in tasks.items() if k != "tail"}, "order": order}


def _in_series(number, steps, start, advance, finish) -> list:
    """Runs each task from the inner state that the task before it left."""
    results = []
    for task in range(number):
        so_far = advance(core_schedule.Segment(task, 0, steps), start)
        start = start._replace(state=so_far.state)
        results.append(finish(task, so_far))
    return results


def _some_steps(layout, theta, loop, task, base, so_far, first, last) -> Adaptation:
    """Runs the steps from `first` to before `last`, with all weights in a vector."""
    loss_of_weights = loop.loss_of(task)

    def loss_fn(vectors, minibatch, step):
        weights = loop.parts.seen(theta, layout.unpack(vectors))
        return loss_of_weights(weights, minibatch, step)

    return loop.advance(loss_fn, so_far, task["order"], first, last, base)


def _predict(modes, loop, weights, support_x, query_x) -> tuple:
    return tuple(loop.predict(weights, support_x, query_x, transductive=mode) for mode in modes)


def compiled(loop: InnerLoop, function: Callable) -> Callable:
    """Returns a function of one task, or of some of its steps, compiled by XLA for a core.

    Args:
        loop: The `InnerLoop`.
        function: Function `(loop, *tensors)` to a structure of tensors.
    """
    loop = loop.with_forms(BY_XLA_ON_A_CPU, values_of(loop.f.network.non_trainable_variables))
    return tf.function(functools.partial(function, loop), autograph=False, jit_compile=True)


def _packed(layout, theta, state) -> Adaptation:
    slots = tuple(layout.pack(slot) for slot in state.slots)
    return Adaptation(
        layout.pack(theta), InnerState(state.step, slots), tf.zeros((), theta[0].dtype)
    )
