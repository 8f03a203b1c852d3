"""Checks of a run before it starts: its settings, its data, its directory and its workers."""

import dataclasses
import math
import os
from collections.abc import Collection
from typing import Any

import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.algorithm.keras_optimizers import from_keras
from keras_reptile.checks import check_positive, check_seed
from keras_reptile.episodes.class_pool import ClassPool, Pools
from keras_reptile.errors import RunError
from keras_reptile.execution import task_source
from keras_reptile.execution.plan import in_series
from keras_reptile.execution.task_source import NO_STREAM, STRATEGY
from keras_reptile.files import provenance
from keras_reptile.keras_internals import schedule_of
from keras_reptile.networks import SEEDS
from keras_reptile.recipes import building, named
from keras_reptile.recipes.data_options import more_classes
from keras_reptile.recipes.recipe import NOTES, SINUSOID, Recipe, check_values
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs import run_classes
from keras_reptile.runs.run_directory import RunDirectory

# Fields that may change when a run resumes, because they do not affect training.
MAY_CHANGE_ON_RESUME = (
    "test_tasks",
    "manual_dir",
    "task_parallelism",
    "jit_compile",
    "draw_on_device",
    *NOTES,
)

# Fields that are folders with the run's images or classes.
FOLDERS = ("image_dir", "split_dir")

# Fields that may differ between the workers of one run.
MAY_DIFFER_BETWEEN_WORKERS = (*FOLDERS, "manual_dir", *NOTES)

# Settings that are attributes of a checkpoint's model, under the names of the recipe's fields.
OF_MODEL = (
    "method",
    "inner_state",
    "task_order",
    "inner_weight_decay_rate",
    "transductive",
    "head",
    "inner_trainable",
)

NOT_NEGATIVE = (
    "train_ways",
    "validation_tasks",
    "test_tasks",
    "curve_tasks",
    "validation_classes",
)


def shared_facts(recipe: Recipe, pools: Pools) -> dict[str, Any]:
    """Returns the facts that must be the same for all workers of a run."""
    settings = {
        k: v for k, v in dataclasses.asdict(recipe).items() if k not in MAY_DIFFER_BETWEEN_WORKERS
    }
    sizes: dict[str, Any] = {}
    # Sine waves are endless and have no length.
    if isinstance(pools.train, ClassPool):
        sizes = {f"{name}_classes": len(getattr(pools, name)) for name in Pools._fields}
        sizes["classes"] = run_classes.digest(pools)
    return {**settings, **sizes, **provenance.facts()["versions"]}


def check_settings(recipe: Recipe) -> None:
    """Raises `ValueError` if a field of the recipe is out of range, or does not fit the data."""
    check_values(recipe)
    check_seed("seed", recipe.seed, -SEEDS, SEEDS)
    for name in ("queries", "meta_batch_size", "meta_iterations", "checkpoint_every"):
        check_positive(name, getattr(recipe, name))
    for name in NOT_NEGATIVE:
        if getattr(recipe, name) < 0:
            raise ValueError(f"`{name}` must not be negative. Received: {getattr(recipe, name)}.")
    if recipe.ways_in_training != recipe.ways and recipe.head != "shared":
        raise ValueError(
            "Training tasks with other ways than test tasks need a shared head, which fits any "
            f"number of classes. Received: train_ways={recipe.train_ways}, ways={recipe.ways}, "
            f"head={recipe.head!r}. Use --head=shared, or leave --train_ways out."
        )
    if recipe.curve_tasks and recipe.dataset == SINUSOID:
        raise ValueError(
            "`curve_tasks` draws a curve of accuracy, and sine waves have no accuracy. Received: "
            f"curve_tasks={recipe.curve_tasks}, dataset={recipe.dataset!r}. Leave it out. For a "
            "curve of the loss, use `validation_tasks`."
        )
    for name in ("inner_learning_rate", "inner_epsilon"):
        if not getattr(recipe, name) > 0:
            raise ValueError(f"`{name}` must be positive. Received: {getattr(recipe, name)}.")
    building.check_steps(recipe)


