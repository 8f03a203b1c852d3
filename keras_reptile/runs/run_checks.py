"""Checks of a run before it starts: its numbers, its data, its directory and its workers."""

import dataclasses
import math
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.algorithm.inner_optimizers import from_keras
from keras_reptile.checks import check_positive, check_seed
from keras_reptile.episodes.class_pool import ClassPool, Pools
from keras_reptile.errors import RunError
from keras_reptile.execution.plan import in_series
from keras_reptile.files import provenance
from keras_reptile.networks import SEEDS
from keras_reptile.recipes import building
from keras_reptile.recipes.data_options import more_classes
from keras_reptile.recipes.recipe import NOTES, Recipe, check_values
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs import run_classes
from keras_reptile.runs.run_directory import RunDirectory

# What may differ between the parts of one run: it does not touch training.
MAY_CHANGE_ON_RESUME = ("test_tasks", "manual_dir", "task_parallelism", "jit_compile", *NOTES)

# What may differ between the workers of one run.
MAY_DIFFER_BETWEEN_WORKERS = ("image_dir", "split_dir", "manual_dir", *NOTES)

# Settings that a checkpoint's model has under the recipe's names.
HELD = ("method", "inner_state", "task_order", "inner_weight_decay_rate", "transductive")


def _shared_facts(recipe, pools) -> dict[str, Any]:
    """What all workers of a run must have in common."""
    settings = {
        k: v for k, v in dataclasses.asdict(recipe).items() if k not in MAY_DIFFER_BETWEEN_WORKERS
    }
    sizes: dict[str, Any] = {}
    # Sine waves never run out, and have no length.
    if isinstance(pools.train, ClassPool):
        sizes = {f"{name}_classes": len(getattr(pools, name)) for name in Pools._fields}
        sizes["classes"] = run_classes.digest(pools)
    return {**settings, **sizes, **provenance.facts()["versions"]}


def check_settings(recipe: Recipe) -> None:
    """Raises `ValueError` for numbers that no run can have."""
    check_values(recipe)
    check_seed("seed", recipe.seed, -SEEDS, SEEDS)
    for name in ("queries", "meta_batch_size", "meta_iterations", "checkpoint_every"):
        check_positive(name, getattr(recipe, name))
    for name in ("validation_tasks", "test_tasks", "curve_tasks", "validation_classes"):
        if getattr(recipe, name) < 0:
            raise ValueError(f"`{name}` must not be negative. Received: {getattr(recipe, name)}.")
    for name in ("inner_learning_rate", "inner_epsilon"):
        if not getattr(recipe, name) > 0:
            raise ValueError(f"`{name}` must be positive. Received: {getattr(recipe, name)}.")
    building.check_steps(recipe)


def check_replicas(recipe: Recipe, strategy: tf.distribute.Strategy | None) -> None:
    """Raises `ValueError` if the replicas of a strategy cannot share the recipe's tasks."""
    replicas = strategy.num_replicas_in_sync if strategy else 1
    distribution.check_divides(recipe.meta_batch_size, replicas)
    if replicas > 1 and in_series(recipe):
        raise ValueError(distribution.SERIAL.format(replicas))


def check_same_run(
    directory: RunDirectory, recipe: Recipe, free: Sequence[str] = MAY_CHANGE_ON_RESUME
) -> dict[str, Any] | None:
    """Raises `RunError` if a directory holds a run with settings that train otherwise.

    Args:
        directory: The `RunDirectory`.
        recipe: A `Recipe`.
        free: Sequence of strings, the fields that may differ. Defaults to `MAY_CHANGE_ON_RESUME`.

    Returns:
        The content of run.json, `None` if there is none.
    """
    earlier = directory.read_run()
    if earlier is None:
        _check_nothing_is_there(directory)
        return None
    # Earlier versions kept the folder as it was typed.
    now, before = in_one_place(dataclasses.asdict(recipe)), in_one_place(earlier["settings"])
    other = {k: (before.get(k), v) for k, v in now.items() if before.get(k) != v and k not in free}
    if other:
        listed = ", ".join(f"{k}={b!r} (now {n!r})" for k, (b, n) in other.items())
        raise RunError(
            f"{directory.path} holds a run with other settings: {listed}. "
            "Give the same flags to go on with it, or another --output_dir."
        )
    return earlier


