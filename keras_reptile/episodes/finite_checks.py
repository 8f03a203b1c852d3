"""Inputs and targets of episodes, which must be finite numbers.

A network does not always tell: on a CPU, oneDNN's normalization and ReLU in one make 0 of NaN, and
the loss stays finite while weights become NaN.
"""

import contextlib
import re
import types
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keras_reptile.episodes.episode_format import as_episodes, is_episode

MESSAGE = (
    "Inputs and targets must be finite numbers. Received a task with NaN or infinity in the {} of "
    "its {}. Replace such values, or leave these examples out."
)

PARTS = {"support": "support set", "query": "queries"}


def checked(data: Any, query_targets: bool = True) -> Any:
    """The data, of which episodes end at a value that is not finite.

    Args:
        data: What `fit`, `evaluate` or `predict` takes: a dataset, a generator or one meta-batch.
            What holds no episodes is returned as it is.
        query_targets: Boolean, whether the queries' targets are read. Defaults to `True`.

    Example:

    >>> x, y = tf.constant([[[1.0], [float("nan")]]]), tf.constant([[0, 1]])
    >>> checked({"support": (x, y), "order": tf.constant([[[0, 1]]]), "query": (x, y)})
    Traceback (most recent call last):
    ValueError: Inputs and targets must be finite numbers. Received a task with NaN or infinity...
    """
    if isinstance(data, tf.data.Dataset):
        episodes = as_episodes(data)
        if episodes is None or not _floats(episodes.element_spec, query_targets):
            return data
        return episodes.map(lambda tasks: _finite(tasks, query_targets))
    if isinstance(data, types.GeneratorType):
        return (checked(element, query_targets) for element in data)
    one = data[0] if isinstance(data, tuple) and len(data) == 1 else data
    if is_episode(one):
        with explained():
            _finite(one, query_targets)
    return data


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Has what `checked` found raise a `ValueError` without TensorFlow's words around it."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = re.search(MESSAGE.format("[a-z]+", "[a-z ]+"), str(error))
        if not found:
            raise
        raise ValueError(found[0]) from None


def _finite(tasks, query_targets):
    for part, name, tensor in _floats(tf.nest.map_structure(_as_tensor, tasks), query_targets):
        finite = tf.reduce_all(tf.math.is_finite(tensor))
        tf.debugging.Assert(finite, [MESSAGE.format(name, PARTS[part])])
    return tasks


def _floats(tasks: dict, query_targets: bool) -> list[tuple]:
    """The tensors, or their specs, that can hold NaN, with the names of where they are."""
    named = [
        (part, name, tensor)
        for part in PARTS
        for name, values in zip(("inputs", "targets"), tasks[part], strict=False)
        for tensor in tf.nest.flatten(values)
        if query_targets or (part, name) != ("query", "targets")
    ]
    return [each for each in named if each[2].dtype.is_floating]


def _as_tensor(values):
    return values if tf.is_tensor(values) else tf.convert_to_tensor(values)
