"""The tasks of a meta-batch: adapted and judged, side by side or one after another."""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.algorithm import prediction
from keras_reptile.algorithm.adaptation import Adaptation
from keras_reptile.algorithm.assignments import check_assignments
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.methods import METHODS
from keras_reptile.algorithm.network_checks import check_output
from keras_reptile.algorithm.network_function import has_randomness, task_numbers
from keras_reptile.episodes import network_inputs
from keras_reptile.episodes.episode_checks import assert_positions
from keras_reptile.episodes.episode_format import (
    check_last_step,
    number_of_queries,
    symbolic_support,
    with_inputs,
)
from keras_reptile.execution import compiled_tasks, outcome, vectorized, xla
from keras_reptile.execution.outcome import Outcome, in_series
from keras_reptile.kernels import devices
from keras_reptile.kernels.normalized_pooling import fast_poolings
from keras_reptile.kernels.switching import holding


class TaskResult(NamedTuple):
    """What a training task leads to; `predictions` is () where the task has no queries."""

    adaptation: Adaptation
    predictions: Any


def train_tasks(model, episodes: dict, theta: list, state: InnerState) -> Outcome:
    """Adapts to every training task by the model's method, and predicts its queries."""
    tasks = _numbered(model, _checked(model, episodes), _places(episodes))
    if METHODS[model.method].keeps:
        check_last_step(tasks)

    def together(tasks, theta, state):
        return outcome.of_tasks(model, theta, *vectorized.train(model, tasks, theta, state))

    at_once = _as_one_batch(model, "train", together, tasks, theta, state)
    if at_once:
        return at_once(tasks, theta, state)
    return _one_by_one(_train_separately, model, _told_of_training(model), tasks, theta, state)


def judge_tasks(
    model, episodes: dict, theta: list, state: InnerState, modes: Sequence[bool]
) -> tuple:
    """Adapts to every task from the same state; its first loss and its queries' predictions.

    There are as many predictions as modes, each transductive or not.
    """
    episodes = _checked(model, episodes)
    # Where nothing is random, any number will do.
    random = has_randomness(model.network)
    numbers = _numbers_by_content(model, episodes) if random else _places(episodes)
    tasks = _numbered(model, episodes, numbers)
    together = functools.partial(vectorized.judge, model, modes)
    at_once = _as_one_batch(model, f"judge {modes}", together, tasks, theta, state)
    if at_once:
        return at_once(tasks, theta, state)
    separately = functools.partial(_judge_separately, modes)
    return _one_by_one(separately, model, model.jit_inner_loops, tasks, theta, state)


def _one_by_one(function, model, jit_compile, tasks, theta, state):
    plain = functools.partial(function, model, _by_xla(jit_compile))
    return xla.compiled_where_it_pays(plain, jit_compile)(tasks, theta, state)


def _fastest(task_fn, model, by_xla):
    """One task as its device computes it fastest."""
    if devices.accelerated():
        return task_fn
    if by_xla:
        return compiled_tasks.compiled(model, task_fn)
    return _with_fast_gradients(task_fn, model)


def _told_of_training(model) -> bool | str:
    """The model's `jit_compile`; MAML's training is not compiled, and says so if it was told to be.

    XLA's second derivative of max pooling has the precision of bfloat16, or is missing.
    """
    if model.method != "maml":
        return model.jit_inner_loops
    told = model.jit_inner_loops is True and not tf.executing_eagerly()
    if told and "TPU" not in devices.device_kinds():
        warnings.warn(f"Training is not compiled: {vectorized.MAML}", stacklevel=2)
    return False


def _by_xla(jit_compile: bool | str) -> bool:
    """Whether XLA is to compile each task's inner loop for a CPU."""
    return jit_compile is True and not tf.executing_eagerly() and not devices.accelerated()


def _with_fast_gradients(task_fn, model):
    def run(task, state):
        with fast_poolings(model.network):
            return task_fn(task, state)

    return run


def _train_separately(model, by_xla, tasks, theta, state) -> Outcome:
    if by_xla and compiled_tasks.fits(tasks):
        return compiled_tasks.train(model, tasks, theta, state)
    has_queries = number_of_queries(tasks) != 0
    method = METHODS[model.method]

    def task_fn(task, state):
        task = with_inputs(task, model._as_taken)
        adapted = model._adapt_task(task, theta, state, method.adapt)
        predictions = ()
        if has_queries:
            query_x = task["query"][0]
            predictions = prediction.predict(model.network, adapted.weights, None, query_x, True)
        return TaskResult(adapted, predictions)

    outputs = TaskResult(
        _adaptation_spec(theta, state, method.keeps),
        _predictions_spec(model, tasks, theta[0].dtype) if has_queries else (),
    )
    run = one_after_another if in_series(model) else side_by_side
    results = run(_fastest(task_fn, model, by_xla), tasks, state, outputs)
    return outcome.of_tasks(model, theta, *results)


