"""The candidates of the search for a recipe, and the work that each does."""

import dataclasses
from typing import Any, NamedTuple

from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import Recipe

Changes = dict[str, Any]

SHARED: Changes = {"head": "shared"}
FAST: Changes = {"head": "shared", "inner_learning_rate": 3e-3}
BATCH_5: Changes = FAST | {"inner_batch_size": 5, "inner_steps": 10}
META_BATCH_2: Changes = FAST | {"meta_batch_size": 2}
BATCH_10: Changes = META_BATCH_2 | {"inner_batch_size": 10, "inner_steps": 20}
BATCH_10_STEPS_40: Changes = BATCH_10 | {"meta_batch_size": 1, "inner_steps": 40}
META_BATCH_1: Changes = FAST | {"meta_batch_size": 1}
SGD: Changes = {"inner_optimizer": "sgd", "loss_reduction": "mean"}

# What each changes in the paper's 5-way run.
CANDIDATES: dict[str, Changes] = {
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

# What each changes in the paper's 20-way run.
CANDIDATES_20: dict[str, Changes] = {
    "paper": {},
    "shared": SHARED,
    "rate_3e-3": FAST,
    "rate_1e-2": SHARED | {"inner_learning_rate": 1e-2},
    "meta_batch_2": META_BATCH_2,
    "meta_batch_2_steps_5": META_BATCH_2 | {"inner_steps": 5},
    "meta_batch_2_steps_20": META_BATCH_2 | {"inner_steps": 20},
    "meta_batch_1": META_BATCH_1,
    "meta_batch_1_sgd": META_BATCH_1 | SGD | {"inner_learning_rate": 0.3},
    "batch_10_steps_20": BATCH_10,
    "batch_10_steps_20_rate_1e-2": BATCH_10 | {"inner_learning_rate": 1e-2},
    "batch_10_steps_20_meta_batch_1": BATCH_10 | {"meta_batch_size": 1},
    "batch_10_steps_40": BATCH_10_STEPS_40,
    "batch_10_steps_40_sgd": BATCH_10_STEPS_40 | SGD | {"inner_learning_rate": 0.3},
    "batch_5_steps_40": BATCH_10 | {"inner_batch_size": 5, "inner_steps": 40},
    "batch_40_steps_5": META_BATCH_2 | {"inner_batch_size": 40, "inner_steps": 5},
    "ways_5": FAST | {"ways": 5, "inner_batch_size": 5, "meta_batch_size": 5},
    "ways_40": META_BATCH_2 | {"ways": 40, "inner_batch_size": 40, "meta_batch_size": 1},
    "meta_batch_2_sgd": META_BATCH_2 | SGD | {"inner_learning_rate": 0.1},
}

# What each changes in the paper's run on miniImageNet.
CANDIDATES_MINI_IMAGENET: dict[str, Changes] = {
    "paper": {},
    "rate_1e-3": SHARED | {"meta_batch_size": 2},
    "rate_3e-3": META_BATCH_2,
    "rate_1e-2": META_BATCH_2 | {"inner_learning_rate": 1e-2},
    "meta_batch_1": META_BATCH_1,
    "steps_20": BATCH_10,
    "steps_20_shots_30": BATCH_10 | {"train_shots": 30},
    "steps_20_shots_40": BATCH_10 | {"train_shots": 40},
    "batch_5_steps_16": META_BATCH_2 | {"inner_batch_size": 5, "inner_steps": 16},
    "ways_10": META_BATCH_1 | {"ways": 10, "inner_batch_size": 20},
}


class Search(NamedTuple):
    """The candidates of a search, and the run of the paper that they change.

    recipe: String, the name of the paper's recipe.
    candidates: Dict, the fields that each candidate changes, by its name.
    found: String, the name of the run with the settings that were found, in docs/results.
    results: String, the name of the folder and of the files with the results.
    validation_classes: Integer, the classes that are not trained on.
    """

    recipe: str
    candidates: dict[str, Changes]
    found: str
    results: str
    validation_classes: int


# The searches, by the name of the paper's recipe. The data set miniImageNet fixes its validation
# classes.
SEARCHES = {
    search.recipe: search
    for search in (
        Search("omniglot_5way", CANDIDATES, "omniglot_5way_searched", "recipe_search", 100),
        Search("omniglot_20way", CANDIDATES_20, "omniglot_20way_best", "recipe_search_20way", 100),
        Search(
            "mini_imagenet_5way_1shot",
            CANDIDATES_MINI_IMAGENET,
            "mini_imagenet_fast",
            "recipe_search_mini_imagenet",
            named.get("mini_imagenet_5way_1shot").validation_classes,
        ),
    )
}


def recipe_of(search: Search, candidate: str, budget: int) -> Recipe:
    """Returns a candidate's recipe, of as many meta-iterations as the budget allows.

    It has no validation during training, and no test.

    Args:
        search: A `Search`.
        candidate: String, one of its candidates.
        budget: Integer, meta-iterations of the paper's size.
    """
    recipe = named.get(
        search.recipe,
        validation_classes=search.validation_classes,
        validation_tasks=0,
        test_tasks=0,
        **search.candidates[candidate],
    )
    meta_iterations = budget * images_of(named.get(search.recipe)) // images_of(recipe)
    return dataclasses.replace(recipe, meta_iterations=meta_iterations)


def settings_of(search: Search, candidate: str) -> str:
    """Returns what a candidate changes, in words.

    Example:

    >>> settings_of(SEARCHES["omniglot_5way"], "rate_1e-2")
    'head=shared inner_learning_rate=0.01'
    """
    return " ".join(f"{k}={v}" for k, v in search.candidates.get(candidate, {}).items())


def images_of(recipe: Recipe) -> int:
    """Returns the images in the inner steps of a meta-iteration."""
    return recipe.meta_batch_size * recipe.inner_steps * recipe.inner_batch_size
