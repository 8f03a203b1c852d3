"""All tasks of a meta-batch as one batch, by a network with an explicit gradient.

All small weights are in one vector, so that one operation updates them. In the first step all tasks
share their weights, which are not copied.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_reptile.algorithm import losses
from keras_reptile.algorithm.adaptation import Adaptation, LossAndGradient
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.known_layers import computes_examples_separately
from keras_reptile.algorithm.prediction import nan_unless_finite, with_queries
from keras_reptile.execution import outcome
from keras_reptile.execution.batched_network import BatchedNetwork
from keras_reptile.execution.outcome import Outcome
from keras_reptile.execution.plan import Plan
from keras_reptile.execution.weight_vectors import VectorLayout, layout_of
from keras_reptile.keras_internals import optimization_barrier, optimization_barriers

# Weights with up to this many elements share a vector. A larger one is the matrix of a product, and
# would have to be copied out of the vector.
MAX_ELEMENTS_IN_VECTOR = 512


def train(
    loop: InnerLoop,
    plan: Plan,
    network: BatchedNetwork,
    tasks: dict,
    theta: Sequence,
    state: InnerState,
) -> Outcome:
    """Adapts to every task by the loop's method, and predicts its queries.

    Args:
        loop: The `InnerLoop`.
        plan: The `Plan` of training.
        network: The loop's network as a `BatchedNetwork`.
        tasks: Numbered episodes, tasks along the first axis.
        theta: Sequence of tensors, the weights to start from.
        state: The `InnerState` to start from.
    """
    layout = layout_of(theta, loop.optimizer, MAX_ELEMENTS_IN_VECTOR)
    adapted = adapt(loop, network, layout, tasks, theta, state)
    predictions = predict(loop, network, layout, tasks, theta, adapted)
    return outcome_of(loop, plan, layout, theta, adapted, predictions)


def predict(loop, network, layout, tasks, theta, adapted) -> Any:
    """Predicts the queries of training tasks; () if they have none."""
    if not tasks["query"][1].shape[1]:
        return ()
    # The meta-gradient shows weights that are not finite, see `outcome.with_nan_shown`.
    weights = loop.parts.solution(theta, layout.unpack(adapted.weights))
    return network(weights, tasks["query"][0])[0]


def outcome_of(loop, plan, layout, theta, adapted, predictions) -> Outcome:
    """Returns the outcome of tasks whose weights are in vectors."""
    # Otherwise XLA would read each weight again for the outer step, after a copy of it.
    theta = optimization_barriers(*layout.pack(theta))
    packed = outcome.of_tasks(loop, plan, theta, adapted, predictions, layout)
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
    carried, images = loop.parts.carried(theta), (tasks["support"][0], tasks["query"][0])
    layout = layout_of(carried, loop.optimizer, MAX_ELEMENTS_IN_VECTOR)
    adapted = adapt(loop, network, layout, tasks, theta, state)
    moved = layout.unpack(adapted.weights)
    weights, vectors = loop.parts.solution(theta, moved), VectorLayout.of(carried).pack(moved)
    apart = computes_examples_separately(loop.f.network)
    predictions = [
        network(weights, images[1])[0] if mode or apart else _inductive(network, weights, *images)
        for mode in modes
    ]
    if loop.parts.moved is not None:
        predictions = [nan_unless_finite(theta, p) for p in predictions]
    return adapted.first_loss, tuple(_nan_unless_finite(vectors, p) for p in predictions)


def adapt(loop, network, layout, tasks, theta, state) -> Adaptation:
    """Runs `loop.minimize` on weights in vectors.

    Theta and the moments of the state may have a first axis of tasks. Without it, all tasks start
    from the same ones.
    """
    support = tasks["support"]

    def loss_and_gradient(vectors, minibatch, step):
        del step  # Known layers draw no random numbers.
        x, y = (tf.gather(t, minibatch, batch_dims=1) for t in support)
        # Weights that the loop does not move have an axis of tasks only if theta has one.
        outputs, gradient_of = network(loop.parts.solution(theta, layout.unpack(vectors)), x)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(outputs)
            loss = _losses(loop, y, outputs)
        # Otherwise XLA computes it again for each operation that uses it.
        upstream = optimization_barrier(tape.gradient(loss, outputs))
        return loss, layout.pack(loop.parts.carried(gradient_of(upstream)))

    slots = loop.parts.carried_state(state).slots
    start = state._replace(slots=tuple(map(layout.pack, slots)))
    order, tail = tf.transpose(tasks["order"], (1, 0, 2)), tasks.get("tail")
    weights = layout.pack(loop.parts.carried(theta))
    return loop.minimize(LossAndGradient(loss_and_gradient), weights, start, order, tail)


def _losses(loop, y, outputs) -> tf.Tensor:
    """Returns each task's loss of a minibatch, `(tasks,)`."""
    of_task = lambda pair: tf.cast(losses.batch_loss(loop.loss, *pair), outputs.dtype)  # noqa: E731
    return tf.vectorized_map(of_task, (y, outputs), fallback_to_while_loop=False)


def _inductive(network, weights, support, queries) -> tf.Tensor:
    """Predicts each query in a batch with its task's support set: `(tasks, queries, outputs)`."""

    def output_of(query):
        return network(weights, with_queries(support, query[:, None], axis=1))[0][:, -1]

    query_first = tf.experimental.numpy.swapaxes(queries, 0, 1)
    signature = tf.TensorSpec(None, weights[0].dtype)
    outputs = tf.map_fn(output_of, query_first, fn_output_signature=signature)
    return tf.experimental.numpy.swapaxes(outputs, 0, 1)


def _nan_unless_finite(vectors, outputs) -> tf.Tensor:
    """Returns each task's outputs, or NaN if its weights are not all finite."""
    finite = tf.reduce_all(tf.math.is_finite(tf.concat(vectors, axis=-1)), axis=-1)
    of_outputs = tf.reshape(finite, (-1, *[1] * (outputs.shape.rank - 1)))
    return tf.where(of_outputs, outputs, tf.constant(float("nan"), outputs.dtype))
