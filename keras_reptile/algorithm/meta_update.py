"""The outer step: the paper's equations as pure functions of tensors.

Symbols: theta is the initialization and epsilon the meta-step size. For a task, U_j is inner step
number j of k, L_j the loss of its minibatch, and W_j the weights after it. W_i = W_k is the
solution of task i.
"""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.checks import check_number, check_positive


def reptile_gradient(theta: Sequence, solutions: Sequence) -> list:
    """Computes Reptile's meta-gradient: the initialization minus the mean of the tasks' solutions.

    With SGD of learning rate epsilon as the outer optimizer, it is the paper's batched algorithm:

        theta <- theta - epsilon * (theta - mean_i W_i) = theta + epsilon * mean_i (W_i - theta)

    Args:
        theta: Sequence of tensors, the weights before adaptation.
        solutions: Sequence of tensors `(meta_batch_size, *shape of the weight)`, the weights of
            every task after its inner steps.

    Returns:
        List of tensors shaped like `theta`.

    Example:

    >>> gradient = reptile_gradient([tf.constant([1.0])], [tf.constant([[0.0], [1.0]])])
    >>> float(gradient[0][0])
    0.5

    Reference: [Nichol, Achiam, Schulman, 2018](https://arxiv.org/abs/1803.02999), section 3.
    """
    return [t - tf.reduce_mean(w, axis=0) for t, w in zip(theta, solutions, strict=True)]


def fomaml_gradient(before_last: Sequence, solutions: Sequence) -> list:
    """Computes first-order MAML's meta-gradient: the mean of the tasks' last steps, negated.

    With SGD of learning rate epsilon as the outer optimizer, only the last step moves theta:

        theta <- theta - epsilon * mean_i (W_{k-1} - W_k)

    The last step is that of the inner optimizer, as in the authors' program. For inner SGD with
    learning rate a it is a times the last minibatch's gradient at W_{k-1}. For inner Adam it is
    Adam's step.

    Args:
        before_last: Sequence of tensors `(meta_batch_size, *shape of the weight)`, W_{k-1}, the
            weights of every task before its last inner step.
        solutions: Sequence of tensors of the same shapes, W_k, the weights after it.

    Returns:
        List of tensors, each of the shape of a weight.

    Example:

    >>> gradient = fomaml_gradient([tf.constant([[1.0], [2.0]])], [tf.constant([[0.5], [0.5]])])
    >>> float(gradient[0][0])
    1.0

    Reference: [Nichol, Achiam, Schulman, 2018](https://arxiv.org/abs/1803.02999), section 2.
    """
    return [tf.reduce_mean(b - w, axis=0) for b, w in zip(before_last, solutions, strict=True)]


def maml_gradient(gradients: Sequence) -> list:
    """Computes MAML's meta-gradient: the mean over tasks of the last loss's gradient at theta.

        mean_i d/dtheta L_k(U_{k-1}(... U_1(theta)))
            = mean_i U'_1(theta) ... U'_{k-1}(W_{k-2}) L'_k(W_{k-1})

    This is the gradient of a loss. `fomaml_gradient` is a step of the inner optimizer: for k = 1
    and inner SGD with learning rate a, it is a times MAML's. So MAML needs another meta-step size.

    Args:
        gradients: Sequence of tensors `(meta_batch_size, *shape of the weight)`, every task's
            gradient from `adaptation.adapt_and_differentiate`.

    Returns:
        List of tensors, each of the shape of a weight.

    Example:

    >>> float(maml_gradient([tf.constant([[1.0], [2.0]])])[0][0])
    1.5

    Reference: [Finn, Abbeel, Levine, 2017](https://arxiv.org/abs/1703.03400); in these symbols
    [Nichol, Achiam, Schulman, 2018](https://arxiv.org/abs/1803.02999), section 5.
    """
    return [tf.reduce_mean(g, axis=0) for g in gradients]


def linear_meta_step(
    initial: float, final: float, meta_iterations: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the paper's schedule of the meta-step size, which changes linearly over training.

        epsilon_i = (1 - i / N) * epsilon_0 + (i / N) * epsilon_N

    Args:
        initial: Float, epsilon_0, the meta-step size of the first meta-iteration.
        final: Float, epsilon_N, the meta-step size after `meta_iterations`. It then stays.
        meta_iterations: Integer, N, at least 1.

    Returns:
        A `keras.optimizers.schedules.PolynomialDecay`, for the learning rate of the outer
        optimizer. It is saved and loaded with the model.

    Raises:
        ValueError: If `meta_iterations` is less than 1, or a meta-step size is negative or not
            finite.

    Example:

    >>> schedule = linear_meta_step(1.0, 0.0, meta_iterations=100)
    >>> float(schedule(25))
    0.75
    """
    meta_iterations = check_positive("meta_iterations", meta_iterations)
    check_number("initial", initial)
    check_number("final", final)
    if initial < 0 or final < 0:
        raise ValueError(
            "Meta-step sizes must not be negative: weights would move away from the solutions. "
            f"Received: initial={initial}, final={final}."
        )
    return keras.optimizers.schedules.PolynomialDecay(
        initial, decay_steps=meta_iterations, end_learning_rate=final, power=1.0
    )


@keras.saving.register_keras_serializable(package="keras_reptile")
class ReannealedMetaStep(keras.optimizers.schedules.LearningRateSchedule):
    """A linear meta-step size for a run whose number of meta-iterations was changed.

    From meta-iteration f_j on, the size changes linearly from its current value to that at N_j:

        epsilon_i = (1 - t) * epsilon_{f_j} + t * epsilon_N,   t = (i - f_j) / (N_j - f_j)

    Args:
        initial: Float, the meta-step size of the first meta-iteration.
        final: Float, the meta-step size at the end.
        lengths: Sequence of pairs of integers `(f_j, N_j)` with f_0 = 0 and f_j < f_{j+1} < N_j.

    Example:

    >>> schedule = ReannealedMetaStep(1.0, 0.0, [(0, 100), (50, 200)])
    >>> [float(schedule(step)) for step in (25, 50, 125, 200)]
    [0.75, 0.5, 0.25, 0.0]
    """

    def __init__(self, initial: float, final: float, lengths: Sequence[Sequence[int]]):
        self.initial, self.final = initial, final
        self.lengths = [(int(first), int(last)) for first, last in lengths]
        self.parts, size = [], initial
        for i, (first, last) in enumerate(self.lengths):
            if i:
                before, end = self.lengths[i - 1]
                size += (final - size) * (first - before) / (end - before)
            self.parts.append(linear_meta_step(size, final, last - first))

    def __call__(self, step: Any) -> tf.Tensor:
        size = self.parts[0](step)
        for (first, _), part in zip(self.lengths[1:], self.parts[1:], strict=True):
            size = tf.where(tf.cast(step, tf.int64) >= first, part(step - first), size)
        return size

    def get_config(self) -> dict[str, Any]:
        return {"initial": self.initial, "final": self.final, "lengths": self.lengths}
