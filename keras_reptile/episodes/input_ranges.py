"""Warns of inputs, other than bytes, whose range is not the one that the network expects."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_reptile.episodes.episode_format import as_episodes, mapped
from keras_reptile.episodes.network_inputs import Taken, dtype_name, taken_by_each

# Numbers that are this many times the largest scaled byte were not scaled like bytes.
FAR = 10

TOO_LARGE = (
    "The model was trained on bytes times {scale:.5g}, up to {most:.3g}. Received: {kind} inputs "
    "up to {largest:.3g}. Give bytes as uint8, which the model scales, or scale them yourself."
)
TOO_SMALL = (
    "The network's first layers expect numbers up to 255, like `Rescaling(1 / 255)`. Received: "
    "{kind} inputs up to {largest:.3g}. Give bytes as uint8, as `episode_dataset` does with "
    "scale=False, or leave these layers out."
)


def upper_limit(scale: float | None, trained_on_bytes: bool) -> float | None:
    """Returns the largest float that a network trained on scaled bytes takes, or None."""
    return FAR * 255 * scale if scale is not None and trained_on_bytes else None


class InputRanges:
    """The expected range of a model's inputs. It warns at most once.

    The kind of an input is "float" or "integer", or "" for bytes and all others.

    Args:
        scale: Float or None, see `network_inputs.resolved`.
        trained_on_bytes: Boolean, whether the model was trained on bytes.
    """

    def __init__(self, scale: float | None, trained_on_bytes: bool):
        self.scale, self.trained_on_bytes = scale, trained_on_bytes
        self.limit = upper_limit(scale, trained_on_bytes)
        self.warned = False

    def may(self, taken: Taken, kind: str = "float") -> bool:
        """Returns whether a range is known for this input."""
        small = self.scale is None and taken.takes_bytes and kind == "float"
        return bool(kind) and taken.is_scaled and (self.limit is not None or small)

    def message(self, largest: float, taken: Taken, kind: str) -> str | None:
        """Returns the warning for an input with this largest number, or None."""
        if not self.may(taken, kind):
            return None
        if self.limit is None:
            return TOO_SMALL.format(kind=kind, largest=largest) if 0 < largest <= 1 else None
        if largest <= self.limit:
            return None
        most = self.limit / FAR
        return TOO_LARGE.format(scale=self.scale, most=most, kind=kind, largest=largest)

    def watch(self, largest: Sequence[Any], taken: Sequence[Taken], kinds: Sequence[str]) -> None:
        """Warns if one of the inputs is out of its range, unless it has warned already."""
        given = zip(largest, taken, kinds, strict=True)
        messages = [self.message(float(n), t, kind) for n, t, kind in given]
        message = next(filter(None, messages), None)
        if message and not self.warned:
            self.warned = True
            warnings.warn(message, stacklevel=3)

    def watch_arrays(self, network: Any, inputs: Any) -> None:
        """Warns of arrays or eager tensors out of their range."""
        leaves = zip(tf.nest.flatten(inputs), taken_by_each(network, inputs), strict=True)
        known = [
            (np.max(x), t, kind_of(x)) for x, t in leaves if self.may(t, kind_of(x)) and np.size(x)
        ]
        if known:
            self.watch(*zip(*known, strict=True))


def watched(data: Any, network: Any, ranges: InputRanges) -> Any:
    """Returns the data with a check of their range.

    Episodes and other datasets are checked as they are read, and arrays at once.
    """
    episodes = as_episodes(data)
    if episodes is not None:
        return _watched_dataset(episodes, lambda tasks: tasks["support"][0], network, ranges)
    if isinstance(data, tf.data.Dataset):
        return _watched_dataset(data, _inputs_of_batch, network, ranges)
    ranges.watch_arrays(network, data)
    return data


def _inputs_of_batch(element: Any) -> Any:
    return element[0] if isinstance(element, tuple) else element


def _watched_dataset(data, inputs_of: Callable, network, ranges) -> tf.data.Dataset:
    spec = data.element_spec
    if not _to_watch(network, ranges, inputs_of(spec)):
        return data

    def check(*parts):
        element = parts if isinstance(spec, tuple) else parts[0]
        return _after_check(network, ranges, inputs_of(element), element)

    return mapped(data, check)


def _to_watch(network, ranges, inputs) -> list[tuple[int, Taken, str]]:
    """Returns the index when flattened, the `Taken` and the kind of inputs that have a range."""
    leaves = zip(tf.nest.flatten(inputs), taken_by_each(network, inputs), strict=True)
    known = [(i, taken, kind_of(x)) for i, (x, taken) in enumerate(leaves)]
    return [each for each in known if ranges.may(*each[1:])]


def _after_check(network, ranges, inputs: Any, element: Any) -> Any:
    """Returns an element of a dataset after a check of its inputs' range, in the graph."""
    indices, taken, kinds = zip(*_to_watch(network, ranges, inputs), strict=True)
    leaves = tf.nest.flatten(inputs)
    largest = tf.stack([tf.cast(tf.reduce_max(leaves[i]), tf.float32) for i in indices])

    def warn(values):
        ranges.watch(values, taken, kinds)
        return np.True_

    outside = tf.reduce_any(largest <= 1 if ranges.limit is None else largest > ranges.limit)
    checked = tf.cond(outside, lambda: tf.numpy_function(warn, [largest], tf.bool), lambda: outside)
    with tf.control_dependencies([checked]):
        return tf.nest.map_structure(tf.identity, element)


def kind_of(x: Any) -> str:
    """Returns the kind of an array, tensor or spec, see `InputRanges`.

    Example:

    >>> [kind_of(np.zeros(2, dtype)) for dtype in ("float16", "int64", "uint8", "bool")]
    ['float', 'integer', '', '']
    """
    name = dtype_name(x)
    if name in ("float16", "bfloat16", "float32", "float64"):
        return "float"
    return "integer" if "int" in name and name != "uint8" else ""
