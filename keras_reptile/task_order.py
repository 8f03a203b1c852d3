"""Whether the tasks of a meta-batch wait for each other."""

from typing import Any


def in_series(settings: Any) -> bool:
    """Whether each task starts from the inner state that the one before it left.

    Args:
        settings: What has a `task_order` and an `inner_state`: a model, or a recipe.

    Example:

    >>> from keras_reptile.recipes.named import Recipe
    >>> in_series(Recipe(task_order="serial")), in_series(Recipe())
    (True, False)
    >>> in_series(Recipe(task_order="serial", inner_state="reset"))
    False
    """
    return settings.task_order == "serial" and settings.inner_state == "carried"
