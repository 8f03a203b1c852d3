"""Evaluates a run's checkpoint on any tasks."""

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from keras_reptile import distribution
from keras_reptile.algorithm.orientations import check_orientations
from keras_reptile.checkpoint import load_checkpoint
from keras_reptile.checks import check_choice, check_positive, local_path, shown
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.errors import RunError
from keras_reptile.files.atomic_file import check_writable, finite
from keras_reptile.recipes import building
from keras_reptile.recipes.data_options import without_own_split
from keras_reptile.recipes.recipe import OF_EVALUATION, SINUSOID, Recipe, check_fields, check_values
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs import compilation, other_folder, own_layers, run_classes
from keras_reptile.runs.other_ways import ModelOfTasks
from keras_reptile.runs.progress import bar_verbosity, say_evaluation_batch
from keras_reptile.runs.results import measure, measure_both, write_record
from keras_reptile.runs.run_checks import (
    MAY_DIFFER_BETWEEN_WORKERS,
    check_checkpoint,
    check_outputs,
    with_absolute_paths,
)
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.run_files import check_no_file_of_a_run

# The checkpoints that can be chosen: the newest one, and the best one.
WHICH = ("last", "best")
# All fields that an evaluation can replace: the data, the tasks, and how they are computed.
CHOICES = (
    "dataset",
    "dataset_split",
    "validation_classes",
    "test_classes",
    "split_seed",
    "manual_dir",
    "train_shots",
    "train_queries",
    *OF_EVALUATION,
)


