"""Information from the labels of tasks: ways, shots, and classes of queries and predictions."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_reptile.episodes.episode_format import CLASSES
from keras_reptile.metrics.class_accuracy import class_answers


class TaskLabels(NamedTuple):
    """The labels that are collected from each task, as columns of a table.

    support: Integer, the support examples of a task; `None` if meta-batches differ.
    labelled: Boolean, whether these have integer labels, from which ways and shots follow.
    queries: Integer, the queries of a task if the classes of these and of their predictions are
        known, else 0.
    """

    support: int | None
    labelled: bool
    queries: int

    @classmethod
    def of(cls, spec: dict[str, Any], known: bool) -> "TaskLabels":
        """Returns the labels to collect from elements with this spec.

        Args:
            spec: Dict, the spec of the elements.
            known: Boolean, whether the outputs are scores of labels.
        """
        targets = [spec[part][1] for part in ("support", "query")]
        labelled = known and all(y.dtype.is_integer and y.shape.rank == 2 for y in targets)
        if not all(y.shape.rank for y in targets):
            return cls(None, False, 0)
        support, queries = (y.shape[1] for y in targets)
        labelled = labelled and bool(support and queries)
        return cls(support, labelled, queries if labelled and CLASSES in spec else 0)

    def columns(self, episode: dict[str, Any], predictions: Sequence) -> list[tf.Tensor]:
        """Returns integers `(tasks, ...)`: support labels, classes of queries and predictions."""
        columns = [episode["support"][1]] if self.labelled else []
        if self.queries:
            y, classes = episode["query"][1], tf.cast(episode[CLASSES], tf.int32)
            answers = [class_answers(y, p, classes) for p in predictions]
            columns += [answers[0][0], *(predicted for _, predicted in answers)]
        return columns

    def found(self, columns: np.ndarray, modes: int) -> tuple:
        """Returns ways, shots, and the answers `(queries, 2)` of all tasks for each mode.

        A value that is unknown, or differs between tasks, is `None`.
        """
        if not self.labelled:
            return None, self.support, [None] * modes
        ways, shots = ways_and_shots(columns[:, : self.support])
        if not self.queries:
            return ways, shots, [None] * modes
        true, *predicted = np.split(columns[:, self.support :], modes + 1, axis=1)
        return ways, shots, [np.stack([true.ravel(), said.ravel()], axis=1) for said in predicted]


def ways_and_shots(labels: np.ndarray) -> tuple[int | None, int | None]:
    """Returns the numbers of classes in a task and of examples in a class; `None` if they differ.

    Args:
        labels: Integers `(tasks, examples)`, the labels of support sets.

    Example:

    >>> ways_and_shots(np.array([[0, 1, 0, 1], [1, 1, 0, 0]])), ways_and_shots([[0, 1, 1]])
    ((2, 2), (2, None))
    """
    counts = [np.unique(row, return_counts=True)[1] for row in np.unique(labels, axis=0)]
    ways, shots = {len(c) for c in counts}, {int(n) for c in counts for n in c}
    return ways.pop() if len(ways) == 1 else None, shots.pop() if len(shots) == 1 else None
