"""The accuracy of each class, and the confusion of classes, over the queries of many tasks.

An answer is a pair of classes of the pool: the query's class and the predicted class.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_reptile.metrics.accuracy import are_numbers

# Stands for no class: the prediction is not finite, or the task has no class for the output.
NONE = -1


class ClassAccuracy(NamedTuple):
    """The accuracy of one class.

    name: String or integer, the class.
    accuracy: Float in [0, 1], the share of its queries that were predicted correctly.
    queries: Integer, the number of its queries, over all tasks.
    mistaken_for: The class that was predicted most often instead; `None` if there is none.
    """

    name: Any
    accuracy: float
    queries: int
    mistaken_for: Any


class Confusion(NamedTuple):
    """The numbers of predictions of each class, by the class of the query.

    names: Tuple of the classes that occur, in the pool's order.
    counts: int64 array `(classes, classes)`, the number of queries of the row's class for which
        the column's class was predicted. The diagonal is correct.

    Two are equal if both of their fields are.
    """

    names: tuple
    counts: np.ndarray

    def __eq__(self, other: object) -> bool:
        return equal_fields(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other


def equal_fields(a: Any, b: Any) -> bool:
    """Returns whether two named tuples are of one class and have equal fields.

    A tuple's own comparison raises an error for arrays. Here NaN is equal to NaN: the interval of
    a single task is NaN.
    """
    return type(a) is type(b) and all(map(_are_equal, a, b))


def _are_equal(a: Any, b: Any) -> bool:
    numbers = all(isinstance(x, float | np.ndarray) for x in (a, b))
    if numbers:
        return np.array_equal(a, b, equal_nan=True)
    return not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray) and a == b


def class_answers(y: tf.Tensor, predictions: tf.Tensor, classes: tf.Tensor) -> tuple:
    """Returns the classes of queries and of their predictions.

    Args:
        y: Integer labels `(tasks, queries)`.
        predictions: Outputs `(tasks, queries, outputs)`.
        classes: Integers `(tasks, ways)`, the class of each label.

    Returns:
        Tuple of two integer tensors `(tasks, queries)`. -1 stands for no class.

    Example:

    >>> y, outputs = tf.constant([[0, 1]]), tf.constant([[[2.0, 1.0], [float("nan")] * 2]])
    >>> [t.numpy().tolist() for t in class_answers(y, outputs, tf.constant([[7, 9]]))]
    [[[7, 9]], [[7, -1]]]
    """
    said = tf.argmax(predictions, axis=-1, output_type=tf.int32)
    said = tf.where(are_numbers(predictions), said, NONE)
    return _class_of(tf.cast(y, tf.int32), classes), _class_of(said, classes)


def _class_of(labels, classes):
    known = (labels >= 0) & (labels < tf.shape(classes)[1])
    found = tf.gather(classes, tf.where(known, labels, 0), batch_dims=1)
    return tf.where(known, found, tf.constant(NONE, classes.dtype))


def confusion(answers: np.ndarray, class_names: Sequence | None = None) -> Confusion:
    """Counts the pairs of classes.

    Args:
        answers: Integer array `(queries, 2)`, the class of each query and the predicted one.
        class_names: Sequence, the name of each class of the pool. Defaults to `None`, its position.

    Raises:
        ValueError: If a class has no name.

    Example:

    >>> confusion(np.array([[0, 0], [0, 2], [2, 2]]), ["a", "b", "c"]).counts
    array([[1, 1],
           [0, 1]])
    """
    present = np.unique(answers[answers != NONE])
    counts = np.zeros((len(present), len(present)), np.int64)
    pairs = answers[(answers != NONE).all(axis=1)]
    np.add.at(counts, tuple(np.searchsorted(present, pairs).T), 1)
    return Confusion(tuple(_names(present, class_names)), counts)


def by_class(answers: np.ndarray, class_names: Sequence | None = None) -> list[ClassAccuracy]:
    """Returns the accuracy of each class, the lowest first.

    Args:
        answers, class_names: See `confusion`.

    Raises:
        ValueError: If a class has no name.

    Example:

    >>> by_class(np.array([[0, 0], [0, 2], [2, 2]]), ["a", "b", "c"])[0]
    ClassAccuracy(name='a', accuracy=0.5, queries=2, mistaken_for='c')
    """
    present = np.unique(answers[answers != NONE])
    named = dict(zip(present, _names(present, class_names), strict=True))
    ordered = answers[np.argsort(answers[:, 0], kind="stable")]
    first_of_next = np.flatnonzero(np.diff(ordered[:, 0])) + 1
    groups = [g for g in np.split(ordered, first_of_next) if len(g) and g[0, 0] != NONE]
    found = [_of_class(group, named) for group in groups]
    return sorted(found, key=lambda each: each.accuracy)


def _of_class(answers, named) -> ClassAccuracy:
    true, said = answers[0, 0], answers[:, 1]
    wrong, times = np.unique(said[(said != true) & (said != NONE)], return_counts=True)
    mistaken_for = named[wrong[times.argmax()]] if len(wrong) else None
    return ClassAccuracy(named[true], float(np.mean(said == true)), len(said), mistaken_for)


def _names(classes, class_names) -> list:
    if class_names is None:
        return [int(c) for c in classes]
    if len(classes) and classes[-1] >= len(class_names):
        raise ValueError(
            f"`class_names` must name all classes of the pool, {classes[-1] + 1} or more. "
            f"Received: {len(class_names)} names. Pass the pool's `names`."
        )
    return [class_names[c] for c in classes]
