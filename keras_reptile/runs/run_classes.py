"""The classes of a run: those that it trains on, and those that are kept for the test."""

import hashlib
import json
import os
from collections import defaultdict
from typing import Any

from keras_reptile.datasets.image_files import listed
from keras_reptile.episodes.class_pool import ClassPool, Pools
from keras_reptile.errors import RunError
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs.run_directory import RunDirectory

FILE = "classes.json"
# The settings that decide which classes a part has.
DIVISION = ("dataset", "dataset_split", "validation_classes", "test_classes", "split_seed")


def describe(pools: Any) -> dict[str, Any] | None:
    """The content of classes.json; `None` for sine waves, which have no classes.

    Args:
        pools: `Pools` of classes, or of `Waves`.

    Returns:
        Dict of `source`, the data set of TFDS and its version if it is one; `train`, `validation`
        and `test`, dicts of the names and sizes of their classes; and `left_out`, the same of
        classes that have too few images for their part.
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
    """A few characters that are others for other classes."""
    return hashlib.sha256(json.dumps(describe(pools)).encode()).hexdigest()[:16]


def in_words(recipe: Recipe, pools: Pools, directory: RunDirectory) -> str:
    """What a run says of the data that it read."""
    images = sum(len(pool.images) for pool in pools)
    where = f" in {recipe.image_dir}" if recipe.image_dir else ""
    named = f" {FILE} names them." if (directory.path / FILE).exists() else ""
    return (
        f"Read {images:,} images of {sum(map(len, pools)):,} classes ({recipe.dataset}{where}): "
        f"{len(pools.train):,} to train on, {len(pools.validation):,} to validate, "
        f"{len(pools.test):,} to test.{named}"
    )


def check_same(directory: RunDirectory, pools: Pools) -> None:
    """Raises `RunError` if the data has other classes than when the run began.

    Runs of earlier versions did not keep them: of these nothing is known.
    """
    before, now = _kept(directory), describe(pools)
    if before is None or now is None:
        return
    changes = _changes(_places(before), _places(now))
    version = f"Data set {before['source']!r} (now {now['source']!r}). "
    if changes or before["source"] != now["source"]:
        raise RunError(
            f"The data is not that on which the run in {directory.path} began. "
            f"{version if before['source'] != now['source'] else ''}"
            f"{f'Classes: {listed(changes)}. ' if changes else ''}"
            f"Bring it back as {directory.path / FILE} has it: else classes that were trained on "
            "may be tested. Or begin anew, with another --output_dir."
        )


def check_evaluation(
    directory: RunDirectory, recipe: Recipe, overrides: dict[str, Any], pools: Pools, split: str
) -> None:
    """Raises `RunError` if the data has changed, or tasks would have classes that were trained on.

    Args:
        directory: The `RunDirectory`.
        recipe: The run's `Recipe`.
        overrides: Dict of the fields that the evaluation replaces.
        pools: The `Pools` that it reads.
        split: String, the part of them that it uses.
    """
    if not _divides_otherwise(recipe, overrides):
        check_same(directory, pools)
        return
    before, now = _kept(directory), describe(pools)
    same_data = overrides.get("dataset", recipe.dataset) == recipe.dataset
    if before is None or now is None or split == "train" or not same_data:
        return
    trained = [name for name in now[split] if name in before["train"]]
    if trained:
        raise RunError(
            f"{len(trained)} of the {len(now[split])} {split} classes are among those that the run "
            f"in {directory.path} was trained on: {listed(trained)}. Divide the classes as the run "
            "does, or rename those that share no more than a name."
        )


def _divides_otherwise(recipe, overrides) -> bool:
    own, given = vars(recipe), {name: overrides[name] for name in DIVISION if name in overrides}
    folders = [(own[n], overrides.get(n, own[n])) for n in ("image_dir", "split_dir")]
    elsewhere = any(os.path.abspath(a) != os.path.abspath(b) for a, b in folders)
    return elsewhere or any(own[name] != value for name, value in given.items())


def _kept(directory) -> dict[str, Any] | None:
    content = directory.read_json(FILE)
    parts = Pools._fields
    if content is not None and not (
        isinstance(content.get("source"), str)
        and all(isinstance(content.get(part), dict) for part in (*parts, "left_out"))
        and all(isinstance(content["left_out"].get(part), dict) for part in parts)
    ):
        raise RunError(
            f"{directory.path / FILE} cannot be used: it needs the run's classes of "
            f"{', '.join(parts)}. Bring it back from a copy or use another run."
        )
    return content


def _sizes(classes) -> dict[str, int]:
    return {_text(name): int(count) for name, count in classes}


def _text(name) -> str:
    # Classes of turned images are named so by `ClassPool.with_rotations`.
    return f"{name[0]} turned by {name[1]}" if isinstance(name, tuple) else str(name)


def _places(described) -> dict[str, dict[str, int]]:
    """Of each class its images in each part, be they enough for a task or not."""
    places: dict = defaultdict(dict)
    for part in Pools._fields:
        for name, count in {**described[part], **described["left_out"][part]}.items():
            places[name][part] = count
    return places


def _changes(before, now) -> list[str]:
    """What became of each class: first of those that came or went, the cause of all the rest."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return [
        f"{name} {_in_parts(before.get(name))} (now {_in_parts(now.get(name))})"
        for name in sorted(names, key=lambda name: name in before and name in now)
    ]


def _in_parts(places) -> str:
    if not places:
        return "missing"
    return ", ".join(f"{count} images in {part}" for part, count in places.items())
