"""Trains runs that differ in their seed only, and makes their meta-steps in one program.

Each run is that of `training.train`, in a turn of its own: its files, its validation and its end.
Only its meta-steps wait for those of the others.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_reptile.episodes.class_pool import Pools
from keras_reptile.model.joint_steps import JointSteps
from keras_reptile.recipes import building
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs.divergence import Diverged
from keras_reptile.runs.joint_run import JointRun
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.stop_on_signal import Flag, Interrupted, StopOnSignal
from keras_reptile.runs.training import train
from keras_reptile.runs.turns import Turn


def train_together(
    recipes: Sequence[Recipe],
    output_dirs: Sequence[str | os.PathLike],
    *,
    data_dir: str | None = None,
    verbose: int = 1,
    beside: Sequence[RunDirectory] = (),
) -> list[dict[str, Any] | Diverged]:
    """Trains runs that differ in their seed only, or resumes them.

    Each directory has the files that `train` writes there, and either can resume it. The runs
    that have made the fewest meta-iterations make the next one, together.

    Args:
        recipes: Sequence of `Recipe`.
        output_dirs: Sequence of strings or paths, one for each recipe.
        data_dir: As in `train`.
        verbose: As in `train`. The rows are those of the first run.
        beside: As in `SingleRun`. Defaults to `()`.

    Returns:
        List of what `train` returns for each run, or the `Diverged` that it raises.

    Raises:
        ValueError: If the recipes differ in more than the seed, or cannot be trained together.
        Other errors are those of `train`. One of them ends all runs.
    """
    check_together(recipes)
    # Programs are traced in this thread.
    building.prepare(recipes[0])
    loaded: list[Pools] = []
    with StopOnSignal() as stop:
        turns = [
            Turn(_training(recipe, path, data_dir, 0 if i else verbose, stop.heard, loaded, beside))
            for i, (recipe, path) in enumerate(zip(recipes, output_dirs, strict=True))
        ]
        _take_turns(turns, stop.heard)
    return [turn.error if isinstance(turn.error, Diverged) else turn.result for turn in turns]


def check_together(recipes: Sequence[Recipe]) -> None:
    """Raises `ValueError` if runs of these recipes cannot be trained together."""
    first = dataclasses.asdict(recipes[0])
    for recipe in recipes:
        own = dataclasses.asdict(recipe)
        different = {k: (v, own[k]) for k, v in first.items() if own[k] != v and k != "seed"}
        if different:
            listed = ", ".join(f"{k}={a!r} and {b!r}" for k, (a, b) in different.items())
            raise ValueError(
                "Runs that are trained together may differ in their seed only. Received: "
                f"{listed}. Train these one by one."
            )
    if tf.distribute.has_strategy():
        name = type(tf.distribute.get_strategy()).__name__
        raise ValueError(
            "Runs are trained together on one device, without a strategy. Received: the scope of a "
            f"{name}. Leave the scope, or train one by one."
        )


def _training(recipe, path, data_dir, verbose, *of_joint_run) -> Callable[[Turn], Any]:
    def run(turn):
        joint = JointRun(turn, *of_joint_run)
        return train(recipe, path, data_dir=data_dir, verbose=verbose, run=joint)

    return run


def _take_turns(turns: Sequence[Turn], stopped: Flag) -> None:
    """Runs all turns to their end, with joint steps in between.

    Args:
        turns: Sequence of `Turn`.
        stopped: `Flag` that is set when a signal asks all of them to stop. Those that have begun
            stop after their next step.

    Raises:
        Exception: The first error of a turn that is not `Diverged`.
        Interrupted: If they were asked to stop. All that have begun are saved.
    """
    steps = JointSteps()
    try:
        for turn in turns:
            if not stopped.is_set():
                turn.start()
                _check(turn)
        while waiting := [turn for turn in turns if turn.request is not None]:
            group = _furthest_behind(waiting)
            for turn, answer in zip(group, _joint_step(steps, group), strict=True):
                turn.answer(answer)
                _check(turn)
    finally:
        for turn in turns:
            turn.cancel()
    # The signal may have come during the tests at the end, which are not interrupted.
    if stopped.is_set():
        raise Interrupted


def _check(turn) -> None:
    if turn.error is not None and not isinstance(turn.error, Diverged | Interrupted):
        raise turn.error


def _furthest_behind(turns) -> list[Turn]:
    """Returns the turns whose models have made the fewest meta-iterations."""
    done = [turn.request[0].meta_iteration for turn in turns]
    return [turn for turn, number in zip(turns, done, strict=True) if number == min(done)]


def _joint_step(steps, turns) -> list[tuple]:
    """Returns the answer to each turn: its logs, and its share of the seconds."""
    started = time.perf_counter()
    logs = steps.run(*zip(*(turn.request for turn in turns), strict=True))
    share = (time.perf_counter() - started) / len(turns)
    return [(of_turn, share) for of_turn in logs]