def check_replicas(recipe: Recipe, strategy: tf.distribute.Strategy | None) -> None:
    """Raises `ValueError` if the replicas of a strategy cannot share or draw the recipe's tasks."""
    replicas = strategy.num_replicas_in_sync if strategy else 1
    distribution.check_divides(recipe.meta_batch_size, replicas)
    if replicas > 1 and in_series(recipe.task_order, recipe.inner_state):
        raise ValueError(distribution.SERIAL.format(replicas))
    if recipe.draw_on_device == "true" and (strategy or recipe.dataset == SINUSOID):
        raise ValueError(task_source.refusal(STRATEGY if strategy else NO_STREAM))


def check_same_run(
    directory: RunDirectory, recipe: Recipe, free: Collection[str] = MAY_CHANGE_ON_RESUME
) -> dict[str, Any] | None:
    """Raises `RunError` if a directory has a run whose settings would train differently.

    Args:
        directory: The `RunDirectory`.
        recipe: A `Recipe`.
        free: Collection of strings, the fields that may differ. Defaults to `MAY_CHANGE_ON_RESUME`.

    Returns:
        The content of run.json, or `None` if there is none.
    """
    earlier = directory.read_run()
    if earlier is None:
        _check_no_checkpoints(directory)
        return None
    if different := differences(earlier["settings"], dataclasses.asdict(recipe), free):
        listed = ", ".join(f"{k}={b!r} (now {n!r})" for k, (b, n) in different.items())
        moved = " If a folder was moved, write its new path to run.json."
        raise RunError(
            f"{directory.path} has a run with other settings: {listed}. "
            "Give the same flags to resume it, or another --output_dir."
            f"{moved if different.keys() <= {*FOLDERS} else ''}"
        )
    return earlier


def differences(
    one: dict[str, Any], other: dict[str, Any], free: Collection[str]
) -> dict[str, tuple[Any, Any]]:
    """Returns the settings in which two runs differ, each with both values.

    Args:
        one, other: Dicts, all fields of the runs' recipes.
        free: Collection of strings, the fields that may differ.

    Example:

    >>> five = dataclasses.asdict(Recipe(ways=5))
    >>> differences(five, {**five, "train_ways": 5, "shots": 2}, free=())
    {'shots': (1, 2)}
    """
    # `train_ways=0` means as many as `ways`.
    if Recipe(**one).ways_in_training == Recipe(**other).ways_in_training:
        free = {*free, "train_ways"}
    # Files of earlier versions have a relative `image_dir` if it was given so.
    one, other = with_absolute_paths(one), with_absolute_paths(other)
    return {k: (one[k], v) for k, v in other.items() if one[k] != v and k not in free}


