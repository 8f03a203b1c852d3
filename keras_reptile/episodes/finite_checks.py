"""Checks that inputs and targets of episodes are finite numbers.

The loss does not always show NaN in the inputs. On a CPU, oneDNN's fused normalization and ReLU
turns NaN into 0: the loss stays finite while weights become NaN.
"""

from typing import Any

import tensorflow as tf

from keras_reptile.episodes.episode_format import as_episodes, is_episode, mapped
from keras_reptile.episodes.graph_errors import explained

MESSAGE = (
    "Inputs and targets must be finite numbers. Received: a task with NaN or infinity in the {} of "
    "its {}. Replace these values, or leave the examples out."
)
PATTERN = MESSAGE.format("[a-z]+", "[a-z ]+")

PARTS = {"support": "support set", "query": "queries"}


def checked(data: Any, query_targets: bool = True) -> Any:
    """Returns the data with a check that raises an error at the first value that is not finite.

    Args:
        data: The data of `fit`, `evaluate` or `predict`: a dataset or one meta-batch.
            Data that are not episodes are returned unchanged.
        query_targets: Boolean, whether the queries' targets are checked. Defaults to `True`.

    Example:

    >>> x, y = tf.constant([[[1.0], [float("nan")]]]), tf.constant([[0, 1]])
    >>> checked({"support": (x, y), "order": tf.constant([[[0, 1]]]), "query": (x, y)})
    Traceback (most recent call last):
    ValueError: Inputs and targets must be finite numbers. Received: a task with NaN or infinity...
    """
    if isinstance(data, tf.data.Dataset):
        episodes = as_episodes(data)
        if episodes is None or not _floats(episodes.element_spec, query_targets):
            return data
        return mapped(episodes, lambda tasks: _finite(tasks, query_targets))
    if is_episode(data):
        with explained(PATTERN):
            _finite(data, query_targets)
    return data


def _finite(tasks, query_targets):
    for part, name, tensor in _floats(tf.nest.map_structure(_as_tensor, tasks), query_targets):
        finite = tf.reduce_all(tf.math.is_finite(tensor))
        tf.debugging.Assert(finite, [MESSAGE.format(name, PARTS[part])])
    return tasks


def _floats(tasks: dict, query_targets: bool) -> list[tuple]:
    """Returns the float tensors or specs as tuples `(part, "inputs" or "targets", tensor)`."""
    leaves = [
        (part, name, tensor)
        for part in PARTS
        for name, values in zip(("inputs", "targets"), tasks[part], strict=False)
        for tensor in tf.nest.flatten(values)
        if query_targets or (part, name) != ("query", "targets")
    ]
    return [leaf for leaf in leaves if leaf[2].dtype.is_floating]


def _as_tensor(values):
    return values if tf.is_tensor(values) else tf.convert_to_tensor(values)
