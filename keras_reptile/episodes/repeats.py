"""Whether training on an endless stream of tasks begins with the same tasks once more."""

import warnings
import weakref
from typing import Any

import keras
import tensorflow as tf

# Streams that go on where a function says.
_following: weakref.WeakSet = weakref.WeakSet()

AGAIN = (
    "{}: the model is trained on the same tasks again. Build the episodes with "
    "`start=lambda: model.meta_iteration`, which goes on with the stream, or pass a new dataset "
    "with `start=model.meta_iteration`."
)


def marked_as_following(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset, known as one that does not repeat its tasks."""
    _following.add(dataset)
    return dataset


def warn_of_repeated_tasks(before: Any, dataset: Any, callbacks: Any) -> None:
    """Warns where `fit` trains, or may train, on the same endless stream from its beginning again.

    Args:
        before: The dataset of the model's last `fit`.
        dataset: What is now passed to `fit`.
        callbacks: The callbacks that are passed to `fit`.
    """
    if not isinstance(dataset, tf.data.Dataset) or _follows(dataset):
        return
    if dataset.cardinality() != tf.data.INFINITE_CARDINALITY:
        return
    if dataset is before:
        _warn("`fit` begins an endless dataset that this model was fitted to before")
    elif any(isinstance(c, keras.callbacks.BackupAndRestore) for c in _listed(callbacks)):
        _warn("BackupAndRestore resumes the model, and not the stream of tasks. Once resumed")


def _warn(what: str) -> None:
    warnings.warn(AGAIN.format(what), stacklevel=4)


def _listed(callbacks) -> list:
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks.callbacks
    return tf.nest.flatten(callbacks or [])


def _follows(dataset) -> bool:
    """Whether the dataset, or one that it was made from, goes on by itself."""
    # Not public; where it is missing, a warning may be too many.
    sources = getattr(dataset, "_inputs", lambda: ())()
    return dataset in _following or any(map(_follows, sources))
