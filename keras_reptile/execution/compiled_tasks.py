"""The tasks of a meta-batch on the cores of a CPU, their inner steps compiled by XLA.

XLA would run all tasks of one program on one core, and hands work to other cores where more than
eight pieces of it are ready at once. So some steps of one task are a program, with all weights in
one vector, and the prediction of its queries is another.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_reptile.algorithm import adaptation, loss_scaling, prediction
from keras_reptile.algorithm.adaptation import Adaptation
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.methods import METHODS
from keras_reptile.episodes.episode_format import number_of_queries
from keras_reptile.execution import core_schedule, outcome
from keras_reptile.execution.outcome import Outcome, in_series
from keras_reptile.execution.weight_vectors import VectorLayout
from keras_reptile.kernels.patch_convolution import patch_convolutions
from keras_reptile.kernels.switching import holding, unfused
from keras_reptile.threads import cores_for_tasks

# Each task adds nodes to the graph, which take a tenth of a second to trace.
MAX_TASKS_PER_GRAPH = 100


def fits(tasks: dict) -> bool:
    """Whether the number of tasks and of their steps are known before the graph runs."""
    number, steps = tasks["order"].shape[:2]
    return None not in (number, steps) and number <= MAX_TASKS_PER_GRAPH and steps > 0


def train(model, tasks: dict, theta: list, state: InnerState) -> Outcome:
    """What the tasks lead to by the model's method."""
    layout = VectorLayout.of(theta)
    modes = [True] if number_of_queries(tasks) != 0 else []
    serial = in_series(model)
    keeps_last = "before_last" in METHODS[model.method].keeps
    adapted, predictions = zip(
        *_run(model, layout, tasks, theta, state, modes, serial, keeps_last), strict=True
    )
    packed = _outcome(model, layout.pack(theta), adapted, serial)
    return Outcome(
        gradient=list(layout.unpack(packed.gradient)),
        state=packed.state._replace(slots=tuple(map(layout.unpack, packed.state.slots))),
        first_loss=packed.first_loss,
        predictions=_stacked(predictions)[0] if modes else (),
    )


def judge(model, modes: Sequence[bool], tasks: dict, theta: list, state: InnerState) -> tuple:
    """The tasks' first losses, and their queries' predictions for each mode."""
    found = _run(model, VectorLayout.of(theta), tasks, theta, state, modes)
    return _stacked([(adapted.first_loss, predictions) for adapted, predictions in found])


def _outcome(model, theta, tasks: Sequence[Adaptation], serial: bool) -> Outcome:
    """The outcome of tasks: the mean of what each would lead to alone."""
    alone = [tf.nest.map_structure(lambda t: t[None], task) for task in tasks]
    each = [outcome.of_tasks(model, theta, task, ()) for task in alone]
    last = each[-1].state
    slots = last.slots if serial else tf.nest.map_structure(_mean, *(e.state.slots for e in each))
    return Outcome(
        gradient=[_mean(*of_tasks) for of_tasks in zip(*(e.gradient for e in each), strict=True)],
        state=InnerState(last.step, slots),
        first_loss=tf.concat([e.first_loss for e in each], axis=0),
        predictions=(),
    )


def _mean(*values) -> tf.Tensor:
    # The last task ends last, and the sum of the others need not wait for it.
    *others, last = values
    return (tf.add_n(others) + last if others else last) / len(values)


def _stacked(values: Sequence) -> Any:
    """Structures of tensors as one structure, with the tasks along the first axis."""
    return tf.nest.map_structure(lambda *of_tasks: tf.stack(of_tasks), *values)


