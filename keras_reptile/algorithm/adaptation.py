"""The inner loop: k optimizer steps on one task, and the values that the methods need from them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from keras_reptile.algorithm.inner_optimizers import InnerState, StepRule
from keras_reptile.algorithm.partial_adaptation import ALL, Parts


class Adaptation(NamedTuple):
    """The result of k inner steps.

    weights: Tuple of tensors, W_k, the task's solution.
    state: The inner optimizer's `InnerState` after the last step.
    first_loss: Scalar, the loss of the first minibatch at theta, before any step.
    before_last: Tuple of tensors, W_{k-1}, the weights before the last step; () except from
        `adapt_keeping_last`.
    gradient: Tuple of tensors, the gradient of the last minibatch's loss at W_{k-1} with respect to
        theta; () except from `adapt_and_differentiate`.
    """

    weights: tuple
    state: InnerState
    first_loss: tf.Tensor
    before_last: tuple = ()
    gradient: tuple = ()


class LossAndGradient(NamedTuple):
    """A loss for `adapt` with an explicit gradient, of many tasks at once.

    function: Function `(weights, minibatch, step)` to the tasks' losses and a tuple of gradients.
        Gradients have a first axis of tasks, also if the weights are shared and lack it.
    """

    function: Callable


def adapt(
    loss_fn: Callable | LossAndGradient,
    optimizer: StepRule,
    theta: Sequence,
    state: InnerState,
    order: tf.Tensor,
    tail: tf.Tensor | None = None,
    rate: float = 1.0,
    parts: Parts = ALL,
) -> Adaptation:
    """Runs the inner loop on one task: W_k = U_k(theta).

        for each minibatch b of the task:  w <- U(rate * w, grad L_b(rate * w))

    It is a pure function: it reads no variable, draws no random number and writes nothing.

    Args:
        loss_fn: Function `(weights, minibatch, step)` to a scalar loss, or one for each task;
            `minibatch` is a row of `order`, or `tail`, and `step` counts from 0. Or a
            `LossAndGradient`: then theta and the moments have no axis of tasks if all tasks share
            them before the first step, which adds this axis.
        optimizer: An `InnerSGD` or `InnerAdam`, or another `StepRule`.
        theta: Sequence of tensors, the weights to start from.
        state: The `InnerState` to start from, that of the carried weights.
        order: Integer tensor `(steps, inner_batch_size)`, the images of each minibatch. If it is
            `(steps, tasks, inner_batch_size)`, many tasks adapt at once: weights, moments and
            losses have a first axis of tasks.
        tail: Integer tensor `(images,)`, one more minibatch after those of `order`, of any size.
            Defaults to `None`.
        rate: Float, multiplies the weights before every step. Defaults to `1.0`, no decay.
        parts: The `Parts` of the weights: the loop carries some of them from step to step. Defaults
            to `ALL`, it carries all.

    Returns:
        An `Adaptation` of the carried weights.
    """
    loss_fn = parts.loss(loss_fn, theta)
    so_far = Adaptation(parts.carried(theta), state, _no_loss(order, theta[0].dtype))
    done = 0
    if isinstance(loss_fn, LossAndGradient) and rows(order) != 0:
        so_far, done = _after(so_far, loss_fn, optimizer, order[0], 0, rate), 1
    so_far = steps_between(loss_fn, optimizer, so_far, order, done, rows(order), rate)
    if tail is None:
        return so_far
    return _after(so_far, loss_fn, optimizer, tail, rows(order), rate)


def steps_between(
    loss_fn: Callable | LossAndGradient,
    optimizer: StepRule,
    so_far: Adaptation,
    order: tf.Tensor,
    first: Any,
    last: Any,
    rate: float = 1.0,
    base: Any = 0,
    keeps_last: bool = False,
) -> Adaptation:
    """Runs the steps of `adapt`'s loop from number `first` to before number `last`.

    Args:
        loss_fn, optimizer, order, rate: See `adapt`.
        so_far: The `Adaptation` after the earlier steps.
        first, last: Integers, or integer scalar tensors.
        base: Integer, or integer scalar tensor, the number of the step that takes the first row
            of `order`. Defaults to `0`.
        keeps_last: Boolean, whether to return the weights before the last of these steps.
            Defaults to `False`.

    Returns:
        An `Adaptation`.
    """

    def step(k, weights, state, first_loss, _):
        before = weights if keeps_last else ()
        minibatch = order[k - base]
        loss, weights, state = inner_step(loss_fn, optimizer, weights, state, minibatch, k, rate)
        if not (isinstance(first, int) and first > 0):
            first_loss = tf.where(k == 0, loss, first_loss)
        return k + 1, weights, state, first_loss, before

    before = so_far.weights if keeps_last else ()
    # XLA differentiates a loop only if it knows the number of iterations.
    turns = last - first if isinstance(first, int) else None
    if isinstance(turns, int) and turns == 0:
        # XLA also compiles the body of a loop without iterations, and `order` may have no row.
        return so_far._replace(before_last=before)
    start = (tf.convert_to_tensor(first), *so_far[:3], before)
    # If the number of iterations is known, XLA need not evaluate a condition before each of them.
    more = (lambda *_: True) if turns is not None else (lambda k, *_: k < last)
    _, *so_far = tf.while_loop(more, step, start, maximum_iterations=turns)
    return Adaptation(*so_far)


def adapt_keeping_last(
    loss_fn: Callable | LossAndGradient,
    optimizer: StepRule,
    theta: Sequence,
    state: InnerState,
    order: tf.Tensor,
    tail: tf.Tensor | None = None,
    rate: float = 1.0,
    parts: Parts = ALL,
) -> Adaptation:
    """Runs `adapt`, and also returns the weights before the last step, for first-order MAML.

    The arguments are those of `adapt`. The `Adaptation` has `before_last`.
    """
    earlier, last = split(order, tail)
    before = adapt(loss_fn, optimizer, theta, state, earlier, rate=rate, parts=parts)
    loss_fn = parts.loss(loss_fn, theta)
    after = _after(before, loss_fn, optimizer, last, rows(earlier), rate)
    return after._replace(before_last=before.weights)


def adapt_and_differentiate(
    loss_fn: Callable,
    optimizer: StepRule,
    theta: Sequence,
    state: InnerState,
    order: tf.Tensor,
    tail: tf.Tensor | None = None,
    rate: float = 1.0,
    parts: Parts = ALL,
) -> Adaptation:
    """Runs `adapt`, and also returns the gradient through the inner loop, for MAML.

        d/dtheta L_k(U_{k-1}(theta)) = U'_1(theta) ... U'_{k-1}(W_{k-2}) L'_k(W_{k-1})

    The last minibatch has the role of the test set: its loss at W_{k-1} is differentiated with
    respect to theta. Its step leads to W_k. The inner state at the start is a constant. The
    gradient has all weights, also those that the loop does not carry: they are in each loss.

    The arguments are those of `adapt`. The `Adaptation` has `gradient`.
    """
    earlier, last = split(order, tail)
    theta, k = tuple(tf.identity(t) for t in theta), rows(earlier)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(theta)
        before = adapt(loss_fn, optimizer, theta, state, earlier, rate=rate, parts=parts)
        weights = tuple(parts.seen(theta, decayed(before.weights, rate)))
    loss, gradients = loss_and_gradients(loss_fn, weights, last, k)
    step = parts.carried(weights), parts.carried(gradients), before.state, last, k
    after, state = updated(optimizer, *step)
    gradient = tape.gradient(weights, theta, output_gradients=gradients)
    first_loss = tf.where(k == 0, loss, before.first_loss)
    return Adaptation(after, state, first_loss, gradient=tuple(gradient))


def inner_step(loss_fn, optimizer, weights, state, minibatch, k, rate) -> tuple:
    """Makes step number k. Returns its loss, and the weights and the state after it."""
    weights = decayed(weights, rate)
    loss, gradients = loss_and_gradients(loss_fn, weights, minibatch, k)
    return loss, *updated(optimizer, weights, gradients, state, minibatch, k)


def decayed(weights: tuple, rate: float) -> tuple:
    """Returns the weights at which a step computes its gradient."""
    return weights if rate == 1.0 else tuple(rate * w for w in weights)


def updated(optimizer, weights, gradients, state, minibatch, k) -> tuple:
    """Returns the weights and the state after step number k, by the gradients of its minibatch."""
    # A minibatch of many tasks is (tasks, images).
    clipped = optimizer.clipped(gradients, task_axes=minibatch.shape.rank - 1)
    return optimizer.update(weights, clipped, state, k)


def loss_and_gradients(
    loss_fn: Callable | LossAndGradient, weights: tuple, minibatch: tf.Tensor, step
) -> tuple:
    """Returns a minibatch's loss in the weights' dtype, and its gradients, zeros if unconnected."""
    if isinstance(loss_fn, LossAndGradient):
        return loss_fn.function(weights, minibatch, step)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(weights)
        loss = tf.cast(loss_fn(weights, minibatch, step), weights[0].dtype)
    gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    gradients = tuple(tf.convert_to_tensor(g) for g in gradients)
    for g, w in zip(gradients, weights, strict=True):
        # The shape is lost if the forward pass calls a traced function.
        g.set_shape(w.shape)
    return loss, gradients


def rows(order: tf.Tensor) -> Any:
    """Returns the number of minibatches, an integer if it is known before the graph runs."""
    return order.shape[0] if order.shape[0] is not None else tf.shape(order)[0]


def _no_loss(order, dtype):
    """Returns a zero loss of a minibatch: a scalar, or one for each of many tasks."""
    shape = order.shape[1:-1]
    return tf.zeros(shape if shape.is_fully_defined() else tf.shape(order)[1:-1], dtype)


def split(order: tf.Tensor, tail: tf.Tensor | None) -> tuple:
    """Returns the minibatches before the last one, and the last one."""
    return (order[:-1], order[-1]) if tail is None else (order, tail)


def _after(so_far: Adaptation, loss_fn, optimizer, minibatch, k, rate) -> Adaptation:
    """Returns the `Adaptation` after one more step."""
    weights, state = so_far.weights, so_far.state
    loss, weights, state = inner_step(loss_fn, optimizer, weights, state, minibatch, k, rate)
    return Adaptation(weights, state, tf.where(k == 0, loss, so_far.first_loss))
