"""The rule by which a network receives bytes (uint8), from any source.

    an input of integers, positions or categories    x
    any other input                                  byte_scale * x, or x if byte_scale is None

A network receives all other dtypes unchanged.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_reptile.checks import as_float
from keras_reptile.episodes import first_layers

# The factor that turns bytes into floats in [0, 1].
UNIT = 1 / 255


class Taken(NamedTuple):
    """The numbers that one input of a network takes.

    dtype: String, the dtype to which bytes are converted.
    is_scaled: Boolean, whether bytes for this input are multiplied by the byte scale. They are
        not if its numbers are integers, positions or categories.
    takes_bytes: Boolean, whether the network's first layers take numbers up to 255.
    """

    dtype: str
    is_scaled: bool
    takes_bytes: bool


def check_byte_scale(value: Any) -> None:
    """Raises `ValueError` unless a value is a valid byte scale.

    Example:

    >>> check_byte_scale(0)
    Traceback (most recent call last):
    ValueError: `byte_scale` must be 'auto', None or a finite positive number. Received: ...
    """
    is_number = not isinstance(value, bool) and 0 < as_float(value) < math.inf
    if not (value is None or is_number or (isinstance(value, str) and value == "auto")):
        raise ValueError(
            "`byte_scale` must be 'auto', None or a finite positive number. "
            f"Received: byte_scale={value!r}. Use None for a network that scales bytes itself."
        )


def resolved(byte_scale: Any, network: Any) -> float | None:
    """Returns the byte scale as a float or None.

    `"auto"` is None if the network's first layers take numbers up to 255, and 1 / 255 otherwise.

    Example:

    >>> dense = keras.layers.Dense(3)
    >>> resolved("auto", keras.Sequential([keras.Input((5,)), dense])) == 1 / 255
    True
    >>> scaling = keras.layers.Rescaling(1 / 255)
    >>> resolved("auto", keras.Sequential([keras.Input((5,)), scaling, dense])) is None
    True
    """
    if not isinstance(byte_scale, str):
        return None if byte_scale is None else as_float(byte_scale)
    inputs = first_layers.declared_inputs(network) or [None]
    return None if any(taken_by(network, given).takes_bytes for given in inputs) else UNIT


def taken_by(network: Any, given: Any) -> Taken:
    """Returns what a network's input takes. `given` is None if the network declares none."""
    dtype = "float32" if given is None else keras.backend.standardize_dtype(given.dtype)
    if "int" in dtype or dtype == "bool":
        return Taken(dtype, False, False)
    if first_layers.looks_up(network, given):
        return Taken("float32", False, False)
    return Taken("float32", True, first_layers.takes_bytes(network, given))


def as_taken(images: Any, network: Any, scale: float | None) -> Any:
    """Converts bytes among the inputs to the numbers that the network takes.

    Args:
        images: Structure of arrays or tensors, the network's inputs, with any leading axes.
        network: A `keras.Model`.
        scale: Float or None, from `resolved`.

    Returns:
        The structure, with converted tensors in place of uint8. Other dtypes are unchanged.

    Example:

    >>> network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> as_taken(np.array([[0, 255]], np.uint8), network, 1 / 255).numpy()
    array([[0., 1.]], dtype=float32)
    """
    if not any(map(is_bytes, tf.nest.flatten(images))):
        return images
    leaves = [
        _converted(x, taken, scale) if is_bytes(x) else x
        for x, taken in zip(tf.nest.flatten(images), taken_by_each(network, images), strict=True)
    ]
    return tf.nest.pack_sequence_as(images, leaves)


def scales_any(network: Any, images: Any) -> bool:
    """Returns whether the byte scale applies to some of the images."""
    leaves = zip(tf.nest.flatten(images), taken_by_each(network, images), strict=True)
    return any(is_bytes(x) and taken.is_scaled for x, taken in leaves)


def is_bytes(x: Any) -> bool:
    return dtype_name(x) == "uint8"


def dtype_name(x: Any) -> str:
    """Returns the name of the dtype of an array, tensor or spec, and "" for anything else."""
    dtype = getattr(x, "dtype", "")
    return str(getattr(dtype, "name", dtype))


def symbolic(images: Any, network: Any, shape_of: Callable) -> Any:
    """Returns symbolic inputs of the network.

    Args:
        images: Structure of arrays, tensors or specs.
        network: A `keras.Model`.
        shape_of: Function from one of the images to the shape of its symbolic input.
    """

    def one(t, taken):
        dtype = taken.dtype if is_bytes(t) else keras.backend.standardize_dtype(t.dtype)
        return keras.KerasTensor(shape_of(t), dtype)

    leaves = map(one, tf.nest.flatten(images), taken_by_each(network, images))
    return tf.nest.pack_sequence_as(images, list(leaves))


def taken_by_each(network: Any, images: Any) -> list[Taken]:
    """Returns what the network takes for each of `tf.nest.flatten(images)`."""
    return [taken_by(network, given) for given in _declared(network, images)]


def _declared(network, images) -> list:
    """Returns the network's input for each of the flattened images, or None where it is unknown."""
    number = len(tf.nest.flatten(images))
    inputs = first_layers.declared_inputs(network)
    if not inputs:
        return [None] * number
    if isinstance(images, dict) and len(images) == number:
        names = network.input if isinstance(network.input, dict) else {t.name: t for t in inputs}
        return [names.get(name) for name in sorted(images)]
    return inputs if len(inputs) == number else [None] * number


def _converted(x, taken: Taken, scale) -> Any:
    cast = keras.ops.cast if isinstance(x, keras.KerasTensor) else tf.cast
    # A product, not a quotient: graph optimization changes the last bit of a quotient.
    factor = scale if taken.is_scaled and scale is not None else None
    return cast(x, taken.dtype) if factor is None else cast(x, taken.dtype) * factor
