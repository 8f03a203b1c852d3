"""Compares several runs in one picture: accuracy against seconds of training."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from keras_reptile.checks import counted
from keras_reptile.errors import RunError
from keras_reptile.files.atomic_file import read_csv
from keras_reptile.files.cells import count, fraction
from keras_reptile.pictures.style import COLOURS, LINES, as_written, styled
from keras_reptile.recipes.data_options import OWN_VALIDATION
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs.learning_curve import ACCURACY, has
from keras_reptile.runs.run_directory import RunDirectory


def _rate(text: str) -> float:
    if not 0 < float(text) < math.inf:
        raise ValueError(f"a rate of {text}")
    return float(text)


# The columns that a comparison needs in every row of a log.
COLUMNS: dict[str, Callable] = {"meta_iteration": count, "meta_iterations_per_second": _rate}


def training_seconds(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Returns the seconds of training up to each row, without validation, tests and checkpoints.

        seconds_r = sum_{j <= r} (i_j - i_{j-1}) / rate_j

    Args:
        rows: Sequence of mappings, the rows of log.csv. i_j is the meta-iteration of row j. rate_j
            is the number of meta-iterations per second since the previous row.

    Returns:
        float64 array `(rows,)`, in seconds.

    Example:

    >>> rows = [{"meta_iteration": n, "meta_iterations_per_second": 20 // n} for n in (1, 2)]
    >>> training_seconds(rows).tolist()
    [0.05, 0.15000000000000002]
    """
    iterations = np.array([int(row["meta_iteration"]) for row in rows])
    rates = np.array([float(row["meta_iterations_per_second"]) for row in rows])
    return np.cumsum(np.diff(iterations, prepend=0) / rates)


def read_log(path: str) -> list[dict[str, str]]:
    """Reads the rows of a run's log.

    Args:
        path: String, the run's directory, or a CSV file with its log.

    Raises:
        RunError: If there is no log, it cannot be read, or it has no accuracies.
    """
    log = RunDirectory(path).log if os.path.isdir(path) else Path(path)
    advice = "Give an output directory of bin/train, or its log.csv."
    rows = read_csv(log, COLUMNS, advice, dict.fromkeys(ACCURACY, fraction))
    iterations = [int(row["meta_iteration"]) for row in rows]
    if iterations != sorted(iterations):
        raise RunError(f"{log} cannot be used: its meta_iteration falls. {advice}")
    if not any(has(row, name) for row in rows for name in ACCURACY):
        if any(has(row, "loss_after") for row in rows):
            raise RunError(
                f"There are only losses in {log}, as in runs on sine waves, and no accuracies. "
                "Compare runs that classify images. A run's losses are in its curve.png."
            )
        raise RunError(
            f"There are no accuracies in {log}. Give an output directory of bin/train with at "
            "least one checkpoint, or its log.csv."
        )
    return rows


# The settings on which all accuracies of a run depend.
OF_ALL_TASKS = (
    *("dataset", "dataset_split", "published_split", "split_dir", "split_seed", "test_classes"),
    *("image_dir", "image_size", "channels"),
    *("eval_classes", "ways", "shots", "queries", "transductive"),
)
# The kinds of accuracies, as a message names them.
ALL, TRAINING, VALIDATION = "", " on training tasks", " on validation tasks"


def read_tasks(path: str) -> dict[str, dict[str, Any]]:
    """Returns the settings that decide a run's tasks, for each kind of accuracies.

    There are none for a log alone, or without run.json.
    """
    run = RunDirectory(path).read_run() if os.path.isdir(path) else None
    if run is None:
        return {}
    recipe = Recipe(**run["settings"])
    validation = {"validation_classes": recipe.validation_classes}
    # The classes that are left to train on.
    left = {} if recipe.dataset in OWN_VALIDATION else validation
    training = {"train_ways": recipe.ways_in_training, "train_shots": recipe.train_shots}
    return {
        ALL: {name: getattr(recipe, name) for name in OF_ALL_TASKS},
        TRAINING: training | left,
        VALIDATION: validation if recipe.validation_classes else {},
    }


