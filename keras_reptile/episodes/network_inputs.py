"""How bytes (uint8) reach a network: one rule, wherever they come from.

    an integer input, or one that is looked up    x
    another                                       byte_scale * x, or x if byte_scale is None

Everything but bytes reaches a network as it is.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_reptile.checks import as_float
from keras_reptile.episodes import first_layers

# Bytes as floats in [0, 1].
UNIT = 1 / 255


class Taken(NamedTuple):
    """What one input of a network takes.

    dtype: String, that of bytes once they are converted.
    is_scaled: Boolean, whether the byte scale is for it: its numbers are quantities.
    takes_bytes: Boolean, whether the network's first layers are for numbers up to 255.
    """

    dtype: str
    is_scaled: bool
    takes_bytes: bool


def check_byte_scale(value: Any) -> None:
    """Raises `ValueError` unless a value is a byte scale.

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
    """The byte scale; `"auto"` is None if the network's first layers are for numbers up to 255.

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
    """What an input of a network takes; `given` is None where the network declares none."""
    dtype = "float32" if given is None else keras.backend.standardize_dtype(given.dtype)
    if "int" in dtype or dtype == "bool":
        return Taken(dtype, False, False)
    if first_layers.looks_up(network, given):
        return Taken("float32", False, False)
    return Taken("float32", True, first_layers.takes_bytes(network, given))


def as_taken(images: Any, network: Any, scale: float | None) -> Any:
    """Inputs with their bytes as the network takes them.

    Args:
        images: Structure of arrays or tensors, the network's inputs, with any axes before them.
        network: A `keras.Model`.
        scale: Float or None, from `resolved`.

    Returns:
        The structure, with tensors for arrays and tensors of uint8, all else as it is.

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
    """Whether some of the images are bytes for an input that the byte scale is for."""
    leaves = zip(tf.nest.flatten(images), taken_by_each(network, images), strict=True)
    return any(is_bytes(x) and taken.is_scaled for x, taken in leaves)


def is_bytes(x: Any) -> bool:
    return dtype_name(x) == "uint8"


def dtype_name(x: Any) -> str:
    """The name of the dtype of an array, tensor or specification; "" of anything else."""
    dtype = getattr(x, "dtype", "")
    return str(getattr(dtype, "name", dtype))


def symbolic(images: Any, network: Any, shape_of: Callable) -> Any:
    """Symbolic tensors of what the network takes, each shaped as a function of the image says."""

    def one(t, taken):
        dtype = taken.dtype if is_bytes(t) else keras.backend.standardize_dtype(t.dtype)
        return keras.KerasTensor(shape_of(t), dtype)

    leaves = map(one, tf.nest.flatten(images), taken_by_each(network, images))
    return tf.nest.pack_sequence_as(images, list(leaves))


def taken_by_each(network: Any, images: Any) -> list[Taken]:
    """What the network takes for each of `tf.nest.flatten(images)`."""
    return [taken_by(network, given) for given in _declared(network, images)]


def _declared(network, images) -> list:
    """The network's input that each of the flattened images is for, None where none is known."""
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
    # A product: of a quotient, graphs that are optimized and those that are not make two.
    factor = scale if taken.is_scaled and scale is not None else None
    return cast(x, taken.dtype) if factor is None else cast(x, taken.dtype) * factor
