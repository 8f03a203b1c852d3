"""The `Plan` of a model on the devices of this process."""

import contextlib
from typing import Any

import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.execution.plan import Plan
from keras_reptile.kernels import devices
from keras_reptile.threads import usable_cores


def plan_of(model: Any, training: bool = False, eagerly: bool | None = None) -> Plan:
    """Returns the plan of a model's tasks on the devices of its strategy.

    Args:
        model: A `ReptileModel`.
        training: Boolean, see `Plan.of`. Defaults to `False`.
        eagerly: Boolean, see `Plan.of`. Defaults to `None`: whether TensorFlow runs eagerly now.
    """
    # On a replica, the strategy is already the current one, and its scope cannot be entered.
    outside = model.has_strategy and not tf.distribute.has_strategy()
    with model.distribute_strategy.scope() if outside else contextlib.nullcontext():
        kinds, replicas = devices.device_kinds(), distribution.replicas()
    return Plan.of(
        model,
        kinds,
        replicas=replicas if model.has_strategy else None,
        cores=usable_cores(),
        training=training,
        eagerly=tf.executing_eagerly() if eagerly is None else eagerly,
    )
