"""Trains a run by a recipe, with checkpoints, curves and a test accuracy."""

import contextlib
import dataclasses
import json
import os
from typing import Any

import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.errors import RunError
from keras_reptile.recipes import building
from keras_reptile.recipes.recipe import SINUSOID, Recipe
from keras_reptile.runs import (
    compilation,
    draw_on_device,
    finishing,
    origin,
    other_ways,
    own_layers,
    run_classes,
    run_length,
)
from keras_reptile.runs.callbacks import RunLog, SameTasks, StopOnDivergence
from keras_reptile.runs.joint_run import SingleRun
from keras_reptile.runs.progress import Progress, say, say_evaluation_batch
from keras_reptile.runs.run_checks import (
    MAY_CHANGE_ON_RESUME,
    check_checkpoint,
    check_pools,
    check_replicas,
    check_same_run,
    check_settings,
    shared_facts,
    validates,
    with_absolute_paths,
    without_effect,
)
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.stop_on_signal import Interrupted, StopOnSignal

SINGLE_RUN = SingleRun()
COMPILING = "Compiling the first step (some seconds; longer for large networks)."


def train(
    recipe: Recipe,
    output_dir: str | os.PathLike,
    *,
    data_dir: str | None = None,
    verbose: int = 1,
    strategy: tf.distribute.Strategy | None = None,
    run: SingleRun = SINGLE_RUN,
) -> dict[str, Any]:
    """Trains by a recipe, or resumes an earlier run in the same directory.

    On a CPU, a resumed run is bit for bit the same as an uninterrupted one. On other devices it is
    the same up to rounding.

    Args:
        recipe: A `Recipe`.
        output_dir: String or path. All files of the run are written there.
        data_dir: String, TFDS's data directory. Defaults to `None`, TFDS's own default.
        verbose: Integer. 0 prints nothing. 1 prints a row for each epoch and, in a terminal, shows
            the progress. 2 prints the rows only. Defaults to `1`.
        strategy: The result of `distribution.create`, or any `tf.distribute` strategy with
            synchronous replicas. In a cluster every worker makes the same call, and only the chief
            reads and writes `output_dir`. Defaults to `None`.
        run: A `SingleRun`, or the `JointRun` of one that makes its meta-steps with others, see
            `train_together`. Defaults to a `SingleRun`.

    Returns:
        Dict, the content of summary.json: the result, the settings, versions and times. Unknown
        values are `None`: the interval of a single test task, or the speed of a run whose log.csv
        was removed or has lost its first rows.

    Raises:
        ValueError: If settings do not fit together or the data cannot be read.
        RunError: If the directory has another run, has a run that is training, or cannot be
            written, or if training diverges.
        Interrupted: If the process receives a signal to stop. The state is saved first.
    """
    check_settings(recipe)
    check_replicas(recipe, strategy)
    building.prepare(recipe)
    workers = distribution.Workers(strategy)
    verbose = verbose if workers.is_chief else 0
    with (
        workers.directory(output_dir) as path,
        distribution.lost_workers_explained(workers),
        contextlib.ExitStack() as stack,
    ):
        directory = RunDirectory(path)
        with workers.together():
            load = lambda: run.pools(lambda: building.load_pools(recipe, data_dir))  # noqa: E731
            pools, earlier, saved = _opened(recipe, directory, load, stack)
            done = saved.meta_iteration if saved else 0
            lengths = run_length.history(earlier, recipe, done)
            if saved is not None:
                run_length.check_size(directory.path, recipe, lengths, saved)
        workers.check_alike(shared_facts(recipe, pools))
        kernels = compilation.of_training(recipe, earlier)
        # Only the chief has an earlier part of the run.
        facts = workers.exchange(json.dumps([done, lengths, kernels]))[0]
        done, lengths, kept = json.loads(facts)
        kernels = compilation.Kernels(*kept)
        stream = building.training_episodes(recipe, pools.train, done)
        spec, jit_compile = stream.element_spec, kernels.jit_compile
        model = building.on_strategy(recipe, spec, saved, strategy, workers, jit_compile)
        if len(lengths) > 1:
            model.optimizer.learning_rate = run_length.schedule(recipe, lengths)
        with workers.together():
            if saved is not None and done >= recipe.meta_iterations:
                _write_finished(directory, earlier)
            else:
                before = earlier if done else None
                about = own_layers.described(model.network, before) | origin.of_run(before, done)
                _write_beginning(recipe, directory, pools, lengths, kernels, about, is_new=not done)
        _print_beginning(recipe, directory, pools, lengths, done, verbose)
        _print_kernels(kernels, earlier if done else None, verbose)
        run.join(model)
        of_tasks = other_ways.ModelOfTasks(recipe, jit_compile)
        run_log = _fit(recipe, directory, pools, stream, model, of_tasks, verbose, run)
        model = of_tasks.of(model)
        return finishing.finish(recipe, directory, pools, model, run_log, lengths, verbose)


