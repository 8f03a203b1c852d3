"""The figures by name: two of the paper and a study. Each has runs and a picture."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from keras_reptile.checks import did_you_mean
from keras_reptile.experiments import gradient_combinations, study, tail_overlap
from keras_reptile.experiments.experiment_run import ExperimentRun
from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import SINUSOID

# A curve has at least this many points, for any number of meta-iterations.
POINTS = 10


class FigureOfRuns(NamedTuple):
    """A figure of several runs.

    set_by_curve: Tuple of fields of `Recipe`. Each curve sets them, and the user cannot.
    runs: Function from a recipe to a dict of `ExperimentRun`.
    picture: Function from rows of results and a title to a matplotlib figure.
    """

    set_by_curve: tuple
    runs: Callable
    picture: Callable


FIGURES = {
    name: FigureOfRuns(module.SET_BY_CURVE, module.runs, module.picture)
    for name, module in {
        "gradient_combinations": gradient_combinations,
        "tail_overlap": tail_overlap,
        "study": study,
    }.items()
}


def runs_of(figure: str, **overrides: Any) -> dict[str, ExperimentRun]:
    """Returns the runs of a figure by name, with some fields of the recipe replaced for all runs.

    Args:
        figure: String, a key of `FIGURES`, which is also the name of its recipe.
        **overrides: Fields of `Recipe`.

    Raises:
        ValueError: If there is no such figure, or each curve sets one of the fields itself.

    Example:

    >>> list(runs_of("gradient_combinations", meta_iterations=4000))[:3]
    ['g1', 'g2', 'half_g1_g2']
    """
    if figure not in FIGURES:
        near = did_you_mean(figure, FIGURES)
        raise ValueError(f"`figure` must be one of {sorted(FIGURES)}. Received: {figure!r}.{near}")
    chosen = FIGURES[figure]
    for name in chosen.set_by_curve:
        if overrides.get(name) is not None:
            raise ValueError(
                f"Each curve of {figure} sets its own `{name}`. Received: "
                f"{name}={overrides[name]!r}. Leave it out, and choose curves with --only."
            )
    recipe = named.get(figure, **overrides)
    if recipe.dataset == SINUSOID:
        raise ValueError(
            f"{figure} draws accuracies, and sine waves have none. Received: "
            f"dataset={recipe.dataset!r}. Choose a data set of images."
        )
    if not (recipe.test_tasks or (recipe.curve_tasks and figure != "tail_overlap")):
        raise ValueError(
            f"{figure} needs tests of its runs. Received: test_tasks=0, "
            f"curve_tasks={recipe.curve_tasks}. Give `test_tasks`."
        )
    if overrides.get("checkpoint_every") is None:
        every = min(recipe.checkpoint_every, max(1, recipe.meta_iterations // POINTS))
        recipe = dataclasses.replace(recipe, checkpoint_every=every)
    return chosen.runs(recipe)
