"""Sweeps: all runs of a figure, one after another, with their results in one CSV."""

import dataclasses
import fnmatch
import math
import os
from pathlib import Path
from typing import Any

import keras

from keras_reptile.errors import RunError, cause
from keras_reptile.experiments.experiment_run import ExperimentRun
from keras_reptile.experiments.figures import FIGURES, runs_of
from keras_reptile.files.atomic_file import read_csv, remove_partial, replacing, write_csv
from keras_reptile.recipes.recipe import NOTES, Recipe
from keras_reptile.runs.divergence import Diverged
from keras_reptile.runs.run_checks import FREE, check_same_run, check_settings
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.training import train

# What rows of results say of a run's settings.
SETTINGS = (
    "dataset",
    "ways",
    "shots",
    "method",
    "minibatches",
    "train_shots",
    "tail_shots",
    "inner_steps",
    "inner_batch_size",
    "meta_batch_size",
    "meta_step_size",
)
# Told elsewhere, or without an influence on the results.
NOT_AMONG_OTHERS = {*SETTINGS, *FREE, "meta_iterations", "checkpoint_every"} - {"test_tasks"}

# What they say of its results.
MEASURED = {
    "measured": str,
    "meta_iteration": int,
    "accuracy": float,
    "confidence_95": float,
    "tasks": int,
    "seconds": float,
}


