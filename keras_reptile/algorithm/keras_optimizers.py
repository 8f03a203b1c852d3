"""Inner optimizers from the optimizers of Keras, after checks of their hyper-parameters."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_reptile.algorithm.inner_optimizers import Clipping, InnerAdam, InnerSGD, LearningRate
from keras_reptile.checks import as_float

ADVICE = "The policies 'mixed_bfloat16' and 'mixed_float16' compute in 16 bits on float32 weights."
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