def other_tasks(runs: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Returns a line for each kind of accuracies that are of different tasks, else no text.

    Args:
        runs: Mapping of names to what `read_tasks` returns.

    Example:

    >>> one, other = {ALL: dict(ways=5, shots=1)}, {ALL: dict(ways=20, shots=1)}
    >>> other_tasks({"a": one, "b": other, "c": {}})
    'The accuracies are of different tasks: ways=5 (a), ways=20 (b).'
    >>> other_tasks({"a": {TRAINING: dict(train_ways=5)}, "b": {TRAINING: dict(train_ways=20)}})
    'The accuracies on training tasks are of different tasks: train_ways=5 (a), train_ways=20 (b).'
    """
    lines = []
    for kind in (ALL, TRAINING, VALIDATION):
        known = {name: of[kind] for name, of in runs.items() if of.get(kind)}
        if different := _different(known):
            lines.append(f"The accuracies{kind} are of different tasks: {different}.")
    return "\n".join(lines)


def _different(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the settings that all runs have and in which they differ, as text."""
    first, *others = runs.values() or [{}]
    names = [name for name in first if all(name in of for of in others)]
    differ = [name for name in names if any(of[name] != first[name] for of in others)]
    return ", ".join(f"{key}={of[key]} ({name})" for key in differ for name, of in runs.items())


@styled()
def comparison(
    runs: Mapping[str, Sequence[Mapping[str, Any]]], reference: float | None = None
) -> Figure:
    """Draws the accuracy of several runs against their seconds of training.

    Args:
        runs: Mapping of names to rows of log.csv.
        reference: Float, an accuracy in percent. A line marks it in the last axes. Defaults to
            `None`, no line.

    Returns:
        A matplotlib figure. It has axes for each kind of tasks on which any run was evaluated:
        training, validation, test.
    """
    kinds = [n for n in ACCURACY if any(has(row, n) for rows in runs.values() for row in rows)]
    figure = Figure(figsize=(1 + 5 * len(kinds), 4.4), layout="constrained")
    for axes, measured in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for i, (name, rows) in enumerate(runs.items()):
            _line(
                axes,
                rows,
                measured,
                color=COLOURS[i % len(COLOURS)],
                linestyle=LINES[i % len(LINES)],
                label=_label(name),
            )
        if reference is not None and measured == kinds[-1]:
            axes.axhline(reference, color="0.4", linestyle="--", linewidth=1)
        axes.set(xlabel="seconds of training", ylabel=f"accuracy on {ACCURACY[measured]} (%)")
        axes.grid(True)
    # A run need not have all kinds of accuracy.
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=2)
    return figure


def _line(axes, rows, measured, **look) -> None:
    points = [
        (x, 100 * float(row[measured]))
        for x, row in zip(training_seconds(rows), rows, strict=True)
        if has(row, measured)
    ]
    if points:
        # A line through a single point is invisible.
        axes.plot(*zip(*points, strict=True), marker="." if len(points) == 1 else None, **look)


def _label(name: str) -> str:
    """Returns a label that matplotlib shows unchanged. It leaves out one that begins with "_"."""
    written = as_written(name)
    return f" {written}" if written.startswith("_") else written


def in_words(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Describes a run in a line: its meta-iterations, its seconds and its last accuracies.

    Example:

    >>> in_words("a", [dict(meta_iteration=1000, meta_iterations_per_second=20, accuracy=0.9)])
    'a: 1,000 meta-iterations in 50 s, training tasks 90.00 %'
    """
    last = {n: row[n] for row in rows for n in ACCURACY if has(row, n)}
    accuracies = ", ".join(f"{ACCURACY[n]} {100 * float(v):.2f} %" for n, v in last.items())
    iterations, seconds = int(rows[-1]["meta_iteration"]), training_seconds(rows)[-1]
    return f"{name}: {counted(iterations, 'meta-iteration')} in {seconds:,.0f} s, {accuracies}"
