"""The inner loop: k optimizer steps on one task."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_reptile.inner_optimizers import InnerState


class Adaptation(NamedTuple):
    """What k inner steps lead to.

    weights: Tuple of tensors, W, the task's solution.
    state: The inner optimizer's `InnerState` after the last step.
    first_loss: Scalar, the loss of the first minibatch at theta, before any step.
    """

    weights: tuple
    state: InnerState
    first_loss: tf.Tensor


def adapt(
    loss_fn: Callable,
    optimizer: Any,
    theta: Sequence,
    state: InnerState,
    order: tf.Tensor,
    rate=1.0,
) -> Adaptation:
    """Runs the inner loop on one task: W = U_k(theta).

        for each minibatch b of the task:  w <- U(rate * w, grad L_b(rate * w))

    A pure function: it reads no variable, draws no random number and writes nothing.

    Args:
        loss_fn: Function `(weights, minibatch, step)` to a scalar loss; `minibatch` is a row of
            `order`, and `step` counts from 0.
        optimizer: An `InnerSGD` or `InnerAdam`.
        theta: Sequence of tensors, the weights to start from.
        state: The `InnerState` to start from.
        order: Integer tensor `(inner_steps, inner_batch_size)`, the images of each minibatch.
        rate: Float, multiplies the weights before every step. Defaults to `1.0`, no decay.

    Returns:
        An `Adaptation`.
    """

    def step(k, weights, state, first_loss):
        if rate != 1.0:
            weights = tuple(rate * w for w in weights)
        loss, gradients = loss_and_gradients(loss_fn, weights, order[k], k)
        weights, state = optimizer.update(weights, gradients, state)
        return k + 1, weights, state, tf.where(k == 0, loss, first_loss)

    steps = order.shape[0] if order.shape[0] is not None else tf.shape(order)[0]
    start = (tf.constant(0), tuple(theta), state, tf.zeros((), theta[0].dtype))
    _, weights, state, first_loss = tf.while_loop(lambda k, *_: k < steps, step, start)
    return Adaptation(weights, state, first_loss)


def loss_and_gradients(loss_fn: Callable, weights: tuple, minibatch: tf.Tensor, step) -> tuple:
    """A minibatch's loss in the weights' dtype, and its gradient (zero where there is none)."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        loss = tf.cast(loss_fn(weights, minibatch, step), weights[0].dtype)
    gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return loss, gradients
