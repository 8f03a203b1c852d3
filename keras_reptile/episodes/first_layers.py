"""What the first layers of a network tell about the numbers that it takes.

An input is followed through layers without weights to the first ones with weights. Custom layers
and `Lambda` are not looked into.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

# A factor below SMALL, or an offset beyond LARGE, is for numbers up to 255, not up to 1.
SMALL, LARGE = 0.1, 10.0

# Layers that take positions or categories, declared as integers or not.
LOOKUPS = (
    keras.layers.Embedding,
    keras.layers.CategoryEncoding,
    keras.layers.Discretization,
    keras.layers.Hashing,
    keras.layers.IntegerLookup,
)


def declared_inputs(network: Any) -> list:
    """The inputs of a functional or sequential network; none of another, or one not built."""
    # A subclassed network may have an attribute of that name, and mean anything by it.
    found = getattr(network, "inputs", None)
    return found if isinstance(found, list) else []


def looks_up(network: Any, given: Any = None) -> bool:
    """Whether an input is looked up: its numbers are positions, or categories.

    Args:
        network: A `keras.Model`.
        given: The input, one of `network.inputs`. Defaults to `None`, for a network without
            declared inputs: all of its layers count as the first.

    Example:

    >>> layers = [keras.Input((5,)), keras.layers.Embedding(10, 4)]
    >>> network = keras.Sequential(layers)
    >>> looks_up(network, network.inputs[0])
    True
    """
    return any(isinstance(step, LOOKUPS) for step, _ in _first(network, given))


def takes_bytes(network: Any, given: Any = None) -> bool:
    """Whether the first layers are for numbers up to 255, as `Rescaling(1 / 255)` is.

    Args:
        network, given: See `looks_up`.

    Example:

    >>> layers = [keras.Input((5,)), keras.layers.Rescaling(1 / 255), keras.layers.Dense(3)]
    >>> network = keras.Sequential(layers)
    >>> takes_bytes(network, network.inputs[0])
    True
    """
    return any(_is_for_bytes(*step) for step in _first(network, given))


def _first(network, given) -> Iterator[tuple]:
    """Operations that an input reaches before and at the first weights, with their constants."""
    if isinstance(network, keras.Sequential):
        return _in_a_row(network.layers)
    if given is not None and hasattr(network, "operations"):
        return _along(network, given)
    return _inside(network)


def _in_a_row(layers) -> Iterator[tuple]:
    for layer in layers:
        yield from _at(layer)
        if layer.weights:
            return


def _along(network, given) -> Iterator[tuple]:
    reached = {id(given)}
    for operation in network.operations:
        for node in operation._inbound_nodes:
            if not any(id(t) in reached for t in node.input_tensors):
                continue
            yield from _at(operation, _constants(node))
            if not getattr(operation, "weights", None):
                reached |= {id(t) for t in node.outputs}


def _at(operation, constants=()) -> Iterator[tuple]:
    """The operation itself, or the first of those that it is made of."""
    yield operation, constants
    if isinstance(operation, keras.Model):
        for given in declared_inputs(operation) or [None]:
            yield from _first(operation, given)
    elif isinstance(operation, keras.Layer):
        yield from _inside(operation)


def _inside(layer) -> Iterator[tuple]:
    return ((inner, ()) for inner in layer._flatten_layers(include_self=False))


def _constants(node) -> list:
    return [c for c in node.arguments.args if np.isscalar(c) or isinstance(c, np.ndarray)]


def _is_for_bytes(operation, constants) -> bool:
    if isinstance(operation, keras.layers.Rescaling):
        return _largest(operation.scale) < SMALL
    if isinstance(operation, keras.layers.Normalization):
        return not operation.invert and _normalizes_bytes(operation)
    if _largest(getattr(operation, "value_range", 0)) > LARGE:
        return True
    return any(_arithmetic_for_bytes(type(operation).__name__, _largest(c)) for c in constants)


def _normalizes_bytes(layer) -> bool:
    """Of one that was adapted to data: yes, as `adapt` saw what was given, not scaled."""
    if layer.input_mean is None:
        return True
    return _largest(layer.input_mean) > LARGE or _largest(layer.input_variance) > SMALL**-2


def _arithmetic_for_bytes(name: str, constant: float) -> bool:
    """Whether an operation such as `x / 255` is for numbers up to 255."""
    if name == "Multiply":
        return constant < SMALL
    return name in ("Divide", "TrueDivide", "Add", "Subtract") and constant > LARGE


def _largest(value) -> float:
    return float(np.max(np.abs(np.asarray(value, np.float64))))
