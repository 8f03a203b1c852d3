"""Makes an endpoint for arguments of several dtypes, also bytes, from one for a single dtype.

If only one dtype is traced, a method of a loaded SavedModel casts NumPy arrays to it: bytes become
floats from 0 to 255. If several are traced, the method uses the trace of the array's own dtype.
"""

import inspect
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

IMAGES = ("images", "support_images", "query_images")
TARGETS = ("labels", "support_labels")


def takes_images(function: Any) -> bool:
    return any(spec.name in IMAGES for spec in _flat(function.input_signature))


def takes_bytes(function: Any) -> bool:
    """Returns whether images are numbers, not text."""
    specs = _flat(function.input_signature)
    return any(spec.name in IMAGES and spec.dtype != tf.string for spec in specs)


def for_several_dtypes(function: Any, as_taken: Callable) -> Any:
    """Returns a `tf.function` of the same arguments in all usual dtypes.

    Args:
        function: A `tf.function` with an input signature.
        as_taken: Function from images of any dtype to the network's inputs; it scales bytes.
    """
    if not takes_images(function):
        return function
    polymorphic = tf.function(_converting(function, as_taken), autograph=False)
    for specs in _variants(function.input_signature):
        polymorphic.get_concrete_function(*specs)
    return polymorphic


def for_bytes(function: Any, as_taken: Callable) -> Any:
    """Returns a `tf.function` of the same arguments, with images of dtype uint8.

    Args:
        function, as_taken: See `for_several_dtypes`.
    """
    specs = [_with_dtype(spec, IMAGES, tf.uint8) for spec in function.input_signature]
    return tf.function(_converting(function, as_taken), input_signature=specs, autograph=False)


def _converting(function, as_taken):
    # TensorFlow traces `converting` again while it saves the model. It need not trace the function.
    traced = function.get_concrete_function()

    def converting(*given):
        return traced(*map(converted, given, function.input_signature))

    def converted(value, spec):
        if not isinstance(spec, tf.TensorSpec):
            return value
        return tf.cast(as_taken(value) if spec.name in IMAGES else value, spec.dtype)

    converting.__signature__ = inspect.signature(function.python_function)  # type: ignore[attr-defined]
    return converting


def _variants(signature) -> Iterator[list]:
    """Yields the signature with all dtypes of images and targets, first with its own."""
    names = {spec.name: spec.dtype for spec in _flat(signature)}
    of_images = _others(next(names[n] for n in IMAGES if n in names), tf.uint8)
    of_targets = _others(next((names[n] for n in TARGETS if n in names), None))
    for images, targets in itertools.product(of_images, of_targets):
        specs = [_with_dtype(spec, IMAGES, images) for spec in signature]
        yield [_with_dtype(spec, TARGETS, targets) for spec in specs]


def _others(dtype, *more) -> list:
    """Returns a dtype, similar dtypes that are NumPy's defaults, and more. Text is text only."""
    if dtype is None or dtype == tf.string:
        return [dtype]
    alike = (tf.float32, tf.float64) if dtype.is_floating else (tf.int32, tf.int64)
    return list(dict.fromkeys([dtype, *alike, *more]))


def _with_dtype(spec, names, dtype):
    known = isinstance(spec, tf.TensorSpec) and spec.name in names
    return tf.TensorSpec(spec.shape, dtype, spec.name) if known else spec


def _flat(signature) -> list:
    return tf.nest.flatten(list(signature))
