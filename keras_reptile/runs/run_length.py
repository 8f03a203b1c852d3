"""Changes the number of meta-iterations of an unfinished run, and re-anneals its meta-step size."""

import math
from typing import Any

from keras_reptile.algorithm.meta_update import ReannealedMetaStep
from keras_reptile.checks import counted
from keras_reptile.errors import RunError
from keras_reptile.keras_internals import schedule_of
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs.run_directory import RunDirectory

# The key in run.json and summary.json. Its value is a list of pairs: a meta-iteration, and the
# number of meta-iterations that was set from there. Runs that were never changed have no such key.
HISTORY = "meta_iterations_history"


def check(directory: RunDirectory, recipe: Recipe) -> None:
    """Raises `RunError` if the run in a directory cannot get the recipe's number.

    It reads the names of checkpoints only, so that it fails before the data are read.
    """
    run = directory.read_run()
    before = run["settings"]["meta_iterations"] if run else recipe.meta_iterations
    now, done = recipe.meta_iterations, directory.newest_iteration()
    if now == before or not done:
        return
    if done >= before:
        raise RunError(
            f"{directory.path} has a finished run: its meta-step size has reached its final value "
            f"after {counted(before, 'meta-iteration')}. Received: meta_iterations={now}. Choose "
            "another --output_dir."
        )
    if now <= done:
        raise RunError(
            f"{directory.path} has a run with {counted(done, 'meta-iteration')} done. Received: "
            f"meta_iterations={now}. Give a larger number, or evaluate the run as it is with "
            "bin/evaluate."
        )


def history(run: dict[str, Any] | None, recipe: Recipe, done: int) -> list[list[int]]:
    """Returns the numbers of meta-iterations that were set for a run, the recipe's last.

    Args:
        run: Dict, the content of run.json, or `None`.
        recipe: A `Recipe`.
        done: Integer, the meta-iteration from which the run resumes, or 0 for a new run.

    Returns:
        List of pairs: a meta-iteration, and the number of meta-iterations that was set from there.

    Example:

    >>> run = {"settings": {"meta_iterations": 100}}
    >>> history(run, Recipe(meta_iterations=60), 20)
    [[0, 100], [20, 60]]
    """
    now = recipe.meta_iterations
    if run is None or not done:
        return [[0, now]]
    past = _past(run)
    if past[-1][1] == now:
        return past
    # Numbers that were set but never used are dropped.
    past = [pair for pair in past if pair[0] < done]
    return past if past[-1][1] == now else [*past, [done, now]]


def in_words(recipe: Recipe, lengths: list[list[int]], done: int) -> str | None:
    """Returns the message for a run that resumes with another number, else `None`."""
    if len(lengths) < 2 or lengths[-1][0] != done:
        return None
    now, before = lengths[-1][1], lengths[-2][1]
    size = float(schedule(recipe, lengths)(done))
    return (
        f"New schedule: {counted(now, 'meta-iteration')} in all instead of {before:,}. "
        f"In the remaining {now - done:,} the meta-step size goes from {size:g} to "
        f"{recipe.meta_step_size_final:g}."
    )


def schedule(recipe: Recipe, lengths: list[list[int]]) -> ReannealedMetaStep:
    """Returns the schedule of the meta-step size of a run whose number was changed."""
    return ReannealedMetaStep(recipe.meta_step_size, recipe.meta_step_size_final, lengths)


def check_size(path: Any, recipe: Recipe, lengths: list[list[int]], model: ReptileModel) -> None:
    """Raises `RunError` if a checkpoint has another meta-step size than its run.json gives.

    Args:
        path: The path of the run's directory, for the error.
        recipe: The `Recipe` of the run.
        lengths: The run's lengths, see `history`.
        model: The checkpoint's model.
    """
    done = model.meta_iteration
    saved, now = (
        float(each(done)) for each in (schedule_of(model.optimizer), schedule(recipe, lengths))
    )
    if not math.isclose(saved, now, rel_tol=1e-3, abs_tol=1e-5 * abs(recipe.meta_step_size)):
        raise RunError(
            f"The checkpoint in {path} has a meta-step size of {saved:g} at meta-iteration "
            f"{done:,}. Received: a run.json with meta_iterations={recipe.meta_iterations}, by "
            f"which it would be {now:g}. Restore that number in run.json: the flag changes it."
        )


def _past(run) -> list[list[int]]:
    past = run.get(HISTORY, [[0, run["settings"]["meta_iterations"]]])
    try:
        pairs = [[int(first), int(last)] for first, last in past]
        starts, ends = zip(*pairs, strict=True)
        rising = list(starts) == sorted(set(starts)) and starts[0] == 0
        within = all(a < b for a, b in pairs) and all(
            a < b for a, b in zip(starts[1:], ends, strict=False)
        )
        if rising and within and ends[-1] == run["settings"]["meta_iterations"]:
            return pairs
    except (TypeError, ValueError):
        pass
    raise RunError(
        f"run.json cannot be used: its {HISTORY} must be pairs such as [[0, 1000], [300, 500]], "
        f"and end with the settings' number. Received: {past!r}. Restore it from a copy or use "
        "another run."
    )


def described(lengths: list) -> dict[str, Any]:
    """Returns the entry of run.json and summary.json for a run whose length was changed."""
    return {HISTORY: lengths} if len(lengths) > 1 else {}


def have_same_end(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Returns whether two contents of run.json or summary.json have the same meta-iterations.

    Example:

    >>> run = {"settings": {"meta_iterations": 100}}
    >>> have_same_end(run, {**run, "seconds": 3.0}), have_same_end(run, {**run, HISTORY: [[0, 9]]})
    (True, False)
    """
    numbers = [(each["settings"]["meta_iterations"], each.get(HISTORY)) for each in (one, other)]
    return numbers[0] == numbers[1]
