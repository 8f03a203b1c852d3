"""All checks of the data that `fit`, `evaluate` and `predict` read."""

import contextlib
from collections.abc import Iterator
from typing import Any

from keras_reptile.episodes import finite_checks, input_ranges, label_checks


def checked(
    model: Any,
    data: Any,
    parts: tuple[str, ...] = ("support", "query"),
    query_targets: bool = True,
) -> Any:
    """Returns the data with checks of format, labels, range of inputs and finite numbers.

    Args:
        model: A `ReptileModel`.
        data: The data of `fit`, `evaluate` or `predict`.
        parts: Tuple of strings, the parts of an episode whose labels are checked. Defaults to both.
        query_targets: Boolean, whether the queries' targets must be finite. Defaults to `True`.
    """
    data = input_ranges.watched(model, label_checks.checked(model, data, parts))
    return finite_checks.checked(data, query_targets=query_targets)


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raises the errors of `checked` as `ValueError`, without the text that TensorFlow adds."""
    with label_checks.explained(), finite_checks.explained():
        yield


def check_class_weight(class_weight: Any) -> None:
    """Raises `ValueError` for weights of classes, which `fit` of a plain Keras model takes."""
    if class_weight is not None:
        raise ValueError(
            "Labels of tasks are positions among the task's classes, and all have the same weight. "
            f"Received: class_weight={class_weight!r}. Leave it out, or give `compile` a loss "
            "function that weighs labels."
        )
