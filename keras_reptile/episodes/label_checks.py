"""Checks that the network has an output for each label."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.episodes.episode_checks import (
    POSITIONS,
    assert_positions,
    check_format,
    check_images,
)
from keras_reptile.episodes.episode_format import as_episodes, is_episode, symbolic_support


def known_outputs(network: Any) -> int:
    """Returns the number of a network's outputs, or 0 if it is unknown."""
    shape = getattr(network, "output_shape", None)
    return (shape[-1] or 0) if isinstance(shape, tuple) and shape else 0


def checked(model: Any, data: Any, parts: tuple[str, ...] = ("support", "query")) -> Any:
    """Returns the data with a check of labels and positions.

    A dataset raises an error at the first task with a label or position out of range. XLA would
    continue with NaN, or with other examples.

    Args:
        model: A `ReptileModel`.
        data: The data of `fit`, `evaluate` or `predict`.
        parts: Tuple of strings, the parts of an episode whose labels are checked.
    """
    episodes = as_episodes(data)
    if episodes is None:
        _check_arrays(model, data, parts)
        return data
    _check_format(model, episodes.element_spec, parts)
    outputs = _outputs(model, episodes.element_spec) if model._is_classifier else 0

    def check(tasks):
        _assert_all(tasks, parts, outputs)
        return tasks

    return episodes.map(check)


def _check_format(model, episodes, parts) -> None:
    check_format(episodes, labelled="query" in parts)
    check_images(model.network, episodes)


def _check_arrays(model, data, parts) -> None:
    """Checks one meta-batch of arrays."""
    if is_episode(data) and all(hasattr(t, "shape") for t in tf.nest.flatten(data)):
        _check_format(model, data, parts)
        outputs = known_outputs(model.network) if model._is_classifier else 0
        _assert_all(tf.nest.map_structure(tf.convert_to_tensor, data), parts, outputs)


def _assert_all(tasks, parts, outputs) -> None:
    assert_positions(tasks)
    if outputs:
        labels = [tf.cast(tasks[part][1], tf.int64) for part in parts]
        _assert_known(tf.concat(labels, axis=1), outputs)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raises the error of `checked` as a `ValueError`, without the text that TensorFlow adds."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        match = re.search(f"{MESSAGE.format(NUMBER, NUMBER)}|{re.escape(POSITIONS)}", str(error))
        if not match:
            raise
        raise ValueError(match[0]) from None


NUMBER = r"\d+"
MESSAGE = (
    "Labels must be in 0 to {}, because the network has {} outputs. Received: a task with another "
    "label. Build the network with as many outputs as tasks have ways."
)


def _outputs(model, spec) -> int:
    """Builds the model's network and returns the number of its outputs, or 0 if it is unknown."""
    if any(t.shape.rank is None for t in tf.nest.flatten(spec)):
        return 0
    model.build_weights(spec)
    known = known_outputs(model.network)
    if known:
        return known
    output = model.network.compute_output_spec(symbolic_support(spec, model.network))
    return (output.shape[-1] or 0) if isinstance(output, keras.KerasTensor) else 0


def _assert_known(labels, outputs: int) -> None:
    in_range = tf.reduce_all((labels >= 0) & (labels < outputs))
    tf.debugging.Assert(in_range, [MESSAGE.format(outputs - 1, outputs)])
