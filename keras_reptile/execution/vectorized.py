"""All tasks of a meta-batch as one batch, for the parallel units of a GPU or TPU.

The weights have a first axis of tasks, and each operation of the inner loop computes all tasks at
once. Chains of known layers have functions with this axis, see batched_network.py. For all other
networks, `tf.vectorized_map` adds it to the forward pass, in which convolutions are products of
patches. Gradients follow from the forward pass, and optimizers work element by element. Saved files
are those of the plain layers.
"""

import functools
import warnings
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_reptile.algorithm import prediction
from keras_reptile.algorithm.adaptation import Adaptation, rows
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.known_layers import computes_examples_separately
from keras_reptile.algorithm.network_function import values_of
from keras_reptile.episodes.episode_format import has_steps, with_inputs
from keras_reptile.execution import batched_tasks, outcome, xla
from keras_reptile.execution.batched_network import batched_network
from keras_reptile.execution.outcome import Outcome
from keras_reptile.execution.plan import SEPARATELY, Plan
from keras_reptile.keras_internals import all_layers


def train(
    loop: InnerLoop, plan: Plan, non_trainable: list, tasks: dict, theta: list, state: InnerState
) -> Outcome:
    """Adapts to all training tasks at once, and predicts their queries.

    Args:
        loop: The `InnerLoop`.
        plan: The `Plan` of training.
        non_trainable: List of tensors, the values of the network's non-trainable variables.
        tasks: Numbered episodes, tasks along the first axis.
        theta: List of tensors, the weights to start from.
        state: The `InnerState` to start from.

    Returns:
        An `Outcome`.
    """
    loop = loop.with_forms(plan.forms, non_trainable)
    tasks = with_inputs(tasks, loop.as_taken)
    network = batched_network(loop.f.network, tasks["support"][0])
    # Weights of a batched network get an axis of tasks by the first step.
    if network and has_steps(tasks):
        return batched_tasks.train(loop, plan, network, tasks, theta, state)
    adapted = _adapt(loop, tasks, theta, state)
    predictions = ()
    if tasks["query"][1].shape[1]:
        predictions = _predict(loop, theta, adapted.weights, tasks, transductive=True)
    return outcome.of_tasks(loop, plan, theta, adapted, predictions)


def evaluate(
    loop: InnerLoop,
    plan: Plan,
    modes: Sequence[bool],
    non_trainable: list,
    tasks: dict,
    theta: list,
    state: InnerState,
) -> tuple:
    """Adapts to all tasks at once. Returns the first losses, and predictions in each mode."""
    loop = loop.with_forms(plan.forms, non_trainable)
    tasks = with_inputs(tasks, loop.as_taken)
    if network := batched_network(loop.f.network, tasks["support"][0]):
        return batched_tasks.evaluate(loop, network, modes, tasks, theta, state)
    adapted = _adapt(loop, tasks, theta, state)
    predict = functools.partial(_predict, loop, theta, adapted.weights, tasks)
    return adapted.first_loss, tuple(map(predict, modes))


def _adapt(loop, tasks, theta, state) -> Adaptation:
    """Runs `loop.adapt` with a first axis of tasks in weights, moments, minibatches and losses."""
    number = rows(tasks["order"])
    support_x, support_y = tasks["support"]

    def of_task(task):
        weights, *minibatch = task
        return loop.minibatch_loss(loop.parts.seen(theta, weights), *minibatch)

    def loss_fn(weights, minibatch, step):
        # `minibatch` holds the positions of every task's images, (tasks, images).
        images = lambda t: tf.gather(t, minibatch, batch_dims=1)  # noqa: E731
        x, y = tf.nest.map_structure(images, (support_x, support_y))
        call_ids = tf.stack([*tasks["number"], tf.fill((number,), step)], axis=1)
        return _for_each_task(of_task, (weights, x, y, call_ids))

    weights, slots = tf.nest.map_structure(
        lambda t: tf.repeat(t[None], number, axis=0),
        (loop.parts.carried(theta), loop.parts.carried_state(state).slots),
    )
    order = tf.transpose(tasks["order"], (1, 0, 2))
    state = InnerState(state.step, slots)
    return loop.minimize(loss_fn, weights, state, order, tasks.get("tail"))