def with_absolute_paths(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings with absolute paths of folders, which are valid in any folder."""
    folders = {name: settings[name] for name in FOLDERS if name in settings}
    return {**settings, **{name: f and os.path.abspath(f) for name, f in folders.items()}}


def _check_no_checkpoints(directory: RunDirectory) -> None:
    if directory.saved():
        raise RunError(
            f"{directory.path} has checkpoints, but no run.json with the settings of the run. "
            "Restore it from a copy, or choose another --output_dir."
        )


def check_pools(recipe: Recipe, pools: Pools) -> None:
    """Raises `ValueError` if the recipe's tasks cannot be drawn from the pools."""
    tests = recipe.test_tasks or recipe.curve_tasks
    used = {"train": True, "validation": validates(recipe, pools), "test": tests}
    for part in filter(used.get, used):
        more = more_classes(recipe, part)
        building.check_ways(recipe, pools, part, more, in_training=part == "train")
    building.training_episodes(recipe, pools.train)
    if used["validation"]:
        building.evaluation_episodes(recipe, pools.validation, recipe.validation_tasks)
    for tasks in filter(None, (recipe.test_tasks, recipe.curve_tasks)):
        building.evaluation_episodes(recipe, pools.test, tasks)


def validates(recipe: Recipe, pools: Pools) -> bool:
    """Returns whether a run has validation."""
    # A `ClassPool` without classes is false. `Waves` are always true.
    return bool(pools.validation) and recipe.validation_tasks > 0


def without_effect(recipe: Recipe, pools: Pools) -> str:
    """Returns the message for `validation_tasks` without validation classes, else no text.

    There is no message for the usual number of the data set.
    """
    usual = named.get(dataset=recipe.dataset).validation_tasks
    if pools.validation or recipe.validation_tasks in (0, usual):
        return ""
    return (
        f"There are no validation classes: validation_tasks={recipe.validation_tasks} has no "
        "effect. Leave it out, or keep some classes for validation."
    )


def check_outputs(recipe: Recipe, model: ReptileModel) -> None:
    """Raises `RunError` if a checkpoint's network does not have one output for each class."""
    # The outputs of a subclassed network are not known before its first call.
    shape = getattr(model.network, "output_shape", None)
    if shape and model.head == "separate" and (outputs := shape[-1]) != recipe.ways:
        raise RunError(
            f"The checkpoint's network has {outputs} outputs. Received: ways={recipe.ways}. "
            f"Use --ways={outputs} or another checkpoint."
        )


def check_checkpoint(recipe: Recipe, model: ReptileModel, folder: Any) -> None:
    """Raises `RunError` if the settings of a checkpoint differ from those in run.json.

    Args:
        recipe: The `Recipe` in run.json.
        model: The checkpoint's model.
        folder: The folder of the checkpoint, for the error.
    """
    in_file, in_model = _of_recipe(recipe), _of_model(model)
    different = {k: (in_model[k], v) for k, v in in_file.items() if not _are_equal(in_model[k], v)}
    if different:
        listed = ", ".join(f"{k}={m!r} (run.json: {f!r})" for k, (m, f) in different.items())
        raise RunError(
            f"The checkpoint in {folder} does not belong to its run.json: {listed}. Restore the "
            "file that belongs to the other, or choose another directory."
        )


def _of_recipe(recipe) -> dict[str, Any]:
    return {
        **{name: getattr(recipe, name) for name in OF_MODEL},
        **_of_optimizers(
            from_keras(building.inner_optimizer(recipe)), building.meta_optimizer(recipe)
        ),
        **_of_loss(building.task_loss(recipe)),
    }


def _of_model(model) -> dict[str, Any]:
    return {
        **{name: getattr(model, name) for name in OF_MODEL},
        **_of_optimizers(model.inner_rule, model.optimizer),
        **_of_loss(model.task_loss),
    }


def _of_optimizers(inner, outer) -> dict[str, Any]:
    schedule = schedule_of(outer)
    sizes = schedule.get_config() if hasattr(schedule, "get_config") else {}
    return {
        "inner_optimizer": (type(inner).__name__, *dataclasses.astuple(inner)),
        "meta_optimizer": type(outer).__name__,
        # The number of meta-iterations is left out, because it may change when a run resumes.
        "meta_step_size": sizes.get("initial", sizes.get("initial_learning_rate")),
        "meta_step_size_final": sizes.get("final", sizes.get("end_learning_rate")),
    }


def _of_loss(loss) -> dict[str, Any]:
    return {"loss": type(loss).__name__, "loss_reduction": getattr(loss, "reduction", None)}


def _are_equal(a: Any, b: Any) -> bool:
    """Returns whether two values are equal, up to float32's rounding of numbers."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_are_equal, a, b))
    numbers = all(isinstance(x, int | float) for x in (a, b))
    return math.isclose(a, b, rel_tol=1e-6) if numbers else a == b
