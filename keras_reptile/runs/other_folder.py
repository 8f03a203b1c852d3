"""Warns of an evaluation that reads another folder of images than its run."""

import os
from typing import Any

from absl import logging

from keras_reptile.checks import counted, shown
from keras_reptile.datasets.class_folders import listed
from keras_reptile.datasets.own_split import split_folders
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs import run_classes
from keras_reptile.runs.run_directory import RunDirectory


def warn(
    directory: RunDirectory, trained: Recipe, recipe: Recipe, pools: Pools, split: str
) -> None:
    """Warns if the classes of an evaluation are the run's with other sizes, or a part of others.

    Args:
        directory: The `RunDirectory`.
        trained: The run's `Recipe`.
        recipe: The `Recipe` of the evaluation.
        pools: The `Pools` of the evaluation.
        split: String, the field of `Pools` that it uses.
    """
    folders = [each.image_dir and os.path.abspath(each.image_dir) for each in (trained, recipe)]
    before, now = run_classes.saved(directory), run_classes.describe(pools)
    if recipe.dataset == "folder" and folders[0] != folders[1] and before and now:
        sizes, others = _sizes(before, split), _sizes(now, split)
        if sizes.keys() & others.keys():
            text = _of_changes(sizes, others, split)
        else:
            text = _of_a_part(recipe, pools, now, split)
        if text:
            logging.warning("%s %s", shown(recipe.image_dir), text)


def _sizes(described: dict[str, Any], split: str) -> dict[str, int]:
    return {**described[split], **described["left_out"][split]}


def _of_changes(before: dict[str, int], now: dict[str, int], split: str) -> str:
    """Returns in which classes two folders differ."""
    of_split = [{name: {split: size} for name, size in sizes.items()} for sizes in (before, now)]
    found = run_classes.changes(*of_split)
    return f"differs from the run's folder in {split} classes: {listed(found)}." if found else ""


def _of_a_part(recipe: Recipe, pools: Pools, now: dict[str, Any], split: str) -> str:
    """Returns how many classes are evaluated, if numbers and a seed divide those of the folder."""
    if recipe.split_dir or recipe.published_split or split_folders(recipe.image_dir):
        return ""
    number, every = (
        len(getattr(pools, split)),
        sum(len(_sizes(now, part)) for part in Pools._fields),
    )
    return (
        f"has {counted(every, 'class', 'classes')}, and tasks are drawn from {number}, the {split} "
        "classes by the run's numbers and seed. Name other ones with --split_dir."
    )
