"""The outer step: the paper's equations as pure functions of tensors.

Symbols: theta is the initialization, W_i the solution of task i, epsilon the meta-step size.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf


def reptile_gradient(theta: Sequence, solutions: Sequence) -> list:
    """Reptile's meta-gradient: the initialization minus the mean of the tasks' solutions.

    Handed to SGD with learning rate epsilon it is the batched algorithm of the paper:

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


def linear_meta_step(
    initial: float, final: float, meta_iterations: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """The paper's meta-step size, annealed linearly over training.

        epsilon_i = (1 - i / N) * epsilon_0 + (i / N) * epsilon_N

    Args:
        initial: Float, epsilon_0, the meta-step size of the first meta-iteration.
        final: Float, epsilon_N, reached after `meta_iterations` and kept from there on.
        meta_iterations: Integer, N, at least 1.

    Returns:
        A `keras.optimizers.schedules.PolynomialDecay`: give it to the outer optimizer as its
        learning rate, and it is saved and loaded with the model.

    Raises:
        ValueError: If `meta_iterations` is less than 1, or a meta-step size is negative.

    Example:

    >>> schedule = linear_meta_step(1.0, 0.0, meta_iterations=100)
    >>> float(schedule(25))
    0.75
    """
    if meta_iterations < 1:
        raise ValueError(
            f"`meta_iterations` must be at least 1. Received: meta_iterations={meta_iterations}."
        )
    if initial < 0 or final < 0:
        raise ValueError(
            "Meta-step sizes must not be negative, or the weights move away from the solutions. "
            f"Received: initial={initial}, final={final}."
        )
    return keras.optimizers.schedules.PolynomialDecay(
        initial, decay_steps=meta_iterations, end_learning_rate=final, power=1.0
    )
