"""Traced functions of a model, each made once until the model changes."""

from collections.abc import Callable
from typing import Any

import keras

from keras_reptile.algorithm.methods import METHODS
from keras_reptile.execution.settings import Settings
from keras_reptile.keras_internals import all_layers


class Traces:
    """Objects that are made for a model once, and made again after the model has changed.

    A trace depends on the model's settings and on which layers are trainable: see `dependencies`,
    which are the argument `now` below. TensorFlow never frees a trace with a custom gradient, so
    each is made once.
    """

    def __init__(self):
        self._made: dict[Any, Any] = {}
        self._made_for: dict[str, tuple] = {}

    def made_once(self, now: tuple, key: Any, make: Callable) -> Any:
        """Returns the object of a key; `make` is called for it once since the last change."""
        if self.are_stale(now, "made"):
            self._made.clear()
        if key in (made := self._made):
            return made[key]
        # All threads use the object of the fastest one.
        return made.setdefault(key, make())

    def are_stale(self, now: tuple, name: str) -> bool:
        """Returns whether the model has changed since the last call with this name."""
        before = self._made_for.get(name, now)
        self._made_for[name] = now
        # The network may have been built since the last call, but before its first trace. This is
        # no change.
        return before[0] != now[0] or (before[1] is not None and before[1] != now[1])

    def forget(self) -> None:
        """Forgets all objects, as after `compile`."""
        self._made.clear()
        self._made_for.clear()


def dependencies(network: keras.Model, settings: Settings, run_eagerly: bool) -> tuple:
    """Returns what a model's traces depend on: settings, and layers and weights that are trainable.

    The second is `None` if the network is not built.
    """
    # A method may have been registered again with another gradient.
    first = settings.of_a_trace(), run_eagerly, METHODS.get(settings.method)
    if not network.built:
        return first, None
    layers = [layer.trainable for layer in all_layers(network, itself=True)]
    return first, (*layers, *map(id, network.trainable_variables))