def _run(model, layout, tasks, theta, state, modes, serial=False, keeps_last=False) -> list:
    """Of each task its `Adaptation`, weights in vectors, and its predictions for each mode."""
    tasks = _with_tail_as_row(tasks)
    number, rows = tasks["order"].shape[:2]
    steps = rows + ("tail" in tasks)
    each = [tf.nest.map_structure(lambda t, i=i: t[i], tasks) for i in range(number)]
    some_steps = compiled(model, functools.partial(_some_steps, model, layout, keeps_last))
    predict = compiled(model, functools.partial(_predict, model, modes))

    def advance(piece, reached):
        for a, b in itertools.pairwise(_cuts(piece, rows)):
            minibatches = _minibatches(each[piece.task], a, rows)
            reached = some_steps(
                *minibatches, reached._replace(before_last=()), *map(tf.constant, (a, b))
            )
        return reached

    def finish(task, reached):
        if not modes:
            return reached, ()
        images = each[task]["support"][0], each[task]["query"][0]
        return reached, predict(layout.unpack(reached.weights), *images)

    start = _packed(layout, theta, state)
    if serial:
        return _in_series(number, steps, start, advance, finish)
    schedule = core_schedule.core_schedule(number, steps, cores_for_tasks())
    return core_schedule.run(schedule, start, advance, finish, steps)


def _cuts(piece, rows) -> list[int]:
    """Where a piece begins, is interrupted by a tail of another size, and ends."""
    return sorted({piece.first, piece.last, *({rows} if piece.first < rows < piece.last else ())})


def _minibatches(task, step, rows) -> tuple:
    """What steps from this one on need of a task, and the step that its first minibatch is for."""
    order, base = (task["tail"][None], rows) if step == rows else (task["order"], 0)
    if order.shape[0] == 1:
        # Of a single row XLA would take the images before the loop, too many pieces at once.
        order = tf.repeat(order, 2, axis=0)
    return {"support": task["support"], "number": task["number"], "order": order}, tf.constant(base)


def _with_tail_as_row(tasks) -> dict:
    """The tasks with the tail as one more minibatch, if it is as large as they are."""
    if "tail" not in tasks or tasks["tail"].shape[1] != tasks["order"].shape[2]:
        return tasks
    order = tf.concat([tasks["order"], tasks["tail"][:, None]], axis=1)
    return {**{k: v for k, v in tasks.items() if k != "tail"}, "order": order}


def _in_series(number, steps, start, advance, finish) -> list:
    """Each task from the inner state that the one before it left."""
    found = []
    for task in range(number):
        reached = advance(core_schedule.Segment(task, 0, steps), start)
        start = start._replace(state=reached.state)
        found.append(finish(task, reached))
    return found


def _some_steps(model, layout, keeps_last, task, base, reached, first, last) -> Adaptation:
    """The steps from `first` to before `last`, with all weights in a vector."""
    images, labels = task["support"]
    loss_of = model._loss_of({**task, "support": (model._as_taken(images), labels)})

    def run(loss_fn, optimizer, *arguments):
        return adaptation.steps_between(
            lambda vectors, *given: loss_fn(layout.unpack(vectors), *given), optimizer, *arguments
        )

    run = loss_scaling.where_needed(run, model.network)
    rate = model.inner_weight_decay_rate
    minibatches = task["order"], first, last, rate, base
    found = run(loss_of, model.inner_rule, reached, *minibatches, keeps_last)
    # Of the steps before, it is known already, and not scaled.
    return found._replace(first_loss=tf.where(first == 0, found.first_loss, reached.first_loss))


def _predict(model, modes, weights, support_x, query_x) -> tuple:
    images = model._as_taken(support_x), model._as_taken(query_x)
    return tuple(prediction.predict(model.network, weights, *images, mode) for mode in modes)


def compiled(model, function: Callable) -> Callable:
    """A function of one task, or of some of its steps, as XLA compiles it for a core."""
    held = [tf.convert_to_tensor(v) for v in model.network.non_trainable_variables]

    def by_patches(*arguments):
        with holding(held), unfused(), patch_convolutions(model.network, by_xla=True):
            return function(*arguments)

    return tf.function(by_patches, autograph=False, jit_compile=True)


def _packed(layout, theta, state) -> Adaptation:
    slots = tuple(layout.pack(slot) for slot in state.slots)
    return Adaptation(
        layout.pack(theta), InnerState(state.step, slots), tf.zeros((), theta[0].dtype)
    )
