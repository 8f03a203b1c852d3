"""The classes of a run: the training, validation and test classes, and checks that they stay."""

import hashlib
import json
import os
from collections import defaultdict
from typing import Any

from absl import logging

from keras_reptile.checks import shown
from keras_reptile.datasets.image_files import listed
from keras_reptile.episodes.class_pool import ClassPool, Pools
from keras_reptile.errors import RunError
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs.run_directory import RunDirectory

FILE = "classes.json"
# The fields that decide the split of a class.
DIVISION = (
    "dataset",
    "dataset_split",
    "validation_classes",
    "test_classes",
    "split_seed",
    "published_split",
)


def describe(pools: Any) -> dict[str, Any] | None:
    """Returns the content of classes.json, or `None` for sine waves, which have no classes.

    Args:
        pools: `Pools` of classes, or of `Waves`.

    Returns:
        Dict. `source` is the name and version of a data set of TFDS, else empty. `train`,
        `validation` and `test` are dicts of the sizes of classes by name. `left_out` has the same
        three dicts for classes that have too few images.
    """
    if not isinstance(pools.train, ClassPool):
        return None
    parts = pools._asdict()
    return {
        "source": pools.train.source,
        **{part: _sizes(zip(p.names, p.counts, strict=True)) for part, p in parts.items()},
        "left_out": {part: _sizes(p.left_out.items()) for part, p in parts.items()},
    }


def digest(pools: Pools) -> str:
    """Returns a short hash of the classes, their splits and their sizes."""
    return hashlib.sha256(json.dumps(describe(pools)).encode()).hexdigest()[:16]


def in_words(recipe: Recipe, pools: Pools, directory: RunDirectory) -> str:
    """Returns the message of a run about the data that it read."""
    images = sum(len(pool.images) for pool in pools)
    where = f" in {recipe.image_dir}" if recipe.image_dir else ""
    named = f" {FILE} names them." if (directory.path / FILE).exists() else ""
    return (
        f"Read {images:,} images of {sum(map(len, pools)):,} classes ({recipe.dataset}{where}): "
        f"{len(pools.train):,} to train on, {len(pools.validation):,} to validate, "
        f"{len(pools.test):,} to test.{named}"
    )


def check_same(directory: RunDirectory, pools: Pools) -> None:
    """Raises `RunError` if the data have other classes than when the run began.

    If only their order is another, it warns: tasks are drawn by the positions of classes. Runs of
    earlier versions have no classes.json. For these there is no check.
    """
    before, now = saved(directory), describe(pools)
    if before is None or now is None:
        return
    changed = changes(_counts(before), _counts(now))
    version = f"Data set {before['source']!r} (now {now['source']!r}). "
    if changed or before["source"] != now["source"]:
        raise RunError(
            f"The data have changed since the run in {directory.path} began. "
            f"{version if before['source'] != now['source'] else ''}"
            f"{f'Classes: {listed(changed)}. ' if changed else ''}"
            f"Restore the data as in {directory.path / FILE}: otherwise training classes may be "
            "tested. Or train again with another --output_dir."
        )
    if any(_common(before[p], now[p]) != _common(now[p], before[p]) for p in Pools._fields):
        logging.warning(
            "The classes of the run in %s are in another order than when it began, as after lines "
            "of a `split_dir` were moved. So other tasks are drawn.",
            shown(directory.path),
        )


def _common(names: dict[str, int], others: dict[str, int]) -> list[str]:
    """Returns the names that both have, in the order of the first."""
    return [name for name in names if name in others]


def check_evaluation(
    directory: RunDirectory, recipe: Recipe, overrides: dict[str, Any], pools: Pools, split: str
) -> None:
    """Raises `RunError` if the data have changed, or an evaluation would use training classes.

    Args:
        directory: The `RunDirectory`.
        recipe: The run's `Recipe`.
        overrides: Dict of the fields that the evaluation replaces.
        pools: The `Pools` of the evaluation.
        split: String, the field of `Pools` that it uses.
    """
    if not _has_other_splits(recipe, overrides):
        check_same(directory, pools)
        return
    before, now = saved(directory), describe(pools)
    same_data = overrides.get("dataset", recipe.dataset) == recipe.dataset
    if before is None or now is None or split == "train" or not same_data:
        return
    trained = [name for name in now[split] if name in before["train"]]
    if trained:
        raise RunError(
            f"{len(trained)} of the {len(now[split])} {split} classes were training classes of the "
            f"run in {directory.path}: {listed(trained)}. Use the run's split, or rename classes "
            "that have the name of a training class and other images."
        )


def _has_other_splits(recipe, overrides) -> bool:
    fields, given = vars(recipe), {name: overrides[name] for name in DIVISION if name in overrides}
    folders = [(fields[n], overrides.get(n, fields[n])) for n in ("image_dir", "split_dir")]
    other_folder = any(os.path.abspath(a) != os.path.abspath(b) for a, b in folders)
    return other_folder or any(fields[name] != value for name, value in given.items())


def saved(directory: RunDirectory) -> dict[str, Any] | None:
    """Returns the content of classes.json, or `None` if there is none.

    Raises:
        RunError: If it does not have the classes of a run.
    """
    content = directory.read_json(FILE)
    parts = Pools._fields
    if content is not None and not (
        isinstance(content.get("source"), str)
        and all(isinstance(content.get(part), dict) for part in (*parts, "left_out"))
        and all(isinstance(content["left_out"].get(part), dict) for part in parts)
        and all(not content[part].keys() & content["left_out"][part].keys() for part in parts)
    ):
        raise RunError(
            f"{directory.path / FILE} cannot be used: it must have the run's classes of "
            f"{', '.join(parts)}. Restore it from a copy or use another run."
        )
    return content


def _sizes(classes) -> dict[str, int]:
    return {_text(name): int(count) for name, count in classes}


def _text(name) -> str:
    # `ClassPool.with_rotations` names classes by such tuples.
    return f"{name[0]} turned by {name[1]}" if isinstance(name, tuple) else str(name)


def _counts(described) -> dict[str, dict[str, int]]:
    """Returns each class's number of images by split, with the classes that were left out."""
    counts: dict = defaultdict(dict)
    for part in Pools._fields:
        for name, count in {**described[part], **described["left_out"][part]}.items():
            counts[name][part] = count
    return counts


def changes(before: dict[str, dict[str, int]], now: dict[str, dict[str, int]]) -> list[str]:
    """Describes the classes that changed. A class has its number of images by split.

    Classes that appeared or disappeared come first: they can be the cause of all other changes.
    """
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [
        f"{name} {_in_parts(before.get(name))} (now {_in_parts(now.get(name))})"
        for name in sorted(names, key=lambda name: name in before and name in now)
    ]


def _in_parts(counts) -> str:
    if not counts:
        return "missing"
    return ", ".join(f"{count} images in {part}" for part, count in counts.items())