def in_one_place(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with folders that are the same from wherever one goes on."""
    folders = {name: settings[name] for name in ("image_dir", "split_dir") if name in settings}
    return {**settings, **{name: f and os.path.abspath(f) for name, f in folders.items()}}


def _check_nothing_is_there(directory: RunDirectory) -> None:
    if directory.saved():
        raise RunError(
            f"{directory.path} holds checkpoints, and no run.json that says what was trained. "
            "Bring it back from a copy, or choose another --output_dir."
        )


def _check_pools(recipe: Recipe, pools: Pools) -> None:
    tests = recipe.test_tasks or recipe.curve_tasks
    used = {"train": True, "validation": _validates(recipe, pools), "test": tests}
    for part in filter(used.get, used):
        building.check_ways(recipe, pools, part, more_classes(recipe, part))
    building.training_episodes(recipe, pools.train)
    if used["validation"]:
        building.evaluation_episodes(recipe, pools.validation, recipe.validation_tasks)
    for tasks in filter(None, (recipe.test_tasks, recipe.curve_tasks)):
        building.evaluation_episodes(recipe, pools.test, tasks)


def _validates(recipe, pools) -> bool:
    # An empty pool is false; sine waves never run out.
    return bool(pools.validation) and recipe.validation_tasks > 0


def check_outputs(recipe: Recipe, model: ReptileModel) -> None:
    """Raises `RunError` if a checkpoint's network cannot tell so many ways apart."""
    outputs = model.network.output_shape[-1]
    if outputs != recipe.ways:
        raise RunError(
            f"The checkpoint's network has {outputs} outputs. Received: ways={recipe.ways}. "
            f"Use --ways={outputs} or another checkpoint."
        )


def check_checkpoint(recipe: Recipe, model: ReptileModel, folder: Any) -> None:
    """Raises `RunError` if a checkpoint is of a run with other settings than its run.json says.

    Args:
        recipe: The `Recipe` in run.json.
        model: The checkpoint's model.
        folder: Where both lie, for the error.
    """
    told, found = _of_recipe(recipe), _of_model(model)
    other = {
        name: (found[name], told[name]) for name in told if not _alike(found[name], told[name])
    }
    if other:
        listed = ", ".join(f"{name}={f!r} (run.json: {t!r})" for name, (f, t) in other.items())
        raise RunError(
            f"The checkpoint in {folder} is of another run than its run.json says: {listed}. Bring "
            "back the one that belongs to the other, or choose another directory."
        )


def _of_recipe(recipe) -> dict[str, Any]:
    return {
        **{name: getattr(recipe, name) for name in HELD},
        **_of_optimizers(
            from_keras(building.inner_optimizer(recipe)), building.meta_optimizer(recipe)
        ),
        **_of_loss(building.task_loss(recipe)),
    }


def _of_model(model) -> dict[str, Any]:
    return {
        **{name: getattr(model, name) for name in HELD},
        **_of_optimizers(model.inner_rule, model.optimizer),
        **_of_loss(model.task_loss),
    }


def _of_optimizers(inner, outer) -> dict[str, Any]:
    schedule: Any = getattr(outer, "_learning_rate", None)
    sizes = schedule.get_config() if hasattr(schedule, "get_config") else {}
    return {
        "inner_optimizer": (type(inner).__name__, *dataclasses.astuple(inner)),
        "meta_optimizer": type(outer).__name__,
        # Not over how many meta-iterations, which may change on the way.
        "meta_step_size": sizes.get("initial", sizes.get("initial_learning_rate")),
        "meta_step_size_final": sizes.get("final", sizes.get("end_learning_rate")),
    }


def _of_loss(loss) -> dict[str, Any]:
    return {"loss": type(loss).__name__, "loss_reduction": getattr(loss, "reduction", None)}


def _alike(a: Any, b: Any) -> bool:
    """Whether two values are equal, numbers but for float32's rounding."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(_alike, a, b))
    numbers = all(isinstance(x, int | float) for x in (a, b))
    return math.isclose(a, b, rel_tol=1e-6) if numbers else a == b
