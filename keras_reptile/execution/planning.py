"""The `Plan` of a model's settings on the devices of this process."""

import contextlib

import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.execution.plan import Plan
from keras_reptile.execution.settings import Settings
from keras_reptile.kernels import devices
from keras_reptile.threads import usable_cores


def plan_of(
    settings: Settings,
    strategy: tf.distribute.Strategy | None,
    training: bool = False,
    eagerly: bool | None = None,
) -> Plan:
    """Returns the plan of a model's tasks on the devices of its strategy.

    Args:
        settings: The model's `Settings`.
        strategy: The strategy in whose scope the model was made, or `None`.
        training: Boolean, see `Plan.of`. Defaults to `False`.
        eagerly: Boolean, see `Plan.of`. Defaults to `None`: whether TensorFlow runs eagerly now.
    """
    # On a replica, the strategy is already the current one, and its scope cannot be entered.
    outside = None if tf.distribute.has_strategy() else strategy
    with outside.scope() if outside is not None else contextlib.nullcontext():
        kinds, replicas = devices.device_kinds(), distribution.replicas()
    return Plan.of(
        settings,
        kinds,
        replicas=replicas if strategy is not None else None,
        cores=usable_cores(),
        training=training,
        eagerly=tf.executing_eagerly() if eagerly is None else eagerly,
    )
