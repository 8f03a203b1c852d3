"""A run of a figure: its recipe, and what the figure calls it."""

from typing import Any, NamedTuple

from keras_reptile.recipes.recipe import Recipe


class ExperimentRun(NamedTuple):
    """One of the runs that a figure is made of.

    recipe: Its `Recipe`.
    columns: Dict of what its rows of results say of it beside its settings, such as its curve.
    other_settings: String, settings that the figure does not have by itself.
    """

    recipe: Recipe
    columns: dict[str, Any]
    other_settings: str = ""