def _judge_separately(modes, model, by_xla, tasks, theta, state) -> tuple:
    if by_xla and compiled_tasks.fits(tasks):
        return compiled_tasks.judge(model, modes, tasks, theta, state)

    def task_fn(task, state):
        task = with_inputs(task, model._as_taken)
        adapted = model._adapt_task(task, theta, state)
        images = task["support"][0], task["query"][0]
        return adapted.first_loss, tuple(
            prediction.predict(model.network, adapted.weights, *images, mode) for mode in modes
        )

    dtype = theta[0].dtype
    predictions = tuple(_predictions_spec(model, tasks, dtype) for _ in modes)
    outputs = tf.TensorSpec((), dtype), predictions
    return side_by_side(_fastest(task_fn, model, by_xla), tasks, state, outputs)


def wants_one_batch(model) -> bool:
    """Whether the model is told to compute all tasks at once, or that suits the device."""
    if model.task_order == "serial" or model.task_parallelism == "separate":
        return False
    return model.task_parallelism == "vectorized" or devices.accelerated()


def _as_one_batch(model, name, function, *arguments) -> Callable | None:
    """The function of all tasks at once, if the model is told to use it and can."""
    if not wants_one_batch(model):
        return None
    if name == "train" and model.method == "maml":
        vectorized.one_at_a_time(vectorized.MAML)
        return None
    loops = vectorized.loops(model.network)
    if loops:
        vectorized.one_at_a_time(f"XLA does not compile the loops of the layers {loops} so.")
        return None
    held = [tf.convert_to_tensor(v) for v in model.network.non_trainable_variables]

    def of_tensors(held, *arguments):
        with holding(held):
            return function(*arguments)

    make = functools.partial(vectorized.compiled, of_tensors, held, *arguments)
    if tf.executing_eagerly():
        shapes = [(tuple(t.shape), t.dtype) for t in tf.nest.flatten(arguments)]
        compiled = model._made_once((name, *shapes), make)
    else:
        compiled = make()
    return compiled and functools.partial(compiled, held)


def _checked(model, episodes):
    """The episodes, if the network has an output that tasks have a loss of."""
    model._made_once("output", lambda: check_output_of(model.network, episodes))
    # Data other than datasets and arrays are seen here first.
    with tf.control_dependencies(assert_positions(episodes)):
        orders = {key: tf.identity(episodes[key]) for key in ("order", "tail") if key in episodes}
    return {**episodes, **orders}


def _numbered(model, episodes, numbers):
    """The tasks with the pair of numbers by which they draw: the meta-iteration's and their own."""
    iteration = tf.cast(model._meta_iteration_tensor(), tf.int32)
    return {**episodes, "number": (tf.fill(tf.shape(numbers), iteration), numbers)}


def _places(episodes):
    """Each task's place in the whole meta-batch: no other task of the meta-iteration has it."""
    size = tf.shape(episodes["order"])[0]
    return distribution.replica_index() * size + tf.range(size)


def _numbers_by_content(model, episodes):
    """Numbers that tasks have in an evaluation, whatever the size of its meta-batches."""
    x, y = episodes["support"]
    minibatches = [episodes[key] for key in ("order", "tail") if key in episodes]
    return task_numbers([model._as_taken(x), y, *minibatches])


def _adaptation_spec(theta, state, keeps):
    spec_of = lambda t: tf.TensorSpec(t.shape, t.dtype)  # noqa: E731
    weights, state = tf.nest.map_structure(spec_of, (tuple(theta), state))
    first_loss = tf.TensorSpec((), theta[0].dtype)
    return Adaptation(weights, state, first_loss, **{name: weights for name in keeps})


def _predictions_spec(model, episodes, dtype):
    x = network_inputs.symbolic(episodes["query"][0], model.network, lambda t: t.shape[1:])
    return tf.TensorSpec(model.network.compute_output_spec(x).shape, dtype)


def side_by_side(task_fn: Callable, tasks: Any, state: InnerState, outputs: Any) -> Any:
    """Runs every task from the same inner state, as many at once as there are threads.

    Args:
        task_fn: Function `(task, state)` to a structure of tensors.
        tasks: Structure of tensors, each with the tasks along its first axis.
        state: The `InnerState` that all start from.
        outputs: Structure of `tf.TensorSpec`, the signature of what `task_fn` returns.

    Returns:
        The structure that `task_fn` returns, with the tasks along a new first axis.
    """
    # Eagerly, map_fn runs one after another whatever it is told, and warns if told otherwise.
    at_once = 1 if tf.executing_eagerly() else 64
    return tf.map_fn(
        lambda task: task_fn(task, state),
        tasks,
        fn_output_signature=outputs,
        parallel_iterations=at_once,
    )


def one_after_another(task_fn: Callable, tasks: Any, state: InnerState, outputs: Any) -> Any:
    """Runs the tasks serially, each from the inner state that the task before it left.

    Args and returns are those of `side_by_side`; `task_fn` must return an `(Adaptation, ...)`.
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


def check_output_of(network: keras.Model, episodes: dict) -> None:
    """The same before the loop over tasks: an error there leaves TensorFlow's strategies unusable.

    Symbolic outputs carry no masks, so that a network that makes some is traced.
    """
    x = symbolic_support(episodes, network)
    check_output(network.compute_output_spec(x))
    check_assignments(network, x)
    if any(_makes_masks(layer) for layer in network._flatten_layers(include_self=False)):
        specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), x)
        traced = tf.function(lambda x: check_output(network(x)), autograph=False)
        traced.get_concrete_function(specs)


def _makes_masks(layer) -> bool:
    return isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False)
