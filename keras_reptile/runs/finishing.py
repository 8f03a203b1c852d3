"""The end of a run: its test, its pictures and its summary."""

import dataclasses
import time
from typing import Any

from keras_reptile.checks import counted
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.errors import RunError
from keras_reptile.files import provenance
from keras_reptile.recipes import building, named
from keras_reptile.recipes.recipe import SINUSOID, Recipe
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs import compilation, learning_curve, run_length, task_pictures, wave_plot
from keras_reptile.runs.callbacks import RunLog
from keras_reptile.runs.progress import bar_verbosity, say, say_evaluation_batch
from keras_reptile.runs.results import best_validation, measure
from keras_reptile.runs.run_checks import with_absolute_paths
from keras_reptile.runs.run_directory import RunDirectory


def finish(
    recipe: Recipe,
    directory: RunDirectory,
    pools: Pools,
    model: ReptileModel,
    run_log: RunLog,
    lengths: list,
    verbose: int,
) -> dict[str, Any]:
    """Tests a trained model, draws the run's pictures, and writes and returns its summary.

    Args:
        recipe: The run's `Recipe`.
        directory: Its `RunDirectory`, which this process has locked.
        pools: Its `Pools`.
        model: The trained model, with the outputs of test tasks.
        run_log: The `RunLog` of the training.
        lengths: The run's lengths, see `run_length.history`.
        verbose: Integer, as in `train`.
    """
    directory.check_lock()
    started = time.perf_counter()
    result = _test(recipe, pools, model, verbose)
    test_seconds = time.perf_counter() - started
    settings, facts = dataclasses.asdict(recipe), provenance.facts()
    if earlier := _tested_before(recipe, directory, lengths):
        result, test_seconds = earlier["result"], earlier["test_seconds"]
        settings = earlier["settings"]
        facts = {name: earlier.get(name, now) for name, now in facts.items()}
    _draw(recipe, directory, pools, model, run_log, result)
    summary = {
        "result": result,
        "best_validation": best_validation(run_log.best),
        "seconds": run_log.seconds,
        "test_seconds": test_seconds,
        "meta_iterations_per_second": _rate(recipe, run_log),
        "settings": with_absolute_paths(settings),
        "images": building.describe_images(recipe),
        **run_length.described(lengths),
        **facts,
    }
    directory.write_json("summary.json", summary)
    return summary


def _tested_before(recipe, directory, lengths) -> dict[str, Any] | None:
    """Returns the summary whose result stays: that of the same run, which is not tested again."""
    if recipe.test_tasks:
        return None
    try:
        summary = directory.read_run("summary.json")
    except RunError:
        return None
    if not summary or not summary.get("result") or "test_seconds" not in summary:
        return None
    now = {"settings": dataclasses.asdict(recipe), **run_length.described(lengths)}
    return summary if run_length.have_same_end(summary, now) else None


def _rate(recipe, run_log) -> float | None:
    """Returns the meta-iterations per second; `None` if the log lacks the run's first rows."""
    rows = run_log.rows
    is_whole = bool(rows) and int(rows[0]["meta_iteration"]) <= recipe.checkpoint_every
    return recipe.meta_iterations / run_log.seconds if is_whole else None


def _draw(recipe, directory, pools, model, run_log, result) -> None:
    """Writes the pictures of a finished run."""
    directory.check_lock()
    has_accuracy = result is not None and "accuracy" in result
    learning_curve.learning_curve(
        run_log.rows,
        _title(recipe),
        directory.path / "curve.png",
        result=result,
        ways=recipe.ways if has_accuracy else None,
        paper=named.paper_accuracy(recipe),
    )
    if recipe.dataset == SINUSOID:
        _draw_predictions(recipe, directory, pools, model)
    elif recipe.test_tasks and task_pictures.has_images(pools.test):
        task_pictures.draw_tasks(recipe, directory, pools.test, model, run_log.writer)


def _title(recipe) -> str:
    ways = "" if recipe.dataset == SINUSOID else f"{recipe.ways}-way "
    other = f" (training tasks: {recipe.train_ways}-way)"
    is_other = recipe.ways_in_training != recipe.ways
    return f"{recipe.dataset}, {ways}{recipe.shots}-shot{other if is_other else ''}"


def _draw_predictions(recipe, directory, pools, model) -> None:
    episode = next(iter(building.evaluation_episodes(recipe, pools.test, 1)))
    title = f"A fresh sine wave, {recipe.method}, meta-iteration {recipe.meta_iterations:,}"
    path = directory.path / "predictions.png"
    wave_plot.predictions_picture(model, episode, recipe.eval_inner_steps, title, path)


def _test(recipe, pools, model, verbose) -> dict[str, Any] | None:
    if not recipe.test_tasks:
        return None
    unseen = (
        counted(recipe.test_tasks, "fresh sine wave")
        if recipe.dataset == SINUSOID
        else f"{counted(recipe.test_tasks, 'task')} of "
        f"{counted(len(pools.test), 'unseen class', 'unseen classes')}"
    )
    say(verbose, f"Testing on {unseen}.")
    episodes = building.evaluation_episodes(recipe, pools.test, recipe.test_tasks)
    say_evaluation_batch(model, episodes, verbose)
    model.set_execution(jit_compile=compilation.of_evaluation(recipe, recipe.test_tasks))
    return measure(recipe, model, episodes, bar_verbosity(verbose))
