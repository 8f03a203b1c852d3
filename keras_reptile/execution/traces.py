"""Functions that TensorFlow traced for a model, for as long as they are the model's."""

from collections.abc import Callable
from typing import Any

from keras_reptile.keras_internals import all_layers

# Attributes of a `ReptileModel` that a trace has as constants.
SETTINGS = (
    "method",
    "inner_state",
    "task_order",
    "task_parallelism",
    "inner_weight_decay_rate",
    "transductive",
    "byte_scale",
    "jit_inner_loops",
    "run_eagerly",
)


class Traces:
    """What was made for a model once, until what it depends on is another.

    A trace holds fast which layers were trainable when it was made. TensorFlow keeps a part of
    every trace with a custom gradient for ever, so that each is made once.

    Args:
        model: A `ReptileModel`.
    """

    def __init__(self, model: Any):
        self.model = model
        self._made: dict[Any, Any] = {}
        self._made_for: dict[str, tuple] = {}

    def made_once(self, key: Any, make: Callable) -> Any:
        """What `make` returned for this key, when it was called first since the last change."""
        if self.are_stale("made"):
            self._made.clear()
        if key in (made := self._made):
            return made[key]
        # Another thread may have been faster: all use the same.
        return made.setdefault(key, make())

    def are_stale(self, name: str) -> bool:
        """Whether the model is another than when this was last asked for this name."""
        now = dependencies(self.model)
        before = self._made_for.get(name, now)
        self._made_for[name] = now
        # What was made for a network that was not built was traced once it was.
        return before[0] != now[0] or (before[1] is not None and before[1] != now[1])

    def forget(self) -> None:
        """Has all be made anew, as after `compile`, which drops Keras's functions itself."""
        self._made.clear()
        self._made_for.clear()


def dependencies(model: Any) -> tuple:
    """The model's settings, and which of its layers and weights are trainable, if it is built."""
    network = model.network
    settings = tuple(getattr(model, name) for name in SETTINGS)
    if not network.built:
        return settings, None
    layers = [layer.trainable for layer in all_layers(network, itself=True)]
    return settings, (*layers, *map(id, network.trainable_variables))