def sweep(
    figure: str,
    output_dir: str | os.PathLike,
    *,
    only: tuple[str, ...] = (),
    draw_only: bool = False,
    data_dir: str | None = None,
    verbose: int = 1,
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Trains what a figure still lacks, and writes its results and the picture.

    Each run has its own directory, in which it goes on where it stopped. The CSV and the picture
    are made anew from all directories after every run, so that runs may be added a few at a time,
    and by several processes if no run is in two of them. A run whose directory is gone keeps its
    rows in the CSV, and is done if they have its final accuracy: the CSV alone is enough to go on
    elsewhere.

    Args:
        figure: String, a key of `figures.FIGURES`.
        output_dir: String or path: FIGURE.csv, FIGURE.png, and runs/ with a directory for each.
        only: Tuple of strings, names of runs or patterns such as `"g*"`. Defaults to `()`, all.
        draw_only: Boolean, `True` to train nothing. Defaults to `False`.
        data_dir: String, TFDS's data directory. Defaults to `None`, TFDS's own choice.
        verbose: Integer, as in `keras.Model.fit`. Defaults to `1`.
        **overrides: Fields of `Recipe`, for all runs.

    Returns:
        The rows of the CSV: run, curve and the settings, `others` those that the figure does not
        have by itself; measured, `"curve"` while training or `"final"`; meta_iteration; accuracy
        and confidence_95 in [0, 1] over so many test tasks; seconds of training, checkpoints and
        curve so far.

    Raises:
        ValueError: If there is no such figure or run, or the numbers do not fit together.
        RunError: If a directory or the CSV holds a run with other settings, there is nothing to
            draw, or runs diverged; the others are done first.
        Interrupted: If the process is told to stop; what was learned is saved.
    """
    runs = runs_with_other_settings(figure, **overrides)
    chosen = {} if draw_only else choose(runs, only)
    directories = {name: RunDirectory(Path(output_dir) / "runs" / name) for name in runs}
    for name, run in runs.items():
        check_settings(run.recipe)
        check_same_run(directories[name], run.recipe)
    earlier = read_rows(Path(output_dir) / f"{figure}.csv")
    for name, run in runs.items():
        if not directories[name].path.exists():
            check_same_results(name, run, earlier, f"{figure}.csv")
    remove_partial(Path(output_dir))
    diverged: list[str] = []
    try:
        for i, (name, run) in enumerate(chosen.items(), start=1):
            if not is_done(name, run, directories[name], earlier):
                _say(verbose, f"\n{name}, {i} of {len(chosen)}")
                diverged += _train(name, run, directories[name], data_dir, verbose)
                publish(figure, runs, directories, Path(output_dir))
    finally:
        rows = publish(figure, runs, directories, Path(output_dir))
    if diverged:
        raise RunError(f"{len(diverged)} of {len(chosen)} runs diverged. " + " ".join(diverged))
    if not rows:
        raise RunError(f"{output_dir} holds no results of {figure} yet. Train some of its runs.")
    return rows


def choose(runs: dict[str, ExperimentRun], only: tuple[str, ...]) -> dict[str, ExperimentRun]:
    """The runs with these names or of these patterns, all if there are none, in the order of all.

    Raises:
        ValueError: If a pattern fits no run.

    Example:

    >>> list(choose(runs_of("gradient_combinations"), ("g1", "half*")))
    ['g1', 'half_g1_g2']
    """
    for pattern in only:
        if not fnmatch.filter(runs, pattern):
            raise ValueError(
                f"`only` must name runs, or patterns of their names. Received: {pattern!r}, with "
                f"the runs {', '.join(runs)}."
            )
    return {n: r for n, r in runs.items() if not only or any(fnmatch.fnmatch(n, p) for p in only)}


def _train(name, run, directory, data_dir, verbose) -> list[str]:
    """Trains a run to its end; of one that diverges, what is to be said."""
    try:
        train(run.recipe, directory.path, data_dir=data_dir, verbose=verbose)
    except Diverged as error:
        _say(verbose, f"{name}: {error}")
        return [f"{name}: {error}"]
    finally:
        # The graphs of dozens of runs would fill the memory.
        keras.utils.clear_session()
    return []


def summary_of(run: ExperimentRun, directory: RunDirectory) -> dict[str, Any] | None:
    """The summary of a run that is done, as this recipe tests it; else `None`."""
    summary = directory.read_run("summary.json")
    if summary is None:
        return None
    had, wanted = summary["settings"], dataclasses.asdict(run.recipe)
    return summary if all(had[k] == v for k, v in wanted.items() if k not in NOTES) else None


def is_done(name: str, run: ExperimentRun, directory: RunDirectory, earlier: list[dict]) -> bool:
    """Whether a run has its final accuracy, in its directory or, without one, in the CSV."""
    if directory.path.exists():
        return summary_of(run, directory) is not None
    kept = rows_kept(name, run, earlier)
    return any(row["measured"] == "final" for row in kept)


def publish(
    figure: str, runs: dict[str, ExperimentRun], directories: dict[str, RunDirectory], path: Path
) -> list[dict[str, Any]]:
    """Writes the rows of all runs there are, and their picture, each whole or not at all."""
    results = path / f"{figure}.csv"
    earlier, rows = read_rows(results), []
    for name, run in runs.items():
        here = directories[name].path.exists()
        rows += rows_of(name, run, directories[name]) if here else rows_kept(name, run, earlier)
    if rows:
        write_csv(results, rows)
        draw(figure, results, path / f"{figure}.png")
    return rows


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a figure's CSV, none if there is no such file."""
    return read_csv(path, MEASURED, "Mend or remove it: runs with a directory need none.")


def rows_kept(name: str, run: ExperimentRun, earlier: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The rows of an earlier CSV that are of this run with these settings."""
    about = about_run(name, run)
    own = [row for row in earlier if not _different(row, about)]
    last = [row for row in own if int(row["meta_iteration"]) == run.recipe.meta_iterations]
    if not last:
        return []
    return [about | {k: kind(row[k]) for k, kind in MEASURED.items()} for row in own]


def runs_with_other_settings(figure: str, **overrides: Any) -> dict[str, ExperimentRun]:
    """`runs_of` with each run's `other_settings`."""
    usual = runs_of(figure)
    runs = runs_of(figure, **overrides)
    return {
        n: r._replace(other_settings=_other_settings(r.recipe, usual[n].recipe))
        for n, r in runs.items()
    }


def _other_settings(recipe: Recipe, usual: Recipe) -> str:
    own, had = dataclasses.asdict(recipe), dataclasses.asdict(usual)
    names = [k for k in own if own[k] != had[k] and k not in NOT_AMONG_OTHERS]
    return " ".join(f"{k}={own[k]}" for k in names)


def about_run(name: str, run: ExperimentRun) -> dict[str, Any]:
    """What every row says of its run."""
    settings = {k: getattr(run.recipe, k) for k in SETTINGS}
    return {"run": name, **run.columns, **settings, "others": run.other_settings}


def _different(row: dict[str, str], about: dict[str, Any]) -> dict[str, tuple]:
    """What a row says otherwise; rows of earlier versions had no `others`."""
    had = {"others": about["others"], **row}
    return {k: (had.get(k), v) for k, v in about.items() if had.get(k) != str(v)}


def check_same_results(
    name: str, run: ExperimentRun, earlier: list[dict[str, str]], file: str
) -> None:
    """Raises `RunError` for rows of this run with other settings, which would be lost."""
    about = about_run(name, run)
    for row in earlier:
        other = _different(row, about) if row.get("run") == name else {}
        if other:
            listed = ", ".join(f"{k}={b!r} (now {str(n)!r})" for k, (b, n) in other.items())
            raise RunError(
                f"{file} holds results of {name} with other settings: {listed}. "
                "Give the same flags to go on with them, or another --output_dir."
            )


def rows_of(name: str, run: ExperimentRun, directory: RunDirectory) -> list[dict[str, Any]]:
    """The results of a run so far, from its log and its summary.

    Raises:
        RunError: If one of them lacks what it should have.
    """
    about = about_run(name, run)
    try:
        curve = [about | row for row in curve_of(run, directory)]
        final = final_of(run, directory)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"The results in {directory.path} are incomplete ({cause(error)}). Bring log.csv and "
            "summary.json back from a copy, or remove summary.json to have the run tested again."
        ) from None
    return curve if final is None else [*curve, about | final]


def curve_of(run: ExperimentRun, directory: RunDirectory) -> list[dict[str, Any]]:
    """The accuracies of a run's log."""
    return [
        {
            "measured": "curve",
            "meta_iteration": int(row["meta_iteration"]),
            "accuracy": float(row["test_accuracy"]),
            "confidence_95": float(row["test_confidence_95"]),
            "tasks": run.recipe.curve_tasks,
            "seconds": float(row["seconds"]),
        }
        for row in directory.rows()
        if row.get("test_accuracy")
    ]


def final_of(run: ExperimentRun, directory: RunDirectory) -> dict[str, Any] | None:
    """The accuracy of a run's summary; `None` if it is not done, or not tested."""
    summary = summary_of(run, directory)
    if summary is None or summary["result"] is None:
        return None
    result, half = summary["result"], summary["result"]["confidence_95"]
    return {
        "measured": "final",
        "meta_iteration": run.recipe.meta_iterations,
        "accuracy": float(result["accuracy"]),
        # Of a single task, which in a CSV is a number that is none.
        "confidence_95": math.nan if half is None else float(half),
        "tasks": int(result["tasks"]),
        "seconds": float(summary["seconds"]),
    }


def draw(figure: str, results: Path, path: Path) -> None:
    """Draws a figure from its CSV."""
    rows = read_rows(results)
    with replacing(path) as temporary:
        picture = FIGURES[figure].picture(rows, title_of(rows))
        picture.savefig(temporary, dpi=120, format="png")


def title_of(rows: list[dict[str, Any]]) -> str:
    """What all rows have in common, in words."""
    longest = max(int(row["meta_iteration"]) for row in rows)
    first = rows[0]
    return (
        f"{first['dataset']}, {first['ways']}-way {first['shots']}-shot, {longest:,} "
        f"meta-iterations, meta-batch {first['meta_batch_size']}"
    )


def _say(verbose, text) -> None:
    if verbose:
        print(text, flush=True)
