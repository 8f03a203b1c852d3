"""Finds the layers in which two networks differ: that of a checkpoint, and that of a function."""

import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

# The entries of a layer's configuration with which a trained layer computes the same.
WITHOUT_EFFECT = ("name", "seed", "build_config", "module", "registered_name")
INITIALIZER = "initializer"


def changes(before: keras.Model, now: keras.Model) -> list[str]:
    """Returns the differences between the layers of two networks, in words.

    Names of layers, seeds and initializers are no differences. A network that is not built may lack
    layers that its `build` makes: then nothing is compared.

    Example:

    >>> before, now = (
    ...     keras.Sequential([keras.Input((4,)), keras.layers.Dense(n, "relu")]) for n in (2, 3)
    ... )
    >>> changes(before, now)
    ['layer 1, Dense: units=2 (now 3), weights=[[4, 2], [2]] (now [[4, 3], [3]])']
    >>> changes(now, keras.models.clone_model(now))
    []
    """
    if not (before.built and now.built):
        return []
    found = [_change(*pair) for pair in itertools.zip_longest(layers_of(before), layers_of(now))]
    return [f"layer {number}{text}" for number, text in enumerate(found, 1) if text]


def layers_of(network: keras.Model) -> Iterator[keras.layers.Layer]:
    """Yields the layers of a network and of the networks in it, but those of inputs."""
    for layer in network.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        elif not isinstance(layer, keras.layers.InputLayer):
            yield layer


def _change(before, now) -> str:
    kinds = [type(layer).__name__ if layer else "missing" for layer in (before, now)]
    if kinds[0] != kinds[1]:
        return f": {kinds[0]} (now {kinds[1]})"
    a, b = (_plain(layer.get_config()) for layer in (before, now))
    if before.weights and now.weights:
        a["weights"], b["weights"] = map(_shapes, (before, now))
    different = [f"{k}={a.get(k)} (now {b.get(k)})" for k in {**a, **b} if a.get(k) != b.get(k)]
    return f", {kinds[0]}: {', '.join(different)}" if different else ""


def _shapes(layer) -> list[list[int]]:
    return [list(weight.shape) for weight in layer.weights]


def _plain(value: Any) -> Any:
    """Returns a configuration as it is after saving and loading, without what has no effect."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if k not in WITHOUT_EFFECT}
        return {k: _plain(v) for k, v in kept.items() if not str(k).endswith(INITIALIZER)}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | int | float):
        return value
    return _plain(keras.saving.serialize_keras_object(value))
