"""The inner optimizers, SGD and Adam, as pure update rules on tensors.

The inner loop needs functions. Keras's own optimizers write to variables, and their
`stateless_apply` is not available on the TensorFlow backend. Each rule here takes the same steps as
the Keras optimizer of its name, see `keras_optimizers.from_keras`.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import keras
import tensorflow as tf

LearningRate = float | Callable[[Any], Any]


class InnerState(NamedTuple):
    """The state of an inner optimizer: `step`, the number of updates, and `slots`, the moments.

    `slots` contains one tuple for each kind of moment, with one tensor for each weight.
    """

    step: tf.Tensor
    slots: tuple


@keras.saving.register_keras_serializable(package="keras_reptile")
class TaskSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule for an optimizer that counted `first` steps before the task.

    rate(step) = schedule(step - first)
    """

    def __init__(self, schedule: Any, first: int):
        self.schedule, self.first = schedule, first

    def __call__(self, step: Any) -> Any:
        return self.schedule(step - self.first)

    def get_config(self) -> dict[str, Any]:
        schedule = keras.optimizers.schedules.serialize(self.schedule)
        return {"schedule": schedule, "first": self.first}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "TaskSchedule":
        schedule = keras.optimizers.schedules.deserialize(config["schedule"])
        return cls(schedule, config["first"])


def zeros_like(weights: Sequence) -> tuple:
    return tuple(tf.zeros(w.shape, w.dtype) for w in weights)


@tf.custom_gradient
def root(v: tf.Tensor) -> Any:
    """Computes the square root, with the derivative 0 at 0, because MAML differentiates the step.

    v is 0 where the gradient is 0. There the infinite derivative of the root would be multiplied by
    the zero derivative of the square, and give NaN.
    """
    r = tf.sqrt(v)
    return r, lambda upstream: tf.math.divide_no_nan(upstream, 2 * r)


def at_step(learning_rate: LearningRate, k: Any, dtype) -> tf.Tensor:
    """Returns the learning rate of a task's step number `k`, counted from 0, as in Keras."""
    if callable(learning_rate):
        return tf.cast(learning_rate(tf.convert_to_tensor(k)), dtype)
    return tf.constant(learning_rate, dtype)


class StepRule(Protocol):
    """What the inner loop calls at each of its steps: first `clipped`, then `update`."""

    def clipped(self, gradients: Sequence, task_axes: int = 0) -> tuple:
        """Returns the gradients of a step, clipped. `task_axes` is 1 for many tasks at once."""

    def update(self, weights: Sequence, gradients: Sequence, state: InnerState, k: Any) -> tuple:
        """Returns the weights and the state after a task's step number `k`."""


@dataclasses.dataclass(frozen=True)
class Clipping:
    """Gradient clipping by norm, before an optimizer's step.

        g <- g * c / max(||g||, c)

    clipnorm: Float c, for each weight's gradient separately. Defaults to `None`.
    global_clipnorm: Float c, for the gradients of all weights as one vector. Defaults to `None`.
    """

    clipnorm: float | None = dataclasses.field(default=None, kw_only=True)
    global_clipnorm: float | None = dataclasses.field(default=None, kw_only=True)

    @property
    def elementwise(self) -> bool:
        """Whether a step moves each element of the weights by its own gradient alone."""
        return self.clipnorm is None and self.global_clipnorm is None

    def clipped(self, gradients: Sequence, task_axes: int = 0) -> tuple:
        """Returns the gradients of a step, clipped.

        Args:
            gradients: Sequence of tensors, one for each weight.
            task_axes: Integer, 1 where tasks lie along the first axis. Defaults to `0`.
        """
        if self.clipnorm is not None:
            return tuple(_clipped(g, _norm([g], task_axes), self.clipnorm) for g in gradients)
        if self.global_clipnorm is not None:
            norm = _norm(gradients, task_axes)
            return tuple(_clipped(g, norm, self.global_clipnorm) for g in gradients)
        return tuple(gradients)


def _norm(gradients, task_axes) -> tf.Tensor:
    """Returns the norm of all gradients as one vector: a scalar, or one for each task."""
    squares = (tf.reduce_sum(t * t, range(task_axes, t.shape.rank)) for t in gradients)
    return root(tf.add_n(list(squares)))


