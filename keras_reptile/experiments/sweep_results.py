"""The results of a figure's runs: the rows of its CSV, and its picture."""

import dataclasses
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from keras_reptile.errors import RunError, cause
from keras_reptile.experiments.experiment_run import ExperimentRun
from keras_reptile.experiments.figures import FIGURES, runs_of
from keras_reptile.files.atomic_file import read_csv, write_csv
from keras_reptile.files.cells import count, fraction, half_width, non_negative
from keras_reptile.pictures.style import save
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs.run_checks import MAY_CHANGE_ON_RESUME, differences
from keras_reptile.runs.run_directory import RunDirectory

# The settings of a run that are columns of the results.
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
# Settings that do not influence the results.
WITHOUT_EFFECT = {*MAY_CHANGE_ON_RESUME} - {"test_tasks"}
# Settings that the column `others` leaves out: other columns have them, or they have no effect.
NOT_AMONG_OTHERS = {*SETTINGS, *WITHOUT_EFFECT, "meta_iterations", "checkpoint_every"}

# The columns of measurements.
MEASURED = {
    "measured": lambda value: {"curve": "curve", "final": "final"}[value],
    "meta_iteration": count,
    "accuracy": fraction,
    "confidence_95": half_width,
    "tasks": count,
    "seconds": non_negative,
}


def summary_of(run: ExperimentRun, directory: RunDirectory) -> dict[str, Any] | None:
    """Returns the summary of a run that is done with the settings of its recipe, else `None`."""
    summary = directory.read_run("summary.json")
    if summary is None:
        return None
    now = dataclasses.asdict(run.recipe)
    return None if differences(summary["settings"], now, WITHOUT_EFFECT) else summary


def is_done(name: str, run: ExperimentRun, directory: RunDirectory, earlier: list[dict]) -> bool:
    """Returns whether a run has its final accuracy, in its directory or else in the CSV."""
    if directory.path.exists():
        return summary_of(run, directory) is not None
    return any(row["measured"] == "final" for row in rows_kept(name, run, earlier))


def publish(
    figure: str, runs: dict[str, ExperimentRun], directories: dict[str, RunDirectory], path: Path
) -> list[dict[str, Any]]:
    """Writes the rows of all existing runs and their picture, each file atomically."""
    results = path / f"{figure}.csv"
    earlier, rows = read_rows(results), []
    for name, run in runs.items():
        exists = directories[name].path.exists()
        rows += rows_of(name, run, directories[name]) if exists else rows_kept(name, run, earlier)
    if rows:
        write_csv(results, rows)
        draw(figure, results, path / f"{figure}.png")
    return rows


def read_rows(path: Path) -> list[dict[str, str]]:
    """Reads the rows of a figure's CSV. There are none if the file does not exist."""
    return read_csv(path, MEASURED, "Repair or remove it: runs with a directory do not need it.")


