"""Warns when training on an endless stream of tasks begins with the same tasks again."""

import warnings
import weakref
from typing import Any

import keras
import tensorflow as tf

# Streams whose `start` is a function.
_following: weakref.WeakSet = weakref.WeakSet()

AGAIN = (
    "{}: the model is trained on the same tasks again. Build the episodes with "
    "`start=lambda: model.meta_iteration`, which continues the stream, or pass a new dataset "
    "with `start=model.meta_iteration`."
)


def marked_as_following(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Marks a dataset as one that does not repeat its tasks, and returns it."""
    _following.add(dataset)
    return dataset


def warn_of_repeated_tasks(before: Any, dataset: Any, callbacks: Any) -> None:
    """Warns if `fit` begins, or may begin, an endless stream from its first task again.

    Args:
        before: The dataset of the model's previous `fit`.
        dataset: The data that are passed to this `fit`.
        callbacks: The callbacks that are passed to this `fit`.
    """
    if not isinstance(dataset, tf.data.Dataset) or _follows(dataset):
        return
    if dataset.cardinality() != tf.data.INFINITE_CARDINALITY:
        return
    if dataset is before:
        _warn("`fit` begins an endless dataset that this model was already fitted to")
    elif any(isinstance(c, keras.callbacks.BackupAndRestore) for c in _listed(callbacks)):
        _warn("BackupAndRestore resumes the model, but not the stream of tasks")


def _warn(what: str) -> None:
    warnings.warn(AGAIN.format(what), stacklevel=4)


def _listed(callbacks) -> list:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks.callbacks
    return tf.nest.flatten(callbacks or [])


def _follows(dataset) -> bool:
    """Returns whether the dataset, or a dataset that it was made from, has a function as start."""
    # `_inputs` is not public. Without it, some datasets get a warning that they do not need.
    sources = getattr(dataset, "_inputs", lambda: ())()
    return dataset in _following or any(map(_follows, sources))