def _clipped(gradient, norm, limit) -> tf.Tensor:
    factor = limit / tf.maximum(norm, limit)
    axes_of_one = (1,) * (gradient.shape.rank - norm.shape.rank)
    return gradient * tf.reshape(factor, (*norm.shape, *axes_of_one))


@dataclasses.dataclass(frozen=True)
class InnerSGD(Clipping):
    """SGD: w <- w - a g.

    With momentum: u <- mu u - a g, then w <- w + u, or with Nesterov w <- w + mu u - a g.

    learning_rate: Float, or function of the task's step k, a.
    momentum: Float, mu. Defaults to `0.0`: there is no u.
    nesterov: Boolean. Defaults to `False`.
    """

    learning_rate: LearningRate
    momentum: float = 0.0
    nesterov: bool = False

    def init(self, weights: Sequence) -> InnerState:
        """Returns the state before the first step."""
        slots = (zeros_like(weights),) if self.momentum else ()
        return InnerState(tf.zeros((), tf.int32), slots)

    def update(self, weights: Sequence, gradients: Sequence, state: InnerState, k: Any) -> tuple:
        """Returns the weights and the state after a task's step number `k`."""
        a = at_step(self.learning_rate, k, weights[0].dtype)
        if not self.momentum:
            weights = tuple(w - a * g for w, g in zip(weights, gradients, strict=True))
            return weights, InnerState(state.step + 1, ())
        mu, (velocity,) = self.momentum, state.slots
        velocity = tuple(mu * u - a * g for u, g in zip(velocity, gradients, strict=True))
        moves = velocity
        if self.nesterov:
            moves = tuple(mu * u - a * g for u, g in zip(velocity, gradients, strict=True))
        weights = tuple(w + move for w, move in zip(weights, moves, strict=True))
        return weights, InnerState(state.step + 1, (velocity,))


@dataclasses.dataclass(frozen=True)
class InnerAdam(Clipping):
    """Adam. With beta_1 = 0, the paper's choice, m is g itself and is not stored.

    m <- b1 m + (1 - b1) g,   v <- b2 v + (1 - b2) g^2,
    w <- w - a sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + epsilon)

    t is the number of updates of the moments, which may be carried from task to task. The learning
    rate depends on k, the step of the task.

    learning_rate: Float, or function of the task's step k, a.
    beta_1, beta_2: Floats, b1 and b2.
    epsilon: Float, is added to the root of v.
    """

    learning_rate: LearningRate
    beta_1: float = 0.0
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def init(self, weights: Sequence) -> InnerState:
        """Returns the state before the first step."""
        kinds = 2 if self.beta_1 else 1
        return InnerState(tf.zeros((), tf.int32), tuple(zeros_like(weights) for _ in range(kinds)))

    def update(self, weights: Sequence, gradients: Sequence, state: InnerState, k: Any) -> tuple:
        """Returns the weights and the state after a task's step number `k`."""
        rate = self._corrected_rate(state.step, k, weights[0].dtype)
        momenta = self._first_moment(gradients, state)
        v = tuple(
            self.beta_2 * v + (1 - self.beta_2) * tf.square(g)
            for v, g in zip(state.slots[-1], gradients, strict=True)
        )
        weights = tuple(
            w - rate * m / (root(v) + self.epsilon)
            for w, m, v in zip(weights, momenta, v, strict=True)
        )
        slots = (momenta, v) if self.beta_1 else (v,)
        return weights, InnerState(state.step + 1, slots)

    def _corrected_rate(self, step, k, dtype):
        t = tf.cast(step + 1, dtype)
        correction = tf.sqrt(1 - tf.pow(tf.constant(self.beta_2, dtype), t))
        if self.beta_1:
            correction /= 1 - tf.pow(tf.constant(self.beta_1, dtype), t)
        return at_step(self.learning_rate, k, dtype) * correction

    def _first_moment(self, gradients, state):
        if not self.beta_1:
            return tuple(gradients)
        return tuple(
            self.beta_1 * m + (1 - self.beta_1) * g
            for m, g in zip(state.slots[0], gradients, strict=True)
        )
