"""Checks that the network has an output for each label."""

import re
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.episodes.episode_checks import (
    POSITIONS,
    assert_positions,
)
from keras_reptile.episodes.episode_format import (
    CLASSES,
    as_episodes,
    is_meta_batch,
    mapped,
    symbolic_support,
)

NUMBER = r"\d+"
MESSAGE = (
    "Labels must be in 0 to {}, because the network has {} outputs. Received: a task with another "
    "label. Build the network with as many outputs as tasks have ways."
)
# An evaluation holds classes as floats of 32 bits. Up to this number they are exact.
LARGEST_CLASS = 2**24 - 1
NUMBERED = (
    # No quotation marks: TensorFlow would escape them in the error of a graph.
    f"`classes` must be numbers in 0 to {LARGEST_CLASS:,}, or -1 for no class. Received: a task "
    "with another number. Number the classes, as with `np.unique(classes, return_inverse=True)[1]`."
)
PATTERN = "|".join([MESSAGE.format(NUMBER, NUMBER), re.escape(POSITIONS), re.escape(NUMBERED)])


def known_outputs(network: Any) -> int:
    """Returns the number of a network's outputs, or 0 if it is unknown."""
    shape = getattr(network, "output_shape", None)
    return (shape[-1] or 0) if isinstance(shape, tuple) and shape else 0


def check_shapes(episodes: dict, network: Any, parts: tuple[str, ...]) -> None:
    """Raises `ValueError` for labels that are not one integer for each example, as one-hot ones.

    A last axis of 1 is allowed. If the shape of the outputs is unknown, nothing is checked.

    Args:
        episodes: Episodes or their spec.
        network: A `keras.Model`.
        parts: Tuple of strings, the parts of an episode whose labels are checked.
    """
    outputs = getattr(network, "output_shape", None)
    if not isinstance(outputs, tuple):
        return
    for part in parts:
        shape = tf.TensorShape(episodes[part][1].shape)
        places = outputs[1:-1]
        if shape.rank is not None and not any(
            shape[2:].is_compatible_with(each) for each in (places, (*places, 1))
        ):
            raise ValueError(
                "Labels must be one integer for each example, or for each place of its outputs: "
                f"(tasks, examples{''.join(f', {size}' for size in places)}). Received: '{part}' "
                f"with labels of shape {tuple(shape)}. Of one-hot labels give "
                "`labels.argmax(axis=-1)`."
            )


def checked(data: Any, outputs: int, parts: tuple[str, ...]) -> Any:
    """Returns the data with a check of labels and positions.

    A dataset raises an error at the first task with a label or position out of range. XLA would
    continue with NaN, or with other examples.

    Args:
        data: The data of `fit`, `evaluate` or `predict`.
        outputs: Integer, the number of labels, see `outputs_of`. 0: labels are not checked.
        parts: Tuple of strings, the parts of an episode whose labels are checked.
    """
    episodes = as_episodes(data)
    if episodes is None:
        if is_meta_batch(data):
            _assert_all(tf.nest.map_structure(tf.convert_to_tensor, data), parts, outputs)
        return data

    def check(tasks):
        _assert_all(tasks, parts, outputs)
        return tasks

    return mapped(episodes, check)


def _assert_all(tasks, parts, outputs) -> None:
    assert_positions(tasks)
    if outputs:
        # Either may have a last axis of 1.
        labels = [tf.reshape(_whole(tasks[part][1]), (-1,)) for part in parts]
        _assert_known(tf.concat(labels, axis=0), outputs)


def with_numbered_classes(episodes: tf.data.Dataset) -> tf.data.Dataset:
    """Returns episodes with `"classes"`, with a check that an evaluation can tell them apart."""

    def check(tasks):
        numbers = tf.cast(tasks[CLASSES], tf.int64)
        in_range = tf.reduce_all((numbers >= -1) & (numbers <= LARGEST_CLASS))
        tf.debugging.Assert(in_range, [NUMBERED])
        return tasks

    return mapped(episodes, check)


def _whole(labels) -> tf.Tensor:
    """Returns labels as integers. A float with a fraction becomes -1, which is no label.

    Raises:
        ValueError: If labels are text.
    """
    labels = tf.convert_to_tensor(labels)
    if labels.dtype == tf.string:
        raise ValueError(
            "Labels must be integers, the positions of outputs. Received: labels of dtype string. "
            "Number them, as with `np.unique(labels, return_inverse=True)[1]`."
        )
    whole = tf.cast(labels, tf.int64)
    if not labels.dtype.is_floating:
        return whole
    return tf.where(tf.equal(tf.cast(whole, labels.dtype), labels), whole, -1)


def outputs_of(network: Any, spec: Any) -> int:
    """Returns the number of a built network's outputs, or 0 if it is unknown.

    Args:
        network: A `keras.Model`.
        spec: The spec of the episodes that it is called on.
    """
    known = known_outputs(network)
    if known:
        return known
    output = network.compute_output_spec(symbolic_support(spec, network))
    return (output.shape[-1] or 0) if isinstance(output, keras.KerasTensor) else 0


def _assert_known(labels, outputs: int) -> None:
    in_range = tf.reduce_all((labels >= 0) & (labels < outputs))
    tf.debugging.Assert(in_range, [MESSAGE.format(outputs - 1, outputs)])
