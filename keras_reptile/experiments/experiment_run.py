"""A run of a figure: its recipe, and its columns in the figure's results."""

from typing import Any, NamedTuple

from keras_reptile.recipes.recipe import Recipe


class ExperimentRun(NamedTuple):
    """One of the runs of a figure.

    recipe: Its `Recipe`.
    columns: Dict, further columns of its rows of results beside the settings, such as its curve.
    other_settings: String, the settings that differ from the figure's own.
    """

    recipe: Recipe
    columns: dict[str, Any]
    other_settings: str = ""
