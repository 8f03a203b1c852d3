"""Traced functions of a model, each made once until the model changes."""

from collections.abc import Callable
from typing import Any

from keras_reptile.keras_internals import all_layers

# Attributes of a `ReptileModel` that are constants in a trace.
SETTINGS = (
    "method",
    "inner_state",
    "task_order",
    "task_parallelism",
    "inner_weight_decay_rate",
    "transductive",
    "byte_scale",
    "head",
    "inner_trainable",
    "jit_inner_loops",
    "run_eagerly",
)


class Traces:
    """Objects that are made for a model once, and made again after the model has changed.

    A trace depends on the model's settings and on which layers are trainable. TensorFlow never
    frees a trace with a custom gradient, so each is made once.

    Args:
        model: A `ReptileModel`.
    """

    def __init__(self, model: Any):
        self.model = model
        self._made: dict[Any, Any] = {}
        self._made_for: dict[str, tuple] = {}

    def made_once(self, key: Any, make: Callable) -> Any:
        """Returns the object of a key; `make` is called for it once since the last change."""
        if self.are_stale("made"):
            self._made.clear()
        if key in (made := self._made):
            return made[key]
        # All threads use the object of the fastest one.
        return made.setdefault(key, make())

    def are_stale(self, name: str) -> bool:
        """Returns whether the model has changed since the last call with this name."""
        now = dependencies(self.model)
        before = self._made_for.get(name, now)
        self._made_for[name] = now
        # A network that was not built then was built before its first trace. This is no change.
        return before[0] != now[0] or (before[1] is not None and before[1] != now[1])

    def forget(self) -> None:
        """Forgets all objects, as after `compile`."""
        self._made.clear()
        self._made_for.clear()


def dependencies(model: Any) -> tuple:
    """Returns the model's settings, and which layers and weights are trainable, if it is built."""
    network = model.network
    settings = tuple(getattr(model, name) for name in SETTINGS)
    if not network.built:
        return settings, None
    layers = [layer.trainable for layer in all_layers(network, itself=True)]
    return settings, (*layers, *map(id, network.trainable_variables))
