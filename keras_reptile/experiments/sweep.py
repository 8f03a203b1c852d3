"""Sweeps: trains all runs of a figure one after another, and collects the results in one CSV."""

import dataclasses
import fnmatch
import os
from pathlib import Path
from typing import Any

import keras

from keras_reptile.checks import check_integer
from keras_reptile.errors import RunError
from keras_reptile.experiments.experiment_run import ExperimentRun
from keras_reptile.experiments.sweep_results import (
    check_known,
    check_same_results,
    is_done,
    publish,
    read_rows,
    runs_with_other_settings,
)
from keras_reptile.files.atomic_file import remove_partial
from keras_reptile.runs.divergence import Diverged
from keras_reptile.runs.joint_run import SingleRun
from keras_reptile.runs.run_checks import check_same_run, check_settings
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.together import check_together, train_together
from keras_reptile.runs.training import train


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
        * `seconds`: of training and curve so far, without checkpoints.

    Raises:
        ValueError: If there is no such figure or run, or settings do not fit together.
        RunError: If a directory or the CSV has a run with other settings, the data have changed
            since another run of the figure began, there are no results, or runs diverged. Runs that
            diverge are reported after the others are done.
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
    check_known(runs, earlier, f"{figure}.csv")
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
                beside = [d for n, d in directories.items() if n not in left and _has_trained(d)]
                diverged += _train(each, data_dir, verbose, beside)
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

    >>> list(choose(runs_with_other_settings("gradient_combinations"), ("g1", "half*")))
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

    >>> groups(choose(runs_with_other_settings("study"), ("paper_*", "reset_s0")), 2)
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
    numbers = f"{', '.join(str(1 + chosen.index(name)) for name in names)} of {len(chosen)}"
    if len(names) == 1:
        return f"\n{names[0]}, {numbers}"
    return f"\n{', '.join(names)}: {numbers}, trained together. The rows are of {names[0]}."


def _has_trained(directory) -> bool:
    return bool(directory.saved()) or (directory.path / "summary.json").exists()


def _train(runs, data_dir, verbose, beside) -> list[str]:
    """Trains runs to their end, together. Returns a message for each that diverges.

    Args:
        runs: List of tuples, the name, the recipe and the path of each run.
        data_dir: As in `sweep`.
        verbose: As in `sweep`.
        beside: List of `RunDirectory`, the figure's other runs.
    """
    names, recipes, paths = zip(*runs, strict=True)
    try:
        results = _results(recipes, paths, data_dir, verbose, beside)
    finally:
        # Otherwise the graphs of dozens of runs would fill the memory.
        keras.utils.clear_session()
    found = zip(names, results, strict=True)
    messages = [f"{name}: {result}" for name, result in found if isinstance(result, Diverged)]
    _print_if(verbose and messages, "\n".join(messages))
    return messages


def _results(recipes, paths, data_dir, verbose, beside) -> list[dict | Diverged]:
    how = {"data_dir": data_dir, "verbose": verbose}
    if len(recipes) > 1:
        return train_together(recipes, paths, **how, beside=beside)
    try:
        return [train(recipes[0], paths[0], **how, run=SingleRun(beside))]
    except Diverged as error:
        return [error]


def _print_if(verbose, text) -> None:
    if verbose:
        print(text, flush=True)
