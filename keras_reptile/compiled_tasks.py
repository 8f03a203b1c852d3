"""The tasks of a meta-batch on the cores of a CPU, their inner steps compiled by XLA.

XLA would run all tasks of one program on one core, and hands work to other cores where more than
eight pieces of it are ready at once. So some steps of one task are a program, with all weights in
one vector, and the prediction of its queries is another.
"""

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_reptile import adaptation, lanes, loss_scaling, prediction
from keras_reptile.adaptation import Adaptation
from keras_reptile.batch_normalization import unfused
from keras_reptile.episode_format import number_of_queries, scaled
from keras_reptile.inner_optimizers import InnerState
from keras_reptile.methods import METHODS
from keras_reptile.network_function import holding
from keras_reptile.packing import Layout
from keras_reptile.patch_convolution import patch_convolutions
from keras_reptile.threads import cores_for_tasks

# Every task is a few nodes of the graph.
MOST = 100


def fits(tasks: dict) -> bool:
    """Whether the number of tasks and of their steps are known before the graph runs."""
    number, steps = tasks["order"].shape[:2]
    return None not in (number, steps) and number <= MOST and steps > 0


def train(model, tasks: dict, theta: list, state: InnerState) -> tuple:
    """The tasks' `Adaptation` by the model's method, and the predictions of their queries."""
    modes = [True] if number_of_queries(tasks) else []
    serial = model.task_order == "serial" and model.inner_state == "carried"
    adapted, predictions = _run(
        model, METHODS[model.method].adapt, modes, serial, tasks, theta, state
    )
    return adapted, predictions[0] if modes else ()


def judge(model, modes: Sequence[bool], tasks: dict, theta: list, state: InnerState) -> tuple:
    """The tasks' first losses, and their queries' predictions for each mode."""
    adapted, predictions = _run(model, adaptation.adapt, modes, False, tasks, theta, state)
    return adapted.first_loss, predictions


def _run(model, adapt, modes, serial, tasks, theta, state) -> tuple:
    layout = Layout.of(theta)
    number, steps = tasks["order"].shape[:2]
    task = [tf.nest.map_structure(lambda t, i=i: t[i], tasks) for i in range(number)]
    queries = [t.pop("query")[0] for t in task]
    program, whole = _program_of(model, adapt, layout, tasks)
    predict = compiled(model, functools.partial(_predict, model, modes))

    def advance(piece, reached):
        return program(task[piece.task], reached, tf.constant(piece.first), tf.constant(piece.last))

    def finish(number, reached):
        if not modes:
            return reached, ()
        weights = layout.unpack(reached.weights)
        return reached, predict(weights, task[number]["support"][0], queries[number])

    start = _packed(layout, theta, state)
    if serial:
        found = _in_series(number, steps, start, advance, finish)
    else:
        steps = 1 if whole else steps
        plan = lanes.lanes(number, steps, cores_for_tasks())
        found = lanes.run(plan, start, advance, finish, steps)
    adapted, predictions = tf.nest.map_structure(lambda *values: tf.stack(values), *found)
    return _unpacked(layout, adapted), predictions


def _in_series(number, steps, start, advance, finish) -> list:
    """Each task from the inner state that the one before it left."""
    found = []
    for task in range(number):
        reached = advance(lanes.Piece(task, 0, steps), start)
        start = start._replace(state=reached.state)
        found.append(finish(task, reached))
    return found


def _program_of(model, adapt, layout, tasks) -> tuple[Callable, bool]:
    """Some steps of a task, or all of them where its method does not divide."""
    rate = model.inner_weight_decay_rate
    whole = (
        adapt is not adaptation.adapt
        or "tail" in tasks
        or loss_scaling.computes_in_float16(model.network)
    )

    def program(task, reached, first, last):
        loss_of = model.loss_of(
            {**task, "support": (scaled(task["support"][0]), task["support"][1])}
        )
        loss_fn = lambda vectors, *given: loss_of(layout.unpack(vectors), *given)  # noqa: E731
        if not whole:
            return adaptation.steps_between(
                loss_fn, model.inner_rule, reached, task["order"], first, last, rate
            )
        minibatches = task["order"], task.get("tail")
        run = loss_scaling.where_needed(adapt, model.network)
        return run(loss_fn, model.inner_rule, reached.weights, reached.state, *minibatches, rate)

    return compiled(model, program), whole


def _predict(model, modes, weights, support_x, query_x) -> tuple:
    images = scaled(support_x), scaled(query_x)
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


def _unpacked(layout, adapted: Adaptation) -> Adaptation:
    apart = lambda vectors: layout.unpack(vectors) if vectors else ()  # noqa: E731
    return adapted._replace(
        weights=apart(adapted.weights),
        state=InnerState(adapted.state.step, tuple(map(apart, adapted.state.slots))),
        before_last=apart(adapted.before_last),
    )
