"""Where and how the tasks of a model are computed, in words: all of it is chosen unless told."""

import contextlib
from typing import Any

from keras_reptile.execution import meta_batch
from keras_reptile.kernels import devices
from keras_reptile.threads import usable_cores


def in_words(model: Any) -> str:
    """A sentence for people to see at the start of a run.

    Example:

    >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> model = keras_reptile.ReptileModel(network)
    >>> model.compile(keras.optimizers.SGD(1.0))
    >>> in_words(model).replace(str(usable_cores()), "2")
    'Tasks run side by side on 2 cores (--task_parallelism), not compiled by XLA (--jit_compile).'
    """
    strategy = model.distribute_strategy if model.has_strategy else None
    with strategy.scope() if strategy else contextlib.nullcontext():
        kinds = devices.device_kinds()
        together = meta_batch.wants_one_batch(model) and model.method != "maml"
    order = "one after another" if model.task_order == "serial" else "side by side"
    if together:
        order = "as one batch"
    compiled = "" if together or _compiled(model, kinds) else "not "
    return (
        f"Tasks run {order} on {_devices(strategy, kinds)} (--task_parallelism), "
        f"{compiled}compiled by XLA (--jit_compile)."
    )


def _compiled(model, kinds) -> bool:
    if "TPU" in kinds:
        return True
    told = model.jit_inner_loops if "GPU" in kinds else model.jit_inner_loops is True
    return bool(told) and model.method != "maml"


def _devices(strategy, kinds) -> str:
    replicas = strategy.num_replicas_in_sync if strategy else 1
    kind = next((kind for kind in ("TPU", "GPU") if kind in kinds), "CPU")
    if replicas > 1:
        return f"{replicas} {kind} replicas"
    return f"{usable_cores()} cores" if kind == "CPU" else f"a {kind}"
