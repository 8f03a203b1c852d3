"""Sweeps: trains all runs of a figure one after another, and collects the results in one CSV."""

import dataclasses
import fnmatch
import math
import os
from pathlib import Path
from typing import Any

import keras

from keras_reptile.checks import check_integer
from keras_reptile.errors import RunError, cause
from keras_reptile.experiments.experiment_run import ExperimentRun
from keras_reptile.experiments.figures import FIGURES, runs_of
from keras_reptile.files.atomic_file import read_csv, remove_partial, write_csv
from keras_reptile.files.cells import count, fraction, half_width, non_negative
from keras_reptile.pictures.style import save
from keras_reptile.recipes.recipe import NOTES, Recipe
from keras_reptile.runs.divergence import Diverged
from keras_reptile.runs.run_checks import MAY_CHANGE_ON_RESUME, check_same_run, check_settings
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.together import check_together, train_together
from keras_reptile.runs.training import train

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
# Settings that the column `others` leaves out: other columns have them, or they do not influence
# the results.
NOT_AMONG_OTHERS = {*SETTINGS, *MAY_CHANGE_ON_RESUME, "meta_iterations", "checkpoint_every"} - {
    "test_tasks"
}

# The columns of measurements.
MEASURED = {
    "measured": lambda value: {"curve": "curve", "final": "final"}[value],
    "meta_iteration": count,
    "accuracy": fraction,
    "confidence_95": half_width,
    "tasks": count,
    "seconds": non_negative,
}