def _opened(recipe, directory, load, stack) -> tuple:
    """Returns the pools, and run.json and the model of an earlier part of the run, after checks.

    The directory is locked until the stack is closed.
    """
    _check_directory(directory, recipe)
    pools = load()
    check_pools(recipe, pools)
    stack.enter_context(directory.locked())
    # Another run may have begun and ended here before the lock was taken.
    earlier = _check_directory(directory, recipe)
    directory.tidy()
    if directory.saved():
        run_classes.check_same(directory, pools)
    saved = directory.restore()
    if saved is not None:
        check_checkpoint(recipe, saved, directory.checkpoints)
        building.check_network(recipe, pools.train.image_shape, saved)
        own_layers.warn_of_changes(directory, saved.network)
    return pools, earlier, saved


def _check_directory(directory, recipe) -> dict[str, Any] | None:
    """Returns the content of an earlier run.json, after checking that this recipe can resume it."""
    earlier = check_same_run(directory, recipe, (*MAY_CHANGE_ON_RESUME, "meta_iterations"))
    run_length.check(directory, recipe)
    return earlier


def _write_finished(directory, earlier) -> None:
    """Writes the run.json of a finished run again: nothing of it changes in another process."""
    settings = with_absolute_paths(earlier["settings"])
    directory.write_json("run.json", {**earlier, "settings": settings})


def _write_beginning(recipe, directory, pools, lengths, kernels, about, is_new) -> None:
    settings = {"settings": with_absolute_paths(dataclasses.asdict(recipe))}
    content = {
        **settings,
        "images": building.describe_images(recipe),
        **run_length.described(lengths),
        **({} if compilation.on_a_gpu() else {compilation.KERNELS: kernels._asdict()}),
        **about,
    }
    if is_new:
        # Left by a run whose checkpoints were removed.
        directory.remove("summary.json")
    directory.write_json("run.json", content)
    classes = run_classes.describe(pools)
    # A resumed run has the file already, or is of an earlier version.
    if classes and is_new:
        directory.write_json(run_classes.FILE, classes)


def _print_beginning(recipe, directory, pools, lengths, done, verbose) -> None:
    if recipe.dataset != SINUSOID:
        say(verbose, run_classes.in_words(recipe, pools, directory))
        say(verbose, without_effect(recipe, pools))
        say(verbose, other_ways.in_words(recipe))
    if done:
        say(verbose, f"Resuming at meta-iteration {done:,} in {directory.path}.")
    if changed := run_length.in_words(recipe, lengths, done):
        say(verbose, changed)


def _print_kernels(kernels, earlier, verbose) -> None:
    if compilation.on_a_gpu():
        return
    say(verbose, compilation.in_words(kernels, earlier))
    if different := compilation.of_other_kernels(kernels):
        say(verbose, different)


def segments(done: int, total: int, every: int) -> list[tuple[int, int, int]]:
    """Divides the rest of a run into segments of epochs of equal length.

    An epoch ends at each multiple of `every` and at `total`. A run that was stopped within an epoch
    first finishes it.

    Returns:
        List of tuples `(first meta-iteration, steps in an epoch, epochs)`.

    Example:

    >>> segments(30, 450, 100)
    [(30, 70, 1), (100, 100, 3), (400, 50, 1)]
    """
    parts = []
    while done < total:
        steps = min(every - done % every, total - done)
        epochs = (total - done) // every if steps == every else 1
        parts.append((done, steps, epochs))
        done += steps * epochs
    return parts


def _fit(recipe, directory, pools, stream, model, of_tasks, verbose, run) -> RunLog:
    done = model.meta_iteration
    rows = [row for row in directory.rows() if int(row["meta_iteration"]) <= done]
    best = _best_so_far(recipe, directory, rows, done)
    run_log = RunLog(directory, rows, best, run.clock)
    say(verbose, str(model._plan(training=True, eagerly=False)))
    say(verbose, draw_on_device.choose(recipe, model, stream))
    callbacks = []
    if validates(recipe, pools):
        tasks = building.evaluation_episodes(recipe, pools.validation, recipe.validation_tasks)
        say_evaluation_batch(of_tasks.of(model), tasks, verbose)
        callbacks.append(SameTasks("val_", tasks, of_tasks.of, run_log))
    if recipe.curve_tasks:
        tasks = building.evaluation_episodes(recipe, pools.test, recipe.curve_tasks)
        # No choice depends on this accuracy.
        names = ("accuracy", "confidence_95")
        callbacks.append(SameTasks("test_", tasks, of_tasks.of, run_log, names))
    callbacks.append(run_log)
    total_epochs = -(-recipe.meta_iterations // recipe.checkpoint_every)
    progress = Progress(recipe.meta_iterations, verbose)
    parts = segments(done, recipe.meta_iterations, recipe.checkpoint_every)
    say(verbose if parts else 0, COMPILING)
    with StopOnSignal(run.stopped) as stop:
        try:
            for start, steps, epochs in parts:
                first = start // recipe.checkpoint_every
                model.fit(
                    building.training_episodes(recipe, pools.train, start),
                    steps_per_epoch=steps,
                    initial_epoch=first,
                    epochs=min(first + epochs, total_epochs),
                    callbacks=[StopOnDivergence(), *callbacks, progress, stop],
                    verbose=0,
                )
        except Interrupted:
            run_log.on_interruption()
            raise
    return run_log


def _best_so_far(recipe, directory, rows, done) -> dict[str, Any] | None:
    if not done:
        return None
    try:
        return directory.best_score(rows)
    except RunError:
        if done < recipe.meta_iterations and recipe.validation_tasks:
            raise
        return None