def _predict(loop, theta, weights, tasks, transductive):
    f, support, queries = loop.f, tasks["support"][0], tasks["query"][0]
    solution = functools.partial(loop.parts.solution, theta)
    if transductive or computes_examples_separately(f.network):
        return _for_each_task(
            lambda t: prediction.predict(f, solution(t[0]), None, t[1], True), (weights, queries)
        )

    def output_of(query):
        """Predicts one query of every task, `(tasks, outputs)`."""
        return _for_each_task(
            lambda t: prediction.inductive_output(f, solution(t[0]), *t[1:]),
            (weights, support, query),
        )

    signature = tf.TensorSpec(None, weights[0].dtype)
    query_first = tf.nest.map_structure(lambda t: tf.experimental.numpy.swapaxes(t, 0, 1), queries)
    outputs = tf.map_fn(output_of, query_first, fn_output_signature=signature)
    return _for_each_task(
        lambda t: prediction.nan_unless_finite(solution(t[0]), t[1]),
        (weights, tf.experimental.numpy.swapaxes(outputs, 0, 1)),
    )


def _for_each_task(function, arguments):
    return tf.vectorized_map(function, arguments, fallback_to_while_loop=False)


def as_one_batch(network: keras.Model, function: Callable, arguments: tuple) -> Callable | None:
    """Returns a function without arguments that compiles `function` for all tasks.

    It returns `None` if the network has loops, or layers that XLA does not compile. The returned
    function returns `None` if the tasks cannot be one batch. Each `None` comes with a warning.

    Args:
        network: A built `keras.Model`.
        function: Function of the values of its non-trainable variables and the arguments.
        arguments: Tuple of structures of tensors.
    """
    if layers := loops(network):
        one_at_a_time(f"XLA does not compile the loops of the layers {layers} for many tasks.")
        return None
    if layers := not_for_xla(network):
        one_at_a_time(f"XLA does not compile the layers {layers}.")
        return None
    return functools.partial(
        compiled, function, values_of(network.non_trainable_variables), *arguments
    )


def compiled(function: Callable, *arguments) -> Callable | None:
    """Returns the function compiled by XLA, or warns and returns `None` if it cannot be batched."""
    specs = tf.nest.map_structure(_spec, arguments)
    if not all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(specs)):
        one_at_a_time("The number of tasks in a meta-batch is not known in advance.")
        return None
    try:
        # For XLA, `tf.vectorized_map` makes calls of functions, and XLA compiles again for each
        # value of their arguments.
        with xla.outside_of_xla():
            traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    except (ValueError, NotImplementedError) as error:
        one_at_a_time(str(error).strip().splitlines()[0])
        return None
    return tf.function(lambda *tensors: traced(*tensors), autograph=False, jit_compile=True)


def loops(network: keras.Model) -> list[str]:
    """Returns the names of recurrent layers, whose loops XLA does not compile for many tasks."""
    recurrent = (layer for layer in all_layers(network) if isinstance(layer, keras.layers.RNN))
    return [layer.name for layer in recurrent if not layer.unroll]


def not_for_xla(network: keras.Model) -> list[str]:
    """Returns the names of layers that XLA does not compile, such as lookups of words."""
    return [layer.name for layer in all_layers(network, itself=True) if not layer.supports_jit]


def one_at_a_time(reason: str) -> None:
    """Warns that tasks are not computed as one batch, with the reason."""
    warnings.warn(SEPARATELY.format(reason), stacklevel=2)


def _spec(t):
    return tf.TensorSpec(t.shape, t.dtype)
