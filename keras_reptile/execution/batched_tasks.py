"""All tasks of a meta-batch as one batch, through a network whose gradient is written out.

Small weights lie in one vector, so that an update of all of them is one operation. Tasks take their
first step from weights that they share, of which no copies are made.
"""

from collections.abc import Sequence

import tensorflow as tf

from keras_reptile.algorithm import losses
from keras_reptile.algorithm.adaptation import Adaptation, LossAndGradient
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.known_layers import treats_examples_apart
from keras_reptile.execution import outcome
from keras_reptile.execution.batched_network import BatchedNetwork
from keras_reptile.execution.outcome import Outcome
from keras_reptile.execution.plan import Plan
from keras_reptile.execution.weight_vectors import VectorLayout, layout_of
from keras_reptile.keras_internals import optimization_barrier, optimization_barriers

# Elements of a weight that shares a vector. A product takes its matrix as it lies in memory, so
# that a larger one would have to be copied out of the vector for it.
MOST_ELEMENTS = 512


def train(
    loop: InnerLoop,
    plan: Plan,
    network: BatchedNetwork,
    tasks: dict,
    theta: Sequence,
    state: InnerState,
) -> Outcome:
    """Returns the outcome of the tasks by the loop's method.

    Args:
        loop: The `InnerLoop`.
        plan: The `Plan` of training.
        network: The loop's network.
        tasks: Numbered episodes, tasks along the first axis.
        theta: Sequence of tensors, the weights to start from.
        state: The `InnerState` to start from.
    """
    layout = layout_of(theta, loop.optimizer, MOST_ELEMENTS)
    adapted = _adapt(loop, network, layout, tasks, theta, state)
    predictions = ()
    if tasks["query"][1].shape[1]:
        # The meta-gradient tells of weights that are not finite: see `outcome.with_nan_shown`.
        predictions, _ = network(layout.unpack(adapted.weights), tasks["query"][0])
    # Else XLA reads each weight again for the outer step, and so copies what it writes over.
    theta = optimization_barriers(*layout.pack(theta))
    packed = outcome.of_tasks(loop, plan, theta, adapted, predictions)
    return packed._replace(
        gradient=list(layout.unpack(packed.gradient)),
        state=packed.state._replace(slots=tuple(map(layout.unpack, packed.state.slots))),
    )


def evaluate(
    loop: InnerLoop,
    network: BatchedNetwork,
    modes: Sequence[bool],
    tasks: dict,
    theta: Sequence,
    state: InnerState,
) -> tuple:
    """Returns the tasks' first losses, and their queries' predictions in each mode."""
    layout = layout_of(theta, loop.optimizer, MOST_ELEMENTS)
    adapted = _adapt(loop, network, layout, tasks, theta, state)
    weights, images = layout.unpack(adapted.weights), (tasks["support"][0], tasks["query"][0])
    vectors = VectorLayout.of(theta).pack(weights)
    apart = treats_examples_apart(loop.f.network)
    predictions = [
        network(weights, images[1])[0] if mode or apart else _inductive(network, weights, *images)
        for mode in modes
    ]
    return adapted.first_loss, tuple(_numbers_of(vectors, p) for p in predictions)


def _adapt(loop, network, layout, tasks, theta, state) -> Adaptation:
    """`loop.minimize` on weights in vectors, from those that all tasks share."""
    support = tasks["support"]

    def loss_and_gradient(vectors, minibatch, step):
        del step  # Known layers draw no random numbers.
        x, y = (tf.gather(t, minibatch, batch_dims=1) for t in support)
        outputs, gradient_of = network(layout.unpack(vectors), x)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(outputs)
            loss = _losses(loop, y, outputs)
        # Else XLA computes it anew for all that it is part of.
        upstream = optimization_barrier(tape.gradient(loss, outputs))
        return loss, layout.pack(gradient_of(upstream))

    start = state._replace(slots=tuple(map(layout.pack, state.slots)))
    order, tail = tf.transpose(tasks["order"], (1, 0, 2)), tasks.get("tail")
    return loop.minimize(LossAndGradient(loss_and_gradient), layout.pack(theta), start, order, tail)


def _losses(loop, y, outputs) -> tf.Tensor:
    """Each task's loss of a minibatch, `(tasks,)`."""
    of_task = lambda pair: losses.batch_loss(loop.loss, *pair)  # noqa: E731
    return tf.vectorized_map(of_task, (y, outputs), fallback_to_while_loop=False)


def _inductive(network, weights, support, queries) -> tf.Tensor:
    """Each query in a batch with its task's whole support set: `(tasks, queries, outputs)`."""

    def output_of(query):
        return network(weights, tf.concat([support, query[:, None]], axis=1))[0][:, -1]

    query_first = tf.experimental.numpy.swapaxes(queries, 0, 1)
    signature = tf.TensorSpec(None, weights[0].dtype)
    outputs = tf.map_fn(output_of, query_first, fn_output_signature=signature)
    return tf.experimental.numpy.swapaxes(outputs, 0, 1)


def _numbers_of(vectors, outputs) -> tf.Tensor:
    """Returns each task's outputs if all its weights are finite, else NaN."""
    finite = tf.reduce_all(tf.math.is_finite(tf.concat(vectors, axis=-1)), axis=-1)
    return tf.where(finite[..., None, None], outputs, tf.constant(float("nan"), outputs.dtype))
