"""All tasks of a meta-batch as one batch: what keeps a GPU or TPU busy.

The weights have the tasks along a first axis, so that each of the inner loop's operations is done
for all tasks at once. The network's forward pass gets that axis from `tf.vectorized_map`, in which
convolutions are products of patches; gradients follow from it, and optimizers work element by
element anyway. Saved files are those of the plain layers, which are switched only while they run.
"""

import warnings
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from keras_reptile.algorithm import loss_scaling, prediction
from keras_reptile.algorithm.adaptation import rows
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.known_layers import treats_examples_apart
from keras_reptile.algorithm.methods import METHODS
from keras_reptile.episodes.episode_format import with_inputs
from keras_reptile.execution import xla
from keras_reptile.kernels.patch_convolution import patch_convolutions
from keras_reptile.kernels.switching import unfused

MAML = "XLA does not compile MAML's gradient through the loop for every network."


def train(model, tasks: dict, theta: list, state: InnerState) -> tuple:
    """Adapts to all training tasks at once, and predicts their queries.

    Args:
        model: A compiled `ReptileModel`.
        tasks: Numbered episodes, tasks along the first axis.
        theta: List of tensors, the weights to start from.
        state: The `InnerState` to start from.

    Returns:
        Tuple of the tasks' `Adaptation`, tasks along the first axis except of the state's step, and
        the predictions `(tasks, queries, outputs)`, or () where tasks have no queries.
    """
    tasks = with_inputs(tasks, model._as_taken)
    adapted = _adapt(model, tasks, theta, state, METHODS[model.method].adapt)
    if not tasks["query"][1].shape[1]:
        return adapted, ()
    return adapted, _predict(model, adapted.weights, tasks, transductive=True)


def judge(model, modes: Sequence[bool], tasks: dict, theta: list, state: InnerState) -> tuple:
    """Adapts to all tasks at once: their first losses and their queries' predictions by mode."""
    tasks = with_inputs(tasks, model._as_taken)
    adapted = _adapt(model, tasks, theta, state, METHODS["reptile"].adapt)
    return adapted.first_loss, tuple(_predict(model, adapted.weights, tasks, m) for m in modes)


def _adapt(model, tasks, theta, state, adapt):
    """`adapt` with the tasks along the first axis of weights, moments, minibatches and losses."""
    number = rows(tasks["order"])
    support_x, support_y = tasks["support"]

    def loss_fn(weights, minibatch, step):
        # In `minibatch` lie the positions of every task's images, (tasks, images).
        images = lambda t: tf.gather(t, minibatch, batch_dims=1)  # noqa: E731
        x, y = tf.nest.map_structure(images, (support_x, support_y))
        draws = tf.stack([*tasks["number"], tf.fill((number,), step)], axis=1)
        return _for_each_task(
            model.network, lambda t: model._minibatch_loss(*t), (weights, x, y, draws)
        )

    repeated = tf.nest.map_structure(
        lambda t: tf.repeat(t[None], number, axis=0), (tuple(theta), state.slots)
    )
    order = tf.transpose(tasks["order"], (1, 0, 2))
    return loss_scaling.where_needed(adapt, model.network)(
        loss_fn,
        model.inner_rule,
        repeated[0],
        InnerState(state.step, repeated[1]),
        order,
        tasks.get("tail"),
        model.inner_weight_decay_rate,
    )


def _predict(model, weights, tasks, transductive):
    network, support, queries = model.network, tasks["support"][0], tasks["query"][0]
    if transductive or treats_examples_apart(network):
        return _for_each_task(
            network,
            lambda t: prediction.predict(network, t[0], None, t[1], True),
            (weights, queries),
        )

    def output_of(query):
        """One query of every task: `(tasks, outputs)`."""
        return _for_each_task(
            network, lambda t: prediction.inductive_output(network, *t), (weights, support, query)
        )

    signature = tf.TensorSpec(None, weights[0].dtype)
    query_first = tf.nest.map_structure(lambda t: tf.experimental.numpy.swapaxes(t, 0, 1), queries)
    outputs = tf.map_fn(output_of, query_first, fn_output_signature=signature)
    return _for_each_task(
        network,
        lambda t: prediction.numbers_of(*t),
        (weights, tf.transpose(outputs, (1, 0, 2))),
    )


def _for_each_task(network, function, arguments):
    with unfused(), patch_convolutions(network):
        return tf.vectorized_map(function, arguments, fallback_to_while_loop=False)


def compiled(function: Callable, *arguments) -> Callable | None:
    """A function of tensors compiled by XLA; `None`, with a warning, if it has no batched form."""
    specs = tf.nest.map_structure(_spec, arguments)
    if not all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(specs)):
        one_at_a_time("The number of tasks in a meta-batch is not known beforehand.")
        return None
    try:
        # For XLA, `tf.vectorized_map` wraps what it makes in calls of functions, and XLA compiles
        # anew for every value that goes into one.
        with xla.outside_of_xla():
            traced = tf.function(function, autograph=False).get_concrete_function(*specs)
    except (ValueError, NotImplementedError) as error:
        one_at_a_time(str(error).strip().splitlines()[0])
        return None
    return tf.function(lambda *tensors: traced(*tensors), autograph=False, jit_compile=True)


def loops(network: keras.Model) -> list[str]:
    """The names of recurrent layers: XLA does not compile their loops with tasks along an axis."""
    layers = network._flatten_layers(include_self=False)
    recurrent = (layer for layer in layers if isinstance(layer, keras.layers.RNN))
    return [layer.name for layer in recurrent if not layer.unroll]


def one_at_a_time(reason: str) -> None:
    """Says why tasks are not computed as one batch."""
    warnings.warn(
        f"Tasks are computed one at a time, as they cannot be computed as one batch: {reason}",
        stacklevel=2,
    )


def _spec(t):
    return tf.TensorSpec(t.shape, t.dtype)
