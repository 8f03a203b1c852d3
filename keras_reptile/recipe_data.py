"""From a recipe to the options of its data set, and what no data set can be told."""

from typing import Any

from keras_reptile.datasets.load import TFDS
from keras_reptile.recipes import SINE_NETWORKS, SINUSOID, Recipe

# The data sets whose images are grey, and those whose test classes are fixed.
GREY = ("glyphs", "omniglot")
FIXED_TEST = ("mini_imagenet", "omniglot")
# The fields that only some data sets have a use for.
OWNERS = {
    "dataset_split": ("omniglot",),
    "image_dir": ("folder",),
    "manual_dir": ("mini_imagenet",),
    "split_seed": ("folder", "omniglot", f"{TFDS}NAME"),
}


def data_options(recipe: Recipe, data_dir: str | None) -> dict[str, Any]:
    """What `datasets.load` is given for a recipe.

    Args:
        recipe: A `Recipe`.
        data_dir: String, TFDS's data directory, or `None`.

    Raises:
        ValueError: If the recipe tells a data set what it has no choice of.

    Example:

    >>> data_options(Recipe(dataset="glyphs", validation_classes=20), None)
    {'validation_classes': 20, 'image_size': 28}
    """
    _check(recipe)
    if recipe.dataset == SINUSOID:
        return _check_waves(recipe, data_dir)
    options: dict[str, Any] = {
        "validation_classes": recipe.validation_classes,
        "image_size": recipe.image_size,
    }
    if recipe.test_classes:
        options["test_classes"] = recipe.test_classes
    if recipe.dataset not in GREY:
        options["channels"] = recipe.channels
    if recipe.dataset not in ("folder", "glyphs"):
        options["data_dir"] = data_dir
    return options | _options_of_its_own(recipe)


def _check_waves(recipe, data_dir) -> dict[str, Any]:
    """No options: sine waves have none."""
    if recipe.ways != 1:
        raise ValueError(
            f"A task of sine waves is a single wave. Received: ways={recipe.ways}. Use ways=1."
        )
    if data_dir is not None:
        raise ValueError(
            f"Sine waves are read from no directory. Received: data_dir={data_dir!r}. "
            "Leave `data_dir` out."
        )
    return {}


def _options_of_its_own(recipe: Recipe) -> dict[str, Any]:
    if recipe.dataset == "omniglot":
        return {"split": recipe.dataset_split, "split_seed": recipe.split_seed}
    if recipe.dataset == "mini_imagenet":
        return {"manual_dir": recipe.manual_dir or None}
    if recipe.dataset == "glyphs":
        return {}
    split = {
        "split_seed": recipe.split_seed,
        "training_images": recipe.train_shots + recipe.train_queries * recipe.queries,
        "evaluation_images": recipe.shots + recipe.queries,
    }
    return split | ({"image_dir": recipe.image_dir} if recipe.dataset == "folder" else {})


def _check(recipe: Recipe) -> None:
    name = recipe.dataset
    if (recipe.network in SINE_NETWORKS) != (name == SINUSOID):
        raise ValueError(
            f"The networks {sorted(SINE_NETWORKS)} are for sine waves, and the others for images. "
            f"Received: dataset={name!r}, network={recipe.network!r}. Choose a --network or "
            "--recipe of this data set."
        )
    if name in GREY and recipe.channels != 1:
        raise ValueError(
            f"The images of {name} are grey. Received: channels={recipe.channels}. Use channels=1."
        )
    if recipe.test_classes < 0 or (name in FIXED_TEST and recipe.test_classes):
        raise ValueError(
            "`test_classes` must not be negative, and 0 for mini_imagenet and omniglot, whose test "
            f"classes are fixed. Received: test_classes={recipe.test_classes}, dataset={name!r}."
        )
    kind = f"{TFDS}NAME" if name.startswith(TFDS) else name
    for field, owners in OWNERS.items():
        if kind not in owners and getattr(recipe, field) != getattr(Recipe, field):
            raise ValueError(
                f"`{field}` is for dataset={' or '.join(map(repr, owners))} only. "
                f"Received: dataset={name!r}, {field}={getattr(recipe, field)!r}."
            )