def sweep(
    figure: str,
    output_dir: str | os.PathLike,
    *,
    only: tuple[str, ...] = (),
    draw_only: bool = False,
    seeds_at_once: int = 1,
    data_dir: str | None = None,
    verbose: int = 1,
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Trains the missing runs of a figure, and writes its results and its picture.

    Each run has its own directory, from which it resumes. After every run, the CSV and the picture
    are written again from all directories. So runs can be added a few at a time, and several
    processes can train different runs. If the directory of a run is missing, its rows in the CSV
    are kept, and the run counts as done if they include its final accuracy. So a sweep can be
    continued on another machine from the CSV alone.

    Args:
        figure: String, a key of `figures.FIGURES`.
        output_dir: String or path. FIGURE.csv, FIGURE.png and runs/, with a directory for each run,
            are written there.
        only: Tuple of strings, names of runs or patterns such as `"g*"`. Defaults to `()`, all.
        draw_only: Boolean, `True` to train nothing. Defaults to `False`.
        seeds_at_once: Integer, the runs of one setting with several seeds that make their
            meta-steps together, see `train_together`. Their files are the same; `seconds` is a
            run's share. Defaults to `1`.
        data_dir: String, TFDS's data directory. Defaults to `None`, TFDS's own default.
        verbose: Integer, as in `keras.Model.fit`. Defaults to `1`.
        **overrides: Fields of `Recipe`, for all runs.

    Returns:
        List of dicts, the rows of the CSV. Their keys are

        * `run`, `curve` and the settings. `others` lists the settings that differ from the
          figure's own.
        * `measured`: `"curve"` during training, or `"final"`.
        * `meta_iteration`.
        * `accuracy` and `confidence_95` in [0, 1], over `tasks` test tasks.
        * `seconds`: of training, checkpoints and curve so far.

    Raises:
        ValueError: If there is no such figure or run, or settings do not fit together.
        RunError: If a directory or the CSV has a run with other settings, there are no results, or
            runs diverged. Runs that diverge are reported after the others are done.
        Interrupted: If the process receives a signal to stop. The state is saved first.
    """
    runs = runs_with_other_settings(figure, **overrides)
    check_seeds_at_once(figure, runs, seeds_at_once)
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
        for group in groups(chosen, seeds_at_once):
            # Another process may have trained some of them in the meantime.
            left = [n for n in group if not is_done(n, chosen[n], directories[n], earlier)]
            if left:
                _print_if(verbose, _heading(left, list(chosen)))
                each = [(n, chosen[n].recipe, directories[n].path) for n in left]
                diverged += _train(each, data_dir, verbose)
                publish(figure, runs, directories, Path(output_dir))
    finally:
        rows = publish(figure, runs, directories, Path(output_dir))
    if diverged:
        raise RunError(f"{len(diverged)} of {len(chosen)} runs diverged. " + " ".join(diverged))
    if not rows:
        raise RunError(f"{output_dir} has no results of {figure} yet. Train some of its runs.")
    return rows


def choose(runs: dict[str, ExperimentRun], only: tuple[str, ...]) -> dict[str, ExperimentRun]:
    """Returns the runs whose names match, in their order.

    Args:
        runs: Dict of runs by name.
        only: Tuple of names or patterns. An empty tuple chooses all runs.

    Raises:
        ValueError: If a pattern matches no run.

    Example:

    >>> list(choose(runs_of("gradient_combinations"), ("g1", "half*")))
    ['g1', 'half_g1_g2']
    """
    for pattern in only:
        if not fnmatch.filter(runs, pattern):
            raise ValueError(
                "`only` must be names of runs, or patterns of names. Received: "
                f"{pattern!r}, with the runs {', '.join(runs)}."
            )
    return {n: r for n, r in runs.items() if not only or any(fnmatch.fnmatch(n, p) for p in only)}


def groups(runs: dict[str, ExperimentRun], seeds_at_once: int) -> list[list[str]]:
    """Returns the names of runs that are trained together: one setting with several seeds.

    Args:
        runs: Dict of runs by name.
        seeds_at_once: Integer, the most runs in a group.

    Example:

    >>> groups(choose(runs_of("study"), ("paper_*", "reset_s0")), 2)
    [['paper_s0', 'paper_s1'], ['paper_s2'], ['reset_s0']]
    """
    by_setting: dict[tuple, list[str]] = {}
    for name, run in runs.items():
        setting = dataclasses.astuple(dataclasses.replace(run.recipe, seed=0))
        by_setting.setdefault(setting, []).append(name)
    parts = [
        (names, i) for names in by_setting.values() for i in range(0, len(names), seeds_at_once)
    ]
    return [names[i : i + seeds_at_once] for names, i in parts]


def check_seeds_at_once(figure: str, runs: dict[str, ExperimentRun], seeds_at_once: int) -> None:
    """Raises `ValueError` if no setting of a figure has several seeds, or they do not go together.

    Args:
        figure: String, the name of the figure.
        runs: Dict, all of its runs by name.
        seeds_at_once: Integer, see `sweep`.
    """
    check_integer("seeds_at_once", seeds_at_once, 1)
    if seeds_at_once == 1:
        return
    together = [group for group in groups(runs, seeds_at_once) if len(group) > 1]
    if not together:
        raise ValueError(
            f"Each setting of {figure} has one seed only. Received: "
            f"seeds_at_once={seeds_at_once}. Leave it out."
        )
    for group in together:
        check_together([runs[name].recipe for name in group])


def _heading(names, chosen) -> str:
    """Returns what is printed above the output of runs that are trained together."""
    numbers = [str(1 + chosen.index(name)) for name in names]
    return f"\n{', '.join(names)}, {', '.join(numbers)} of {len(chosen)}" + (
        f": they are trained together, and the rows are those of {names[0]}." if names[1:] else ""
    )


def _train(runs, data_dir, verbose) -> list[str]:
    """Trains runs to their end, together. Returns a message for each that diverges.

    Args:
        runs: List of tuples, the name, the recipe and the path of each run.
    """
    names, recipes, paths = zip(*runs, strict=True)
    try:
        results = _results(recipes, paths, data_dir, verbose)
    finally:
        # Otherwise the graphs of dozens of runs would fill the memory.
        keras.utils.clear_session()
    found = zip(names, results, strict=True)
    messages = [f"{name}: {result}" for name, result in found if isinstance(result, Diverged)]
    _print_if(verbose and messages, "\n".join(messages))
    return messages


def _results(recipes, paths, data_dir, verbose) -> list[dict | Diverged]:
    if len(recipes) > 1:
        return train_together(recipes, paths, data_dir=data_dir, verbose=verbose)
    try:
        return [train(recipes[0], paths[0], data_dir=data_dir, verbose=verbose)]
    except Diverged as error:
        return [error]


def summary_of(run: ExperimentRun, directory: RunDirectory) -> dict[str, Any] | None:
    """Returns the summary of a run if it is done with the settings of this recipe, else `None`."""
    summary = directory.read_run("summary.json")
    if summary is None:
        return None
    saved, wanted = summary["settings"], dataclasses.asdict(run.recipe)
    return summary if all(saved[k] == v for k, v in wanted.items() if k not in NOTES) else None


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
    usual = runs_of(figure)
    runs = runs_of(figure, **overrides)
    return {
        n: r._replace(other_settings=_other_settings(r.recipe, usual[n].recipe))
        for n, r in runs.items()
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
    first = rows[0]
    return (
        f"{first['dataset']}, {first['ways']}-way {first['shots']}-shot, {longest:,} "
        f"meta-iterations, meta-batch {first['meta_batch_size']}"
    )


def _print_if(verbose, text) -> None:
    if verbose:
        print(text, flush=True)
