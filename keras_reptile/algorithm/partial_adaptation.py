"""An inner loop that moves some of the weights, under an outer loop that moves all of them.

theta = (phi, psi). The inner loop moves psi alone, as in ANIL: phi stays in every loss.

    psi_j = U(rate * psi_{j-1}, grad_psi L_j(phi, rate * psi_{j-1})),    psi_0 = psi

The displacement of phi is zero. So the loop records the steps that U would make with phi:

    phi_j = U(rate * phi_{j-1}, grad_phi L_j(phi, rate * psi_{j-1})),    phi_0 = phi

In the meta-gradient, (phi_k, psi_k) replaces W_k, and (phi_{k-1}, psi_{k-1}) replaces W_{k-1}. The
equations are those of an inner loop that moves all weights, except that each loss is computed at
phi instead of phi_j. With inner SGD of rate a, phi's gradients from Reptile and from FOMAML are

    a * sum_j grad_phi L_j(phi, psi_{j-1})    and    a * grad_phi L_k(phi, psi_{k-1})

MAML differentiates, and needs no record: phi's gradient is d/dphi L_k(phi, psi_{k-1}(phi, psi)).

Reference: [Raghu, Raghu, Bengio, Vinyals, 2019](https://arxiv.org/abs/1909.09157).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_reptile.algorithm.inner_optimizers import InnerState


def part(tensors: Sequence, moved: Sequence[int]) -> tuple:
    """Returns the tensors that belong to psi.

    Args:
        tensors: Sequence of tensors, one for each weight.
        moved: Sequence of integers, the positions of psi's weights.
    """
    return tuple(tensors[i] for i in moved)


def with_part(tensors: Sequence, psi: Sequence, moved: Sequence[int]) -> tuple:
    """Returns the tensors, with those of psi replaced.

    Example:

    >>> with_part(["phi", "old"], ["psi"], [1])
    ('phi', 'psi')
    """
    of_psi = dict(zip(moved, psi, strict=True))
    return tuple(of_psi.get(i, t) for i, t in enumerate(tensors))


def recording(theta: Sequence, weights: Sequence, moved: Sequence[int]) -> tuple:
    """Returns the values (phi, psi_j) for a loss, with a gradient for (phi_j, psi_j).

    Args:
        theta: Sequence of tensors, (phi, psi).
        weights: Sequence of tensors, (phi_j, psi_j).
        moved: Sequence of integers, the positions of psi's weights.

    Example:

    >>> phi, phi_j = tf.constant(1.0), tf.constant(5.0)
    >>> with tf.GradientTape() as tape:
    ...     tape.watch(phi_j)
    ...     loss = recording([phi], [phi_j], [])[0] ** 2
    >>> float(loss), float(tape.gradient(loss, phi_j))
    (1.0, 2.0)
    """
    return tuple(
        # Before the first step, t and w are the same tensor.
        w if i in moved else tf.stop_gradient(t) + (w - tf.stop_gradient(w))
        for i, (t, w) in enumerate(zip(theta, weights, strict=True))
    )


@dataclasses.dataclass(frozen=True)
class ClippedApart:
    """An inner optimizer that clips the gradients of psi and phi separately."""

    rule: Any
    moved: tuple[int, ...]

    def clipped(self, gradients: Sequence, task_axes: int = 0) -> tuple:
        others = [i for i in range(len(gradients)) if i not in self.moved]
        for positions in (self.moved, others):
            clipped = self.rule.clipped(part(gradients, positions), task_axes)
            gradients = with_part(gradients, clipped, positions)
        return tuple(gradients)

    def update(self, weights: Sequence, gradients: Sequence, state: InnerState, k: Any) -> tuple:
        return self.rule.update(weights, gradients, state, k)


@dataclasses.dataclass(frozen=True)
class Parts:
    """The weights of a network in two parts, psi and phi, for an inner loop.

    The loop computes psi, and also phi if its steps are recorded. These are the carried weights.

    moved: Tuple of integers, the positions of psi's weights among all. Defaults to `None`: psi is
        all weights.
    records: Boolean, whether the steps of phi are recorded, for the outer loop.
        Defaults to `False`.
    """

    moved: tuple[int, ...] | None = None
    records: bool = False

    def carried(self, tensors: Sequence) -> tuple:
        """Returns the carried weights' tensors, from those of all weights."""
        if self.moved is None or self.records:
            return tuple(tensors)
        return part(tensors, self.moved)

    def whole(self, tensors: Sequence, carried: Sequence) -> tuple:
        """Returns the tensors of all weights, with those of the carried weights replaced."""
        if self.moved is None or self.records:
            return tuple(carried)
        return with_part(tensors, carried, self.moved)

    def carried_state(self, state: InnerState) -> InnerState:
        """Returns the state of the carried weights."""
        return state._replace(slots=tuple(map(self.carried, state.slots)))

    def whole_state(self, state: InnerState, carried: InnerState) -> InnerState:
        """Returns the state of all weights, with that of the carried weights replaced."""
        return carried._replace(slots=tuple(map(self.whole, state.slots, carried.slots)))

    def loss(self, loss_fn: Any, theta: Sequence) -> Any:
        """Returns the loss of the carried weights.

        Args:
            loss_fn: Function `(weights, ...)` of all weights to a loss.
            theta: Sequence of tensors, one for each weight.
        """
        if self.moved is None:
            return loss_fn
        return lambda carried, *given: loss_fn(self.seen(theta, carried), *given)

    def seen(self, theta: Sequence, carried: Sequence) -> Sequence:
        """Returns the weights for a loss, with a gradient for the carried weights."""
        if self.moved is not None and self.records:
            return recording(theta, carried, self.moved)
        return self.solution(theta, carried)

    def solution(self, theta: Sequence, weights: Sequence) -> Sequence:
        """Returns the weights for predictions: phi from theta, and psi from `weights`.

        Args:
            theta: Sequence of tensors, one for each weight.
            weights: Sequence of tensors, those of the carried weights or of all.
        """
        if self.moved is None:
            return weights
        psi = weights if len(weights) == len(self.moved) else part(weights, self.moved)
        return with_part(theta, psi, self.moved)

    def optimizer(self, rule: Any) -> Any:
        """Returns the inner optimizer for the carried weights."""
        if self.moved is None or not self.records or rule.elementwise:
            return rule
        return ClippedApart(rule, self.moved)


ALL = Parts()
