"""The results of evaluations over tasks, as numbers and as text."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_reptile.checks import counted
from keras_reptile.metrics import class_accuracy
from keras_reptile.metrics.class_accuracy import ClassAccuracy, Confusion, equal_fields


class Evaluation(NamedTuple):
    """The result of `evaluate`. `print` shows it in a line.

    Two are equal if all of their fields are, arrays element by element and NaN to NaN.

    accuracy: Float in [0, 1], the mean over tasks.
    confidence_95: Float, half the width of its 95 % confidence interval over tasks.
    accuracies: float64 array `(tasks,)`, each task's accuracy.
    non_finite_tasks: Integer, the number of tasks with a prediction that is not finite, for
        instance because the inner loop diverged. Such a prediction counts as wrong.
    ways: Integer, the classes of a task. `None` if tasks differ, or targets are not labels.
    shots: Integer, the support examples of each class, or of the task if targets are not labels.
        `None` if they differ.
    transductive: Boolean, whether all queries of a task were predicted in one batch.
    answers: int32 array `(queries, 2)` over all tasks, the class of each query in the pool and the
        class that was predicted, -1 for none. `None` if the episodes have no `"classes"`.
    orientations: Integer, in how many orientations each task was solved.

    Example:

    >>> print(Evaluation(0.887, 0.0094, np.zeros(1000), 0, 5, 1, False))
    88.70 % ± 0.94 (1,000 tasks, 5-way 1-shot, inductive)
    """

    accuracy: float
    confidence_95: float
    accuracies: np.ndarray
    non_finite_tasks: int = 0
    ways: int | None = None
    shots: int | None = None
    transductive: bool | None = None
    answers: np.ndarray | None = None
    orientations: int = 1

    def __eq__(self, other: object) -> bool:
        return equal_fields(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __str__(self) -> str:
        half = _spread(100 * self.confidence_95, 2)
        tasks = _tasks_in_words(self, self.accuracies, self.orientations)
        return f"{100 * self.accuracy:.2f} %{half} ({tasks})"

    def __repr__(self) -> str:
        return _short(self)

    def by_class(self, class_names: Sequence | None = None) -> list[ClassAccuracy]:
        """Returns the accuracy of each class over all of its tasks, the lowest first.

        Args:
            class_names: Sequence, a name for each class of the pool: its `names`. Defaults to
                `None`, the positions of the classes in the pool.

        Returns:
            List of `ClassAccuracy`: name, accuracy, queries, and the class that it was mistaken
            for most often.

        Raises:
            ValueError: If the episodes had no `"classes"`, or a class has no name.

        Example:

        >>> found = Evaluation(0.5, 0.1, np.array([0.5]), answers=np.array([[0, 0], [1, 0]]))
        >>> found.by_class(["cat", "dog"])[0]
        ClassAccuracy(name='dog', accuracy=0.0, queries=1, mistaken_for='cat')
        """
        return class_accuracy.by_class(self._known_answers(), class_names)

    def confusion(self, class_names: Sequence | None = None) -> Confusion:
        """Returns the number of predictions of each class, by the class of the query.

        Args:
            class_names: See `by_class`.

        Returns:
            A `Confusion`: the names of the classes, and counts `(classes, classes)`. Rows are the
            queries' classes, and columns are the predicted classes.

        Raises:
            ValueError: As `by_class` does.
        """
        return class_accuracy.confusion(self._known_answers(), class_names)

    def _known_answers(self) -> np.ndarray:
        if self.answers is None:
            raise ValueError(
                "The classes of the tasks are not known. Received: the evaluation of episodes "
                "without 'classes', or of targets that are not labels. Evaluate "
                "`episode_dataset(..., tasks=...)`, or add integers (tasks, ways) as 'classes'."
            )
        return self.answers


class LossEvaluation(NamedTuple):
    """The result of `evaluate_loss`. `print` shows it in a line. `==` is that of `Evaluation`.

    loss: Float, the mean over tasks of the queries' loss after adaptation, per query.
    confidence_95: Float, half the width of its 95 % confidence interval over tasks.
    losses: float64 array `(tasks,)`, each task's loss.
    non_finite_tasks: Integer, the number of tasks with a prediction or a loss that is not finite,
        for instance because the inner loop diverged. Then the mean is not finite either.
    ways, shots, transductive: See `Evaluation`.

    Example:

    >>> print(LossEvaluation(0.0173, 0.0012, np.zeros(100), 0, None, 10, True))
    0.0173 ± 0.0012 (100 tasks, 10 support examples, transductive)
    """

    loss: float
    confidence_95: float
    losses: np.ndarray
    non_finite_tasks: int = 0
    ways: int | None = None
    shots: int | None = None
    transductive: bool | None = None

    def __eq__(self, other: object) -> bool:
        return equal_fields(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __str__(self) -> str:
        half = _spread(self.confidence_95, 4)
        return f"{self.loss:.4f}{half} ({_tasks_in_words(self, self.losses)})"

    def __repr__(self) -> str:
        return _short(self)


def _spread(half: float, digits: int) -> str:
    """Returns the text of the interval, which is empty if there is none."""
    return f" ± {half:.{digits}f}" if math.isfinite(half) else ""


def _tasks_in_words(found, values: np.ndarray, orientations: int = 1) -> str:
    number = len(values)
    parts = [counted(number, "task")]
    if found.shots is not None and found.ways is None:
        parts.append(counted(found.shots, "support example"))
    elif found.ways is not None:
        shots = "" if found.shots is None else f" {found.shots}-shot"
        parts.append(f"{found.ways}-way{shots}")
    if found.transductive is not None:
        parts.append("transductive" if found.transductive else "inductive")
    if orientations > 1:
        parts.append(f"{orientations} orientations")
    if found.non_finite_tasks:
        parts.append(f"{found.non_finite_tasks:,} of them not finite")
    return ", ".join(parts)


def _short(found: Any) -> str:
    """Returns the fields by name, with the shapes of arrays."""
    shown = (f"{name}={_field(value)}" for name, value in found._asdict().items())
    return f"{type(found).__name__}({', '.join(shown)})"


def _field(value) -> str:
    return f"<array {value.shape}>" if isinstance(value, np.ndarray) else repr(value)
