"""Checks that a run writes finite numbers only, and messages for a run that diverges."""

from typing import Any

import keras
import numpy as np

from keras_reptile.errors import RunError


class Diverged(RunError):
    """Raised when the loss or a weight is no longer finite."""


def check_finite(model: Any) -> None:
    """Raises `Diverged` if a variable of the model or its optimizer is not finite.

    A step can make weights or moments infinite although its own loss is finite.
    """
    for variable in [*model.variables, *model.optimizer.variables]:
        value = keras.ops.convert_to_numpy(variable.value)
        if np.issubdtype(value.dtype, np.floating) and not np.isfinite(value).all():
            raise diverged(model, f"{variable.path} is not finite")


def diverged(model: Any, what: str) -> Diverged:
    return Diverged(
        f"Training diverged: {what} at meta-iteration {model.meta_iteration}. Earlier checkpoints "
        "are intact. Lower --inner_learning_rate or --meta_step_size."
    )


def in_words(result: dict[str, Any]) -> str:
    """Returns a warning if the inner loop diverged in an evaluation, else an empty string.

    Args:
        result: Dict with `tasks` and `non_finite_tasks`, as `results.measure` makes them.

    Example:

    >>> in_words({"accuracy": 0.5, "tasks": 1000, "non_finite_tasks": 0})
    ''
    >>> in_words({"loss": None, "tasks": 1000, "non_finite_tasks": 3}).split(":")[0]
    'The inner loop diverged in 3 of 1,000 tasks'
    """
    tasks = result.get("non_finite_tasks", 0)
    if not tasks:
        return ""
    effect = "the loss is not a finite number"
    if "accuracy" in result:
        effect = "predictions that are not finite numbers count as wrong"
    return (
        f"The inner loop diverged in {tasks:,} of {result['tasks']:,} tasks: {effect}. Train with "
        "a lower --meta_step_size or --inner_learning_rate."
    )
