"""Labels, and whether the network has an output for each."""

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from keras_reptile.episode_format import is_episode


def known_outputs(network: Any) -> int:
    """The number of a network's outputs, 0 if it is not known."""
    return getattr(network, "output_shape", [0])[-1] or 0


def checked(model: Any, episodes: Any) -> Any:
    """The episodes, which end at a label without an output: XLA would go on with NaN."""
    if not (_is_checkable(episodes) and model.is_classifier and known_outputs(model.network)):
        return episodes

    def check(tasks):
        with tf.control_dependencies([_known(model, tasks[k][1]) for k in ("support", "query")]):
            return tf.nest.map_structure(tf.identity, tasks)

    # Ahead of time: a step does not wait for it.
    return episodes.map(check).prefetch(1)


@contextlib.contextmanager
def explained(model: Any) -> Iterator[None]:
    """Has what `checked` found raise a `ValueError` without TensorFlow's words around it."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if _unknown_label(model) not in str(error):
            raise
        raise ValueError(_unknown_label(model)) from None


def _is_checkable(episodes) -> bool:
    return isinstance(episodes, tf.data.Dataset) and is_episode(episodes.element_spec)


def _known(model, labels) -> tf.Operation:
    labels, ignored = tf.cast(labels, tf.int64), getattr(model.task_loss, "ignore_class", None)
    known = (labels >= 0) & (labels < known_outputs(model.network))
    if ignored is not None:
        known |= labels == ignored
    return tf.debugging.Assert(tf.reduce_all(known), [_unknown_label(model)])


def _unknown_label(model) -> str:
    outputs = known_outputs(model.network)
    return (
        f"Labels must be in 0 to {outputs - 1}, as the network has {outputs} outputs. Received a "
        "task with another label. Build the network with as many outputs as tasks have ways."
    )
