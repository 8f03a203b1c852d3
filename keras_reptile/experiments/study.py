"""A study that is not in the paper: the effect of each choice in its Omniglot run."""

import dataclasses
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from keras_reptile.experiments.experiment_run import ExperimentRun
from keras_reptile.pictures.style import COLOURS, MARKERS, styled
from keras_reptile.recipes.recipe import Recipe

# The fields of the recipe that each curve changes.
CURVES: dict[str, dict[str, Any]] = {
    "paper": {},
    "reset": {"inner_state": "reset"},
    "serial": {"task_order": "serial"},
    "fomaml": {"method": "fomaml"},
    "meta_batch_1": {"meta_batch_size": 1},
    "meta_batch_20": {"meta_batch_size": 20},
    "bfloat16": {"precision": "mixed_bfloat16"},
    "rate_5e-3": {"inner_learning_rate": 5e-3},
}
LABELS = {
    "paper": "as in the paper's run",
    "reset": "moments reset for each task",
    "serial": "moments from task to task",
    "fomaml": "FOMAML",
    "meta_batch_1": "meta-batch of 1",
    "meta_batch_20": "meta-batch of 20",
    "bfloat16": "bfloat16",
    "rate_5e-3": "inner rate of 5e-3",
}
SEEDS = (0, 1, 2)

# The fields of `Recipe` that each run sets.
SET_BY_CURVE = ("seed", *dict.fromkeys(field for c in CURVES.values() for field in c))


def runs(recipe: Recipe) -> dict[str, ExperimentRun]:
    """Returns the run of each curve and seed, by a name such as `reset_s1`.

    Args:
        recipe: A `Recipe`, the settings of all runs.

    Returns:
        Dict of `ExperimentRun`, with the columns curve, inner_state, inner_learning_rate,
        task_order, precision and seed.

    Example:

    >>> from keras_reptile.recipes import named
    >>> run = runs(named.get("study"))["meta_batch_20_s2"]
    >>> run.recipe.meta_batch_size, run.recipe.seed, run.columns["precision"]
    (20, 2, 'float32')
    """
    result = {}
    for curve, changes in CURVES.items():
        for seed in SEEDS:
            changed = dataclasses.replace(recipe, seed=seed, **changes)
            fields = ("inner_state", "inner_learning_rate", "task_order", "precision", "seed")
            columns = {"curve": curve, **{field: getattr(changed, field) for field in fields}}
            result[f"{curve}_s{seed}"] = ExperimentRun(changed, columns)
    return result


@styled()
def picture(rows: list[dict[str, Any]], title: str) -> Figure:
    """Draws test accuracy against seconds of training, and at the end, for every curve.

    The left axes show means over the available seeds. The right axes show the final accuracy of
    each seed, with its 95 % interval over tasks.

    Args:
        rows: List of dicts, the rows of results, see `sweep.sweep`.
        title: String, above the picture.
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    figure.suptitle(title)
    over_time, at_end = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
    curves = [name for name in CURVES if any(row["curve"] == name for row in rows)]
    for i, name in enumerate(curves):
        own = [row for row in rows if row["curve"] == name]
        _curve(over_time, [r for r in own if r["measured"] == "curve"], name, i)
        _ends(at_end, [r for r in own if r["measured"] == "final"], i)
        # Marks of each curve for the legend, whichever rows it has.
        at_end.plot([], [], "-", color=COLOURS[i], marker=MARKERS[i], label=LABELS[name])
    over_time.set(xlabel="seconds of training", ylabel="test accuracy (%)", xscale="log")
    over_time.grid(True)
    over_time.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    over_time.xaxis.set_major_formatter(ScalarFormatter())
    over_time.xaxis.set_minor_formatter(NullFormatter())
    at_end.set(xlabel="at the end, each seed", xticks=[], xlim=(-0.5, len(curves) - 0.5))
    at_end.grid(True)
    # Below the axes: curves pass through all corners.
    marks = at_end.get_legend_handles_labels()
    figure.legend(*marks, frameon=False, loc="outside lower center", ncols=4)
    return figure


def _curve(axes, rows, name, i) -> None:
    by_iteration: dict[int, list] = {}
    for row in rows:
        point = float(row["seconds"]), 100 * float(row["accuracy"])
        by_iteration.setdefault(int(row["meta_iteration"]), []).append(point)
    if by_iteration:
        seconds, accuracy = np.array([np.mean(p, axis=0) for p in by_iteration.values()]).T
        axes.plot(seconds, accuracy, "-", color=COLOURS[i], marker=MARKERS[i])


def _ends(axes, rows, column) -> None:
    for row in rows:
        x = column + 0.15 * (int(row["seed"]) - 1)
        half = 100 * float(row["confidence_95"])
        axes.errorbar(
            x,
            100 * float(row["accuracy"]),
            half,
            fmt=MARKERS[column],
            color=COLOURS[column],
            capsize=2,
        )
