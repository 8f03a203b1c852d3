"""Measuring a finished run on other tasks than those of its summary."""

import dataclasses
import json
import os
import time
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.checkpoint import load_checkpoint
from keras_reptile.checks import check_positive, local_path
from keras_reptile.errors import RunError
from keras_reptile.files.atomic_file import check_writable
from keras_reptile.recipes import building
from keras_reptile.recipes.recipe import SINUSOID, Recipe, check_fields, check_values
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs import compilation, run_classes
from keras_reptile.runs.results import measure, measure_both, write_record
from keras_reptile.runs.run_checks import (
    MAY_DIFFER_BETWEEN_WORKERS,
    check_checkpoint,
    check_outputs,
)
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.training import bar_verbosity

# What an evaluation may choose: the data, its tasks, and how they are computed.
CHOICES = (
    "dataset",
    "dataset_split",
    "validation_classes",
    "test_classes",
    "split_seed",
    "split_dir",
    "image_dir",
    "manual_dir",
    "ways",
    "shots",
    "train_shots",
    "queries",
    "train_queries",
    "minibatches",
    "eval_inner_batch_size",
    "eval_inner_steps",
    "transductive",
    "task_parallelism",
    "jit_compile",
)


def test(
    output_dir: str | os.PathLike,
    *,
    which: str = "last",
    split: str = "test",
    tasks: int = 1000,
    seed: int = 0,
    both: bool = False,
    record: str | os.PathLike | None = None,
    data_dir: str | None = None,
    verbose: int = 1,
    strategy: tf.distribute.Strategy | None = None,
    **overrides: Any,
) -> list[dict[str, Any]]:
    """Accuracy of a run's initialization over tasks of unseen classes, or its loss on fresh sines.

    Args:
        output_dir: String or path, the output directory of a training run.
        which: String, `"last"` for the newest checkpoint or `"best"` for the one with the best
            validation. Defaults to `"last"`.
        split: String, `"test"`, `"validation"` or `"train"`. Defaults to `"test"`.
        tasks: Integer. Defaults to `1000`.
        seed: Integer, decides the tasks. Defaults to `0`.
        both: Boolean, measure inductively and transductively. Defaults to `False`, as the run.
        record: String or path of a JSON file to write: the results, and how they were found. A
            pipe, `/dev/stdout` and `/dev/null` are written to. Defaults to `None`, none.
        data_dir: String, TFDS's data directory. Defaults to `None`, TFDS's own choice.
        verbose: Integer, 1 shows a progress bar. Defaults to `1`.
        strategy: As in `train`: in a cluster the chief alone reads `output_dir`. Defaults to
            `None`.
        **overrides: Fields of `Recipe` that replace the run's, such as `shots`; see `CHOICES`. Not
            those that the checkpoint holds, such as `inner_learning_rate`.

    Returns:
        List of one dict, of accuracy and confidence_95 in [0, 1], tasks, non_finite_tasks, ways,
        shots, transductive; of sine waves loss, the mean squared error, and confidence_95, tasks,
        non_finite_tasks, shots, inner_steps. With `both` a list of two dicts, inductive and
        transductive. The confidence_95 of a single task is `None`. So is the loss if the inner
        loop diverges in one of the tasks.

    Raises:
        RunError: If there is no run, its checkpoint cannot be read or is of another network, the
            data has other classes than in training, or the record cannot be written.
        ValueError: If the numbers do not fit together or the data cannot be read.
    """
    check_positive("tasks", tasks)
    check_choices(overrides)
    record = local_path(record) if record else None
    workers = distribution.Workers(strategy)
    verbose = bar_verbosity(verbose) if workers.is_chief else 0
    with workers.directory(output_dir) as path, distribution.losses_explained(workers):
        directory, saved, settings = RunDirectory(path), None, {}
        with workers.together():
            if workers.is_chief:
                settings = read_run(directory)["settings"]
                if record:
                    check_writable(record)
        settings = json.loads(workers.exchange(json.dumps(settings))[0])
        recipe = Recipe(**settings)
        check_fields(recipe.dataset, overrides)
        if both:
            check_both(recipe, overrides)
        trained, recipe = recipe, dataclasses.replace(recipe, **overrides)
        check_values(recipe)
        check_positive("queries", recipe.queries)
        building.set_precision(recipe)
        with workers.together():
            if workers.is_chief:
                saved = load_chosen(directory, which)
                check_checkpoint(trained, saved, directory.checkpoints)
                check_outputs(recipe, saved)
            pools = building.load_pools(recipe, data_dir, (split,))
            if workers.is_chief:
                run_classes.check_evaluation(directory, trained, overrides, pools, split)
            building.check_ways(recipe, pools, split, ", or choose another `split`")
            episodes = building.evaluation_episodes(recipe, getattr(pools, split), tasks, seed)
        alike = {**overrides, "split": split, "tasks": tasks, "seed": seed}
        alike["classes"] = run_classes.digest(pools)
        workers.check_alike({k: v for k, v in alike.items() if k not in MAY_DIFFER_BETWEEN_WORKERS})
        shape = pools.train.image_shape
        jit_compile = compilation.of_evaluation(recipe, tasks)
        model = building.on_strategy(recipe, shape, saved, strategy, workers, jit_compile)
        started = time.perf_counter()
        if both:
            results = measure_both(recipe, model, episodes, verbose)
        else:
            results = [measure(recipe, model, episodes, verbose)]
        if record and workers.is_chief:
            how = {"split": split, "seed": seed, "seconds": time.perf_counter() - started}
            write_record(Path(record), results, recipe, model, how)
        return results


def check_choices(overrides: dict[str, Any]) -> None:
    """Raises `ValueError` for settings that no evaluation can choose."""
    other = {name: value for name, value in overrides.items() if name not in CHOICES}
    if other:
        listed = ", ".join(f"{name}={value!r}" for name, value in other.items())
        raise ValueError(
            "An evaluation takes over what the trained model holds, and has no use for what only "
            f"training needs. Received: {listed}. It can choose {', '.join(CHOICES)}."
        )


def check_both(recipe: Recipe, overrides: dict[str, Any]) -> None:
    """Refuses what does not go with measuring inductively and transductively."""
    if "transductive" in overrides:
        raise ValueError(
            "`both` measures inductively and transductively. Received with it: "
            f"transductive={overrides['transductive']}. Give one of the two."
        )
    if recipe.dataset == SINUSOID:
        raise ValueError(
            "`both` measures accuracy inductively and transductively. Received a run on sine "
            "waves, whose loss is the same in both. Leave it away."
        )


def read_run(directory: RunDirectory) -> dict[str, Any]:
    """The content of run.json, or a `RunError` that there is none."""
    run = directory.read_run()
    if run is None:
        raise RunError(f"{directory.path} holds no run: there is no run.json in it.")
    return run


def load_chosen(directory: RunDirectory, which: str) -> ReptileModel:
    """The newest checkpoint of a run, or the best one."""
    if which == "best" and directory.best.exists():
        return load_checkpoint(directory.best)
    if which == "best":
        raise RunError(f"{directory.path} holds no best checkpoint: the run did not validate.")
    model = directory.restore()
    if model is None:
        raise RunError(f"{directory.path} holds no checkpoint yet.")
    return model
