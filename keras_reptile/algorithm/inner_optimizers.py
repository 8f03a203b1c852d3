"""The inner optimizers, SGD and Adam, as pure update rules on tensors.

The inner loop needs functions. Keras's own optimizers write to variables, and their
`stateless_apply` is not available on the TensorFlow backend. Each rule here takes the same steps as
the Keras optimizer of its name, and is built from one.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_reptile.checks import as_float

ADVICE = "The policies 'mixed_bfloat16' and 'mixed_float16' compute in 16 bits on float32 weights."

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
    """w <- w - a g; with momentum u <- mu u - a g, w <- w + u; Nesterov: w <- w + mu u - a g."""

    learning_rate: LearningRate
    momentum: float = 0.0
    nesterov: bool = False

    def init(self, weights: Sequence) -> InnerState:
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
    """

    learning_rate: LearningRate
    beta_1: float = 0.0
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def init(self, weights: Sequence) -> InnerState:
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


CLIPPING = tuple(field.name for field in dataclasses.fields(Clipping))
RULES = {
    keras.optimizers.SGD: (InnerSGD, ("momentum", "nesterov", *CLIPPING)),
    keras.optimizers.Adam: (InnerAdam, ("beta_1", "beta_2", "epsilon", *CLIPPING)),
}
SUPPORTED = (
    "SGD(learning_rate, momentum, nesterov) and Adam(learning_rate, beta_1, beta_2, epsilon), "
    "with clipnorm or global_clipnorm"
)


def from_keras(optimizer: keras.optimizers.Optimizer) -> InnerSGD | InnerAdam:
    """Returns the pure update rule with a Keras optimizer's hyper-parameters.

    Args:
        optimizer: A `keras.optimizers.SGD` or `keras.optimizers.Adam`. Its learning rate may be a
            `LearningRateSchedule`, called with the number of the task's steps so far. It starts
            again with every task, also if moments and their step count are carried.

    Raises:
        ValueError: For any other optimizer, and for hyper-parameters that the rules do not have
            (weight decay, clipping by value, averaging, AMSGrad, ...), or that are out of range.
    """
    if type(optimizer) not in RULES:
        raise ValueError(
            f"`inner_optimizer` must be one of {SUPPORTED}, or its Keras name or config. "
            f"Received: {type(optimizer).__name__}."
        )
    rule, hyper_parameters = RULES[type(optimizer)]
    _refuse_the_unsupported(optimizer, hyper_parameters)
    values = {name: getattr(optimizer, name) for name in hyper_parameters}
    rate = _learning_rate(optimizer)
    check_ranges({"learning_rate": rate, **values})
    return rule(rate, **values)


def optimizer_of(name: str, identifier: Any) -> keras.optimizers.Optimizer:
    """Returns the Keras optimizer of an identifier; `name` is the name of the argument."""
    if identifier is None or (isinstance(identifier, dict) and "class_name" not in identifier):
        raise ValueError(
            f"`{name}` must be a Keras optimizer, its name or its config. "
            f"Received: {name}={identifier!r}."
        )
    return keras.optimizers.get(identifier)


def check_weight_decay(rate: Any) -> None:
    """Raises `ValueError` for a rate that is not in (0, 1]."""
    if not 0 < as_float(rate) <= 1:
        raise ValueError(
            "`inner_weight_decay_rate` multiplies the weights, and must be in (0, 1]. "
            f"Received: inner_weight_decay_rate={rate!r}."
        )


# Outside of these ranges a step divides by zero, or moments grow without bound.
RANGES = {
    "learning_rate": ("a number of at least 0", lambda a: 0 <= a < math.inf),
    "momentum": ("in [0, 1)", lambda mu: 0 <= mu < 1),
    "beta_1": ("in [0, 1)", lambda b: 0 <= b < 1),
    "beta_2": ("in [0, 1)", lambda b: 0 <= b < 1),
    "epsilon": ("a number above 0", lambda e: 0 < e < math.inf),
    "clipnorm": ("a number above 0", lambda c: 0 < c < math.inf),
    "global_clipnorm": ("a number above 0", lambda c: 0 < c < math.inf),
}


def check_ranges(values: dict[str, Any]) -> None:
    """Raises `ValueError` for hyper-parameters, with Keras's names, that are out of range."""
    for name, value in values.items():
        if name not in RANGES or callable(value) or value is None:
            continue
        words, within = RANGES[name]
        if not within(as_float(value)):
            raise ValueError(
                f"The inner optimizer's `{name}` must be {words}. Received: {name}={value}."
            )


def _refuse_the_unsupported(optimizer, hyper_parameters) -> None:
    # `ema_momentum` is a number also without `use_ema`, and then has no effect.
    known = {"name", "learning_rate", "ema_momentum", *hyper_parameters}
    extra = {
        name: value
        for name, value in optimizer.get_config().items()
        if name not in known and value not in (None, False)
    }
    if extra:
        raise ValueError(
            f"The inner loop supports {SUPPORTED}. "
            f"Received: a {type(optimizer).__name__} that also has {extra}. Leave these out."
        )


def _learning_rate(optimizer) -> LearningRate:
    configured = optimizer.get_config()["learning_rate"]
    if isinstance(configured, dict):
        return keras.optimizers.schedules.deserialize(configured)
    # A float that passed through a float32 variable is 0.003000000026. The shortest decimal of the
    # same float32 is the number that the user wrote.
    return float(str(np.asarray(optimizer.learning_rate)[()]))


def check_dtypes(rule: Any, weights: Sequence) -> None:
    """Raises `ValueError` for weights of several dtypes, and for Adam on weights of 16 bits.

    In bfloat16 Adam's beta_2, 0.999, is 1, so that its steps are 0. In float16 its epsilon, 1e-8,
    is 0, so that a gradient of 0 makes a weight NaN. Keras's own Adam does the same.
    """
    dtypes = sorted({w.dtype for w in weights})
    received = f"Received: {', '.join(dtypes)}. {ADVICE}"
    if len(dtypes) > 1:
        raise ValueError(f"An inner loop moves trainable weights of one dtype. {received}")
    if isinstance(rule, InnerAdam) and {"bfloat16", "float16"} & set(dtypes):
        raise ValueError(f"Inner Adam moves weights of 32 bits or more. {received}")