def rows_kept(name: str, run: ExperimentRun, earlier: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Returns the rows of an earlier CSV that belong to this run with these settings."""
    about = about_run(name, run)
    own = [row for row in earlier if not _differences(row, about)]
    last = [row for row in own if int(row["meta_iteration"]) == run.recipe.meta_iterations]
    if not last:
        return []
    return [about | {k: kind(row[k]) for k, kind in MEASURED.items()} for row in own]


def runs_with_other_settings(figure: str, **overrides: Any) -> dict[str, ExperimentRun]:
    """Returns `runs_of` with each run's `other_settings`."""
    # The names of some runs contain settings. Their order does not depend on settings.
    pairs = zip(runs_of(figure, **overrides).items(), runs_of(figure).values(), strict=True)
    return {
        name: run._replace(other_settings=_other_settings(run.recipe, usual.recipe))
        for (name, run), usual in pairs
    }


def _other_settings(recipe: Recipe, usual: Recipe) -> str:
    settings, defaults = dataclasses.asdict(recipe), dataclasses.asdict(usual)
    names = [k for k, v in settings.items() if v != defaults[k] and k not in NOT_AMONG_OTHERS]
    return " ".join(f"{k}={settings[k]}" for k in names)


def about_run(name: str, run: ExperimentRun) -> dict[str, Any]:
    """Returns the columns that describe a run, the same in all of its rows."""
    settings = {k: getattr(run.recipe, k) for k in SETTINGS}
    return {"run": name, **run.columns, **settings, "others": run.other_settings}


def _differences(row: dict[str, str], about: dict[str, Any]) -> dict[str, tuple]:
    """Returns the columns of a row that differ, each with the row's value and the run's."""
    # Rows of earlier versions have no `others`.
    saved = {"others": about["others"], **row}
    return {k: (saved.get(k), v) for k, v in about.items() if saved.get(k) != str(v)}


def check_same_results(
    name: str, run: ExperimentRun, earlier: list[dict[str, str]], file: str
) -> None:
    """Raises `RunError` if the CSV has rows of this run with other settings: they would be lost."""
    about = about_run(name, run)
    for row in earlier:
        different = _differences(row, about) if row.get("run") == name else {}
        if different:
            listed = ", ".join(f"{k}={b!r} (now {str(n)!r})" for k, (b, n) in different.items())
            raise RunError(
                f"{file} has results of {name} with other settings: {listed}. "
                "Give the same flags to continue with them, or another --output_dir."
            )


def check_known(runs: Collection[str], earlier: list[dict[str, str]], file: str) -> None:
    """Raises `RunError` if the CSV has rows of other runs than these: they would be lost."""
    names = dict.fromkeys(row.get("run", "") for row in earlier)
    if others := [name for name in names if name not in runs]:
        raise RunError(
            f"{file} has results of runs that the figure does not have with these flags: "
            f"{', '.join(others)}. Give the same flags to continue with them, or another "
            "--output_dir."
        )


def rows_of(name: str, run: ExperimentRun, directory: RunDirectory) -> list[dict[str, Any]]:
    """Returns the rows of a run's results so far, from its log and its summary.

    Raises:
        RunError: If one of the two files is incomplete.
    """
    about = about_run(name, run)
    try:
        curve = [about | row for row in curve_of(run, directory)]
        final = final_of(run, directory)
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"The results in {directory.path} are incomplete ({cause(error)}). Restore log.csv and "
            "summary.json from a copy, or remove summary.json so that the run is tested again."
        ) from None
    return curve if final is None else [*curve, about | final]


def curve_of(run: ExperimentRun, directory: RunDirectory) -> list[dict[str, Any]]:
    """Returns the accuracies in a run's log."""
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
    """Returns the accuracy in a run's summary, or `None` if the run is not done or not tested."""
    summary = summary_of(run, directory)
    if summary is None or summary["result"] is None:
        return None
    result, half = summary["result"], summary["result"]["confidence_95"]
    return {
        "measured": "final",
        "meta_iteration": run.recipe.meta_iterations,
        "accuracy": fraction(result["accuracy"]),
        # It is null for a single task. In a CSV it is NaN.
        "confidence_95": math.nan if half is None else half_width(half),
        "tasks": count(result["tasks"]),
        "seconds": non_negative(summary["seconds"]),
    }


def draw(figure: str, results: Path, path: Path) -> None:
    """Draws a figure from its CSV."""
    rows = read_rows(results)
    save(FIGURES[figure].picture(rows, title_of(rows)), path)


def title_of(rows: list[dict[str, Any]]) -> str:
    """Returns a title with the settings that all rows share."""
    longest = max(int(row["meta_iteration"]) for row in rows)
    first, sizes = rows[0], {row["meta_batch_size"] for row in rows}
    meta_batch = f", meta-batch {first['meta_batch_size']}" if len(sizes) == 1 else ""
    return (
        f"{first['dataset']}, {first['ways']}-way {first['shots']}-shot, {longest:,} "
        f"meta-iterations{meta_batch}"
    )
