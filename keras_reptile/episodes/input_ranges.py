"""Warns of float inputs whose range is not the one that the network expects."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_reptile.episodes.episode_format import as_episodes, mapped
from keras_reptile.episodes.network_inputs import Taken, dtype_name, taken_by_each

# Numbers that are this many times the largest scaled byte were not scaled like bytes.
FAR = 10

TOO_LARGE = (
    "The model was trained on bytes times {scale:.5g}, up to {most:.3g}. Received: float inputs up "
    "to {largest:.3g}. Give bytes as uint8, which the model scales, or scale them yourself."
)
TOO_SMALL = (
    "The network's first layers expect numbers up to 255, like `Rescaling(1 / 255)`. Received: "
    "float inputs up to {largest:.3g}. Give bytes as uint8, as `episode_dataset` does with "
    "scale=False, or leave these layers out."
)


def upper_limit(scale: float | None, trained_on_bytes: bool) -> float | None:
    """Returns the largest float that a network trained on scaled bytes takes, or None."""
    return FAR * 255 * scale if scale is not None and trained_on_bytes else None


class InputRanges:
    """The expected range of a model's float inputs. It warns at most once.

    Args:
        scale: Float or None, see `network_inputs.resolved`.
        trained_on_bytes: Boolean, whether the model was trained on bytes.
    """

    def __init__(self, scale: float | None, trained_on_bytes: bool):
        self.scale, self.trained_on_bytes = scale, trained_on_bytes
        self.limit = upper_limit(scale, trained_on_bytes)
        self.warned = False

    def may(self, taken: Taken) -> bool:
        """Returns whether a range is known for this input."""
        small = self.scale is None and taken.takes_bytes
        return taken.is_scaled and (self.limit is not None or small)

    def message(self, largest: float, taken: Taken) -> str | None:
        """Returns the warning for an input with this largest number, or None."""
        if not self.may(taken):
            return None
        if self.limit is None:
            return TOO_SMALL.format(largest=largest) if 0 < largest <= 1 else None
        if largest <= self.limit:
            return None
        return TOO_LARGE.format(scale=self.scale, most=self.limit / FAR, largest=largest)

    def watch(self, largest: Sequence[Any], taken: Sequence[Taken]) -> None:
        """Warns if one of the inputs is out of its range, unless it has warned already."""
        messages = [self.message(float(n), t) for n, t in zip(largest, taken, strict=True)]
        message = next(filter(None, messages), None)
        if message and not self.warned:
            self.warned = True
            warnings.warn(message, stacklevel=3)

    def watch_arrays(self, network: Any, inputs: Any) -> None:
        """Warns of float arrays or eager tensors out of their range."""
        leaves = zip(tf.nest.flatten(inputs), taken_by_each(network, inputs), strict=True)
        pairs = [(np.max(x), t) for x, t in leaves if _is_float(x) and self.may(t) and np.size(x)]
        if pairs:
            self.watch(*zip(*pairs, strict=True))


def watched(data: Any, network: Any, ranges: InputRanges) -> Any:
    """Returns the data with a check of their range.

    Episodes are checked as they are read, and plain inputs at once.
    """
    episodes = as_episodes(data)
    if episodes is None:
        ranges.watch_arrays(network, data)
        return data
    if not _to_watch(network, ranges, episodes.element_spec):
        return data
    return mapped(episodes, lambda tasks: _watched(network, ranges, tasks))


def _to_watch(network, ranges, tasks) -> list[tuple[int, Taken]]:
    """Returns the inputs that have a range, as pairs of their index when flattened and `Taken`."""
    inputs = tasks["support"][0]
    leaves = zip(tf.nest.flatten(inputs), taken_by_each(network, inputs), strict=True)
    return [(i, taken) for i, (x, taken) in enumerate(leaves) if _is_float(x) and ranges.may(taken)]


def _watched(network, ranges, tasks: dict) -> dict:
    """Returns the tasks after a check of their inputs' range, in the graph."""
    indices, taken = zip(*_to_watch(network, ranges, tasks), strict=True)
    inputs = tf.nest.flatten(tasks["support"][0])
    largest = tf.stack([tf.cast(tf.reduce_max(inputs[i]), tf.float32) for i in indices])

    def warn(values):
        ranges.watch(values, taken)
        return np.True_

    outside = tf.reduce_any(largest <= 1 if ranges.limit is None else largest > ranges.limit)
    checked = tf.cond(outside, lambda: tf.numpy_function(warn, [largest], tf.bool), lambda: outside)
    with tf.control_dependencies([checked]):
        return tf.nest.map_structure(tf.identity, tasks)


def _is_float(x) -> bool:
    return dtype_name(x) in ("float16", "bfloat16", "float32", "float64")
