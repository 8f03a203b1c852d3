"""From a recipe to the options of its data set, and what no data set can be told."""

from typing import Any

from keras_reptile.recipes import Recipe

# The data sets whose images are grey, and those whose test classes are fixed.
GREY = ("glyphs", "omniglot")
FIXED_TEST = ("mini_imagenet", "omniglot")


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
    options = {"validation_classes": recipe.validation_classes, "image_size": recipe.image_size}
    if recipe.test_classes:
        options["test_classes"] = recipe.test_classes
    if recipe.dataset not in GREY:
        options["channels"] = recipe.channels
    if recipe.dataset not in ("folder", "glyphs"):
        options["data_dir"] = data_dir
    return options | _options_of_its_own(recipe)


def _options_of_its_own(recipe: Recipe) -> dict[str, Any]:
    if recipe.dataset == "omniglot":
        return {"split": recipe.dataset_split}
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
    if name in GREY and recipe.channels != 1:
        raise ValueError(
            f"The images of {name} are grey. Received: channels={recipe.channels}. Use channels=1."
        )
    if recipe.test_classes < 0 or (name in FIXED_TEST and recipe.test_classes):
        raise ValueError(
            "`test_classes` must not be negative, and 0 for mini_imagenet and omniglot, whose test "
            f"classes are fixed. Received: test_classes={recipe.test_classes}, dataset={name!r}."
        )
    for field, owner in (("image_dir", "folder"), ("manual_dir", "mini_imagenet")):
        if getattr(recipe, field) and name != owner:
            raise ValueError(
                f"`{field}` is for dataset={owner!r} only. Received: dataset={name!r}, "
                f"{field}={getattr(recipe, field)!r}."
            )
