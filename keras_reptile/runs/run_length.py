"""Another number of meta-iterations for a run that is not finished: it is annealed anew."""

from typing import Any

from keras_reptile.algorithm.meta_update import ReannealedMetaStep
from keras_reptile.errors import RunError
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs.run_directory import RunDirectory

# In run.json and summary.json: pairs of the meta-iteration from which a number of meta-iterations
# held, and that number. Runs that were never changed have none.
HISTORY = "meta_iterations_history"


def check(directory: RunDirectory, recipe: Recipe) -> None:
    """Raises `RunError` if the run in a directory cannot have the recipe's number.

    By the names of its checkpoints, before the data is read.
    """
    run = directory.read_run()
    before = run["settings"]["meta_iterations"] if run else recipe.meta_iterations
    now, done = recipe.meta_iterations, directory.reached()
    if now == before or not done:
        return
    if done >= before:
        raise RunError(
            f"{directory.path} holds a run that is finished: its meta-step size has come to its "
            f"end after {before:,} meta-iterations. Received: meta_iterations={now}. Choose "
            "another --output_dir."
        )
    if now <= done:
        raise RunError(
            f"{directory.path} holds a run that has made {done:,} meta-iterations. Received: "
            f"meta_iterations={now}. Give a larger number, or measure the run as it is: "
            "bin/evaluate."
        )


def history(run: dict[str, Any] | None, recipe: Recipe, done: int) -> list[list[int]]:
    """The numbers of meta-iterations that a run has had, the recipe's the last of them.

    Args:
        run: Dict, the content of run.json; `None` if there is none.
        recipe: A `Recipe`.
        done: Integer, the meta-iteration from which the run goes on; 0 for a new one.

    Returns:
        List of pairs: a meta-iteration, and the number of them that held from there on.

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
    # What no meta-iteration has had yet is forgotten.
    past = [pair for pair in past if pair[0] < done]
    return past if past[-1][1] == now else [*past, [done, now]]


def in_words(recipe: Recipe, lengths: list[list[int]], done: int) -> str | None:
    """What is said where a run goes on with another number; `None` where it has the same."""
    if len(lengths) < 2 or lengths[-1][0] != done:
        return None
    now, before = lengths[-1][1], lengths[-2][1]
    size = float(schedule(recipe, lengths)(done))
    return (
        f"Annealed anew: {now:,} meta-iterations in all instead of {before:,}. In the "
        f"{now - done:,} that are left the meta-step size goes from {size:g} to "
        f"{recipe.meta_step_size_final:g}."
    )


def schedule(recipe: Recipe, lengths: list[list[int]]) -> ReannealedMetaStep:
    """The meta-step size of a run that was changed on the way."""
    return ReannealedMetaStep(recipe.meta_step_size, recipe.meta_step_size_final, lengths)


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
        f"and end with the settings' number. Received: {past!r}. Bring it back from a copy or use "
        "another run."
    )
