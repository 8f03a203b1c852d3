"""Infers from a network's first layers which range of numbers its inputs have.

Each input is followed through layers without weights, up to and including the first layers with
weights. The code inside custom layers and `Lambda` is not inspected.
"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_reptile.keras_internals import all_layers, calls_of

# A factor below SMALL or an offset above LARGE means that the inputs go up to 255, not up to 1.
SMALL, LARGE = 0.1, 10.0

# Layers whose inputs are positions or categories, of any dtype.
LOOKUPS = (
    keras.layers.Embedding,
    keras.layers.CategoryEncoding,
    keras.layers.Discretization,
    keras.layers.Hashing,
    keras.layers.IntegerLookup,
)


def declared_inputs(network: Any) -> list:
    """Returns the inputs of a functional or built sequential network, else an empty list."""
    # In a subclassed network, an attribute of this name can be anything.
    inputs = getattr(network, "inputs", None)
    return inputs if isinstance(inputs, list) else []


def looks_up(network: Any, given: Any = None) -> bool:
    """Returns whether an input's numbers are positions or categories, as for an embedding.

    Args:
        network: A `keras.Model`.
        given: The input, one of `network.inputs`. Defaults to `None`, for a network without
            declared inputs: then all of its layers are inspected.

    Example:

    >>> layers = [keras.Input((5,)), keras.layers.Embedding(10, 4)]
    >>> network = keras.Sequential(layers)
    >>> looks_up(network, network.inputs[0])
    True
    """
    return any(isinstance(operation, LOOKUPS) for operation, _ in _first(network, given))


def takes_bytes(network: Any, given: Any = None) -> bool:
    """Returns whether the first layers take numbers up to 255, like `Rescaling(1 / 255)`.

    Args:
        network, given: See `looks_up`.

    Example:

    >>> layers = [keras.Input((5,)), keras.layers.Rescaling(1 / 255), keras.layers.Dense(3)]
    >>> network = keras.Sequential(layers)
    >>> takes_bytes(network, network.inputs[0])
    True
    """
    return any(_is_for_bytes(*pair) for pair in _first(network, given))


def _first(network, given) -> Iterator[tuple]:
    """Yields the operations from an input up to the first weights, with their constants."""
    if isinstance(network, keras.Sequential):
        return _first_of_sequence(network.layers)
    if given is not None and hasattr(network, "operations"):
        return _first_from_input(network, given)
    return _inside(network)


def _first_of_sequence(layers) -> Iterator[tuple]:
    for layer in layers:
        yield from _at(layer)
        if layer.weights:
            return


def _first_from_input(network, given) -> Iterator[tuple]:
    without_weights = {id(given)}
    for operation in network.operations:
        for node in calls_of(operation):
            if not any(id(t) in without_weights for t in node.input_tensors):
                continue
            yield from _at(operation, _constants(node))
            if not getattr(operation, "weights", None):
                without_weights |= {id(t) for t in node.outputs}


def _at(operation, constants=()) -> Iterator[tuple]:
    """Yields the operation, and the first operations inside it."""
    yield operation, constants
    if isinstance(operation, keras.Model):
        for given in declared_inputs(operation) or [None]:
            yield from _first(operation, given)
    elif isinstance(operation, keras.Layer):
        yield from _inside(operation)


def _inside(layer) -> Iterator[tuple]:
    return ((inner, ()) for inner in all_layers(layer))


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
    """Returns whether a `Normalization` layer takes bytes.

    If its mean was computed by `adapt`, it does: `adapt` receives the data unscaled.
    """
    if layer.input_mean is None:
        return True
    return _largest(layer.input_mean) > LARGE or _largest(layer.input_variance) > SMALL**-2


def _arithmetic_for_bytes(name: str, constant: float) -> bool:
    """Returns whether an operation such as `x / 255` takes numbers up to 255."""
    if name == "Multiply":
        return constant < SMALL
    return name in ("Divide", "TrueDivide", "Add", "Subtract") and constant > LARGE


def _largest(value) -> float:
    return float(np.max(np.abs(np.asarray(value, np.float64))))