def evaluate_run(
    output_dir: str | os.PathLike,
    *,
    which: str = "last",
    split: str = "test",
    tasks: int = 1000,
    seed: int = 0,
    both: bool = False,
    orientations: int = 1,
    record: str | os.PathLike | None = None,
    data_dir: str | None = None,
    verbose: int = 1,
    strategy: tf.distribute.Strategy | None = None,
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Evaluates a run's initialization on tasks of unseen classes, or on new sine waves.

    Args:
        output_dir: String or path, the output directory of a training run.
        which: String, `"last"` for the newest checkpoint or `"best"` for the one with the best
            validation. Defaults to `"last"`.
        split: String, `"test"`, `"validation"` or `"train"`. Defaults to `"test"`.
        tasks: Integer, the number of tasks. Defaults to `1000`.
        seed: Integer, the seed of the tasks. Defaults to `0`.
        both: Boolean, whether to evaluate inductively and transductively. Defaults to `False`: as
            the run's recipe says.
        orientations: Integer, as in `evaluate`. Defaults to `1`.
        record: String or path of a JSON file to write, with the results and their settings. It can
            be a pipe, `/dev/stdout` or `/dev/null`. Defaults to `None`, no file.
        data_dir: String, TFDS's data directory. Defaults to `None`, TFDS's own default.
        verbose: Integer, 1 shows a progress bar. Defaults to `1`.
        strategy: As in `train`. In a cluster only the chief reads `output_dir`. Defaults to `None`.
        **overrides: Fields of `Recipe` that replace the run's, such as `shots`. `CHOICES` lists
            them. Settings of the checkpoint, such as `inner_learning_rate`, cannot be replaced.

    Returns:
        List of one dict. With `both` it is a list of two dicts, inductive and transductive. The
        keys are

        * for images: `accuracy` and `confidence_95` in [0, 1], `tasks`, `non_finite_tasks`,
          `ways`, `shots`, `transductive`, `orientations`;
        * for sine waves: `loss`, the mean squared error, `confidence_95`, `tasks`,
          `non_finite_tasks`, `shots`, `inner_steps`.

        `confidence_95` is `None` for a single task. `loss` is `None` if the inner loop diverges in
        one of the tasks.

    Raises:
        RunError: If there is no run, its checkpoint cannot be read or is of another network, the
            data have other classes than in training, or the record cannot be written.
        ValueError: If settings do not fit together or the data cannot be read.
    """
    check_positive("tasks", tasks)
    check_choice("which", which, WHICH)
    check_choice("split", split, Pools._fields)
    check_choices(overrides)
    record = local_path(record) if record else None
    workers = distribution.Workers(strategy)
    verbose = bar_verbosity(verbose) if workers.is_chief else 0
    with workers.directory(output_dir) as path, distribution.lost_workers_explained(workers):
        directory, saved = RunDirectory(path), None
        trained = _recipe_of_run(directory, record, workers)
        recipe = _with_overrides(trained, overrides, both)
        orientations = check_turns(recipe, orientations)
        with workers.together():
            if workers.is_chief:
                saved = _saved_model(directory, which, trained, recipe)
            pools = building.load_pools(_with_needed_images(recipe, split), data_dir, (split,))
            if workers.is_chief:
                run_classes.check_evaluation(directory, trained, overrides, pools, split)
                other_folder.warn(directory, trained, recipe, pools, split)
            building.check_ways(recipe, pools, split, ", or choose another `split`")
            episodes = building.evaluation_episodes(recipe, getattr(pools, split), tasks, seed)
        alike = {**overrides, "split": split, "tasks": tasks, "seed": seed}
        alike |= {"orientations": orientations, "classes": run_classes.digest(pools)}
        workers.check_alike({k: v for k, v in alike.items() if k not in MAY_DIFFER_BETWEEN_WORKERS})
        jit_compile = compilation.of_evaluation(recipe, tasks * orientations)
        spec = episodes.element_spec
        model = building.on_strategy(recipe, spec, saved, strategy, workers, jit_compile)
        model = ModelOfTasks(recipe, jit_compile).of(model)
        say_evaluation_batch(model, episodes, verbose, orientations)
        started = time.perf_counter()
        if both:
            results = measure_both(recipe, model, episodes, verbose, orientations)
        else:
            results = [measure(recipe, model, episodes, verbose, orientations)]
        if record and workers.is_chief:
            how = {
                "run": os.path.abspath(directory.path),
                "checkpoint": which,
                "split": split,
                "classes": None if recipe.dataset == SINUSOID else len(getattr(pools, split)),
                "seed": seed,
                "orientations": orientations,
                "seconds": time.perf_counter() - started,
            }
            _write(Path(record), results, recipe, model, how)
        return results


def _write(record: Path, results: list[dict[str, Any]], *of_record: Any) -> None:
    """Writes the record. If that fails, the error has the results: they may have taken hours."""
    try:
        write_record(record, results, *of_record)
    except RunError as error:
        raise RunError(f"{error} The results: {json.dumps(finite(results))}") from None


def _recipe_of_run(directory, record, workers) -> Recipe:
    """Returns the recipe of the chief's run, after checking that the record can be written."""
    settings = {}
    with workers.together():
        if workers.is_chief:
            settings = read_run(directory)["settings"]
            if record:
                check_no_file_of_a_run("record", record)
                check_writable(Path(record))
    return Recipe(**json.loads(workers.exchange(json.dumps(settings))[0]))


def _with_overrides(trained: Recipe, overrides: dict[str, Any], both: bool) -> Recipe:
    """Returns the recipe of the evaluation, after its checks."""
    check_fields(trained.dataset, overrides)
    if both:
        check_both(trained, overrides)
    chosen = {**without_own_split(trained, overrides), **with_absolute_paths(overrides)}
    recipe = dataclasses.replace(trained, **chosen)
    if recipe.ways != trained.ways_in_training:
        recipe = dataclasses.replace(recipe, train_ways=trained.ways_in_training)
    check_values(recipe)
    check_positive("queries", recipe.queries)
    building.prepare(recipe)
    return recipe


def _with_needed_images(recipe: Recipe, split: str) -> Recipe:
    """Returns the recipe for loading: classes with too few images for its tasks are left out."""
    if split != "train":
        return recipe
    # Otherwise they need the images of the run's training tasks.
    return dataclasses.replace(recipe, train_shots=recipe.shots, train_queries=True)


def _saved_model(directory, which, trained, recipe) -> ReptileModel:
    """Returns the model of a run's checkpoint, after checks."""
    saved = load_chosen(directory, which)
    check_checkpoint(trained, saved, directory.checkpoints)
    check_outputs(recipe, saved)
    own_layers.warn_of_changes(directory, saved.network)
    if which == "last" and saved.meta_iteration < trained.meta_iterations:
        logging.warning(
            "The run in %s is not finished: its checkpoint of meta-iteration %d of %d is tested.",
            *(shown(directory.path), saved.meta_iteration, trained.meta_iterations),
        )
    return saved


def check_choices(overrides: dict[str, Any]) -> None:
    """Raises `ValueError` for fields that an evaluation cannot replace."""
    other = {name: value for name, value in overrides.items() if name not in CHOICES}
    if other:
        listed = ", ".join(f"{name}={value!r}" for name, value in other.items())
        raise ValueError(
            "An evaluation cannot change the settings of the trained model or of its training. "
            f"Received: {listed}. It can change {', '.join(CHOICES)}."
        )


def check_turns(recipe: Recipe, orientations: int) -> int:
    """Returns a number of orientations as an `int`.

    Raises:
        ValueError: If it is none of its values, or the tasks are waves.
    """
    number = check_orientations(orientations)
    if number > 1 and recipe.dataset == SINUSOID:
        raise ValueError(
            "`orientations` turns images. Received: a run on sine waves. Leave `orientations` out."
        )
    return number


def check_both(recipe: Recipe, overrides: dict[str, Any]) -> None:
    """Raises `ValueError` if `both` does not fit the recipe or the overrides."""
    if "transductive" in overrides:
        raise ValueError(
            "`both` evaluates inductively and transductively. Received with it: "
            f"transductive={overrides['transductive']}. Give one of the two."
        )
    if recipe.dataset == SINUSOID:
        raise ValueError(
            "`both` evaluates accuracy inductively and transductively. Received: a run on sine "
            "waves, whose loss is the same for both. Leave `both` out."
        )


def read_run(directory: RunDirectory) -> dict[str, Any]:
    """Returns the content of run.json.

    Raises:
        RunError: If there is none.
    """
    run = directory.read_run()
    if run is None:
        raise RunError(
            f"{directory.path} has no run: there is no run.json in it.{_run_above(directory.path)}"
        )
    return run


def _run_above(path: Path) -> str:
    """Returns a suggestion if a path lies in a run's directory, as that of a checkpoint does."""
    above = [folder for folder in path.parents[:2] if (folder / "run.json").is_file()]
    return f" Did you mean {above[0]}? --which chooses the checkpoint." if above else ""


def load_chosen(directory: RunDirectory, which: str) -> ReptileModel:
    """Loads the newest checkpoint of a run, or the best one.

    Raises:
        RunError: If there is no such checkpoint.
    """
    if which == "best" and directory.best.exists():
        try:
            return load_checkpoint(directory.best)
        except RunError as error:
            other = "Choose --which=last, or restore the file from a copy."
            raise RunError(f"{error} {other}") from None
    if which == "best" and directory.saved():
        raise RunError(
            f"{directory.path} has no best checkpoint: the run had no validation so far. "
            "Choose --which=last."
        )
    model = directory.restore() if which == "last" else None
    if model is None:
        raise RunError(f"{directory.path} has no checkpoint yet.")
    return model
