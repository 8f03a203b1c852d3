"""The candidates of the search for a recipe, and the work that each does."""

import dataclasses
from typing import Any

from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import Recipe

SHARED: dict[str, Any] = {"head": "shared"}
FAST: dict[str, Any] = {"head": "shared", "inner_learning_rate": 3e-3}
BATCH_5: dict[str, Any] = FAST | {"inner_batch_size": 5, "inner_steps": 10}

# What each changes in the paper's 5-way run.
CANDIDATES: dict[str, dict[str, Any]] = {
    "paper": {},
    "rate_3e-3": FAST,
    "rate_1e-2": SHARED | {"inner_learning_rate": 1e-2},
    "steps_10": FAST | {"inner_steps": 10},
    "batch_5": BATCH_5,
    "batch_5_steps_5": BATCH_5 | {"inner_steps": 5},
    "batch_5_steps_20": BATCH_5 | {"inner_steps": 20},
    "batch_5_meta_batch_2": BATCH_5 | {"meta_batch_size": 2},
    "shots_2": FAST | {"train_shots": 2},
    "meta_batch_2": FAST | {"meta_batch_size": 2},
    "ways_20": FAST | {"ways": 20, "inner_batch_size": 20, "meta_batch_size": 3},
    "outer_adam": FAST | {"meta_optimizer": "adam", "meta_step_size": 2e-3},
}

# The images in the inner steps of one of the paper's meta-iterations.
PAPER_IMAGES = 5 * 5 * 10


def recipe_of(candidate: str, budget: int, validation_classes: int) -> Recipe:
    """Returns a candidate's recipe, of as many meta-iterations as the budget allows.

    It has no validation during training, and no test.

    Args:
        candidate: String, a key of `CANDIDATES`.
        budget: Integer, meta-iterations of the paper's size.
        validation_classes: Integer, the classes that are not trained on.
    """
    recipe = named.get(
        "omniglot_5way",
        validation_classes=validation_classes,
        validation_tasks=0,
        test_tasks=0,
        **CANDIDATES[candidate],
    )
    meta_iterations = budget * PAPER_IMAGES // images_of(recipe)
    return dataclasses.replace(recipe, meta_iterations=meta_iterations)


def settings_of(candidate: str) -> str:
    """Returns what a candidate changes, in words.

    Example:

    >>> settings_of("rate_1e-2")
    'head=shared inner_learning_rate=0.01'
    """
    return " ".join(f"{k}={v}" for k, v in CANDIDATES.get(candidate, {}).items())


def images_of(recipe: Recipe) -> int:
    """Returns the images in the inner steps of a meta-iteration."""
    return recipe.meta_batch_size * recipe.inner_steps * recipe.inner_batch_size
