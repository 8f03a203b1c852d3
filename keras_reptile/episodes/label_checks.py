"""Labels, and whether the network has an output for each."""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.episodes.episode_format import as_episodes, symbolic_support


def known_outputs(network: Any) -> int:
    """The number of a network's outputs, 0 if it is not known."""
    shape = getattr(network, "output_shape", None)
    return (shape[-1] or 0) if isinstance(shape, tuple) and shape else 0


def checked(model: Any, data: Any, parts: tuple[str, ...] = ("support", "query")) -> Any:
    """The data, of which episodes end at a label without an output: XLA would go on with NaN."""
    episodes = as_episodes(data)
    if episodes is None or not model._is_classifier:
        return data
    outputs = _outputs(model, episodes.element_spec)
    if not outputs:
        return data

    def check(tasks):
        labels = [tf.cast(tasks[part][1], tf.int64) for part in parts]
        _assert_known(tf.concat(labels, axis=1), outputs)
        return tasks

    return episodes.map(check)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Has what `checked` found raise a `ValueError` without TensorFlow's words around it."""
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        found = re.search(MESSAGE.format(r"\d+", r"\d+"), str(error))
        if not found:
            raise
        raise ValueError(found[0]) from None


MESSAGE = (
    "Labels must be in 0 to {}, as the network has {} outputs. Received a task with another label. "
    "Build the network with as many outputs as tasks have ways."
)


def _outputs(model, spec) -> int:
    """The number of outputs of the model's network, which is built if it was not, or 0."""
    if any(t.shape.rank is None for t in tf.nest.flatten(spec)):
        return 0
    model.build_weights(spec)
    known = known_outputs(model.network)
    if known:
        return known
    found = model.network.compute_output_spec(symbolic_support(spec, model.network))
    return (found.shape[-1] or 0) if isinstance(found, keras.KerasTensor) else 0


def _assert_known(labels, outputs: int) -> None:
    known = tf.reduce_all((labels >= 0) & (labels < outputs))
    tf.debugging.Assert(known, [MESSAGE.format(outputs - 1, outputs)])
