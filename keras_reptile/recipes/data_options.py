"""The options of a recipe's data set, and checks of fields that the data set does not have."""

from typing import Any

from keras_reptile.datasets.load import REGISTERED, TFDS, options_of
from keras_reptile.datasets.own_split import split_folders
from keras_reptile.datasets.published_split import published_split
from keras_reptile.recipes.recipe import OF_IMAGES, PATHS, SINE_NETWORKS, SINUSOID, Recipe

# The data sets whose images are grey, and those whose test classes are fixed.
GREY = ("glyphs", "omniglot")
FIXED_TEST = ("mini_imagenet", "omniglot")
# The data sets that have validation classes of their own. Others take them from training classes.
OWN_VALIDATION = ("mini_imagenet",)
# The data sets that TFDS does not read, and the beginning of the error for a `data_dir`.
ELSEWHERE = {
    "folder": "The images of folders are read from `image_dir`",
    "glyphs": "Glyphs are read from no directory",
    SINUSOID: "Sine waves are read from no directory",
}
# The fields that only some data sets have.
OWNERS = {
    "dataset_split": ("omniglot",),
    "eval_classes": ("omniglot",),
    "image_dir": ("folder",),
    "manual_dir": ("mini_imagenet",),
    "published_split": ("folder", f"{TFDS}NAME"),
    "split_dir": ("folder", f"{TFDS}NAME"),
    "split_seed": ("folder", "omniglot", f"{TFDS}NAME"),
}


def data_options(recipe: Recipe, data_dir: str | None) -> dict[str, Any]:
    """Returns the options of `datasets.load` for a recipe.

    Args:
        recipe: A `Recipe`.
        data_dir: String, TFDS's data directory, or `None`.

    Raises:
        ValueError: If the recipe sets a field that its data set does not have.

    Example:

    >>> data_options(Recipe(dataset="glyphs", validation_classes=20), None)
    {'validation_classes': 20, 'image_size': 28}
    """
    _check(recipe)
    if recipe.dataset in REGISTERED:
        return _options_of_a_registered(recipe, data_dir)
    _check_directory(recipe.dataset, data_dir)
    if recipe.dataset == SINUSOID:
        return _check_waves(recipe)
    options: dict[str, Any] = {
        "validation_classes": recipe.validation_classes,
        "image_size": recipe.image_size,
    }
    if recipe.test_classes:
        options["test_classes"] = recipe.test_classes
    if recipe.dataset not in GREY:
        options["channels"] = recipe.channels
    if recipe.dataset not in ELSEWHERE:
        options["data_dir"] = data_dir
    return options | _options_of_its_own(recipe)


def without_own_split(recipe: Recipe, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the fields that choose a run's split, unset, if an evaluation gives another split.

    Args:
        recipe: The `Recipe` of the run.
        given: Dict of the fields that the evaluation replaces.

    Returns:
        Dict. It is empty if `given` has neither names of classes nor a folder for each split. It
        has no fields of `given`.

    Example:

    >>> run = Recipe(dataset="folder", validation_classes=5)
    >>> without_own_split(run, {"split_dir": "lists"})["validation_classes"]
    0
    >>> without_own_split(run, {"shots": 5})
    {}
    """
    if given.get("dataset", recipe.dataset) in REGISTERED:
        return {}
    names = [name for name in ("split_dir", "published_split") if given.get(name)]
    folder = given.get("image_dir")
    if not names and not (folder and split_folders(folder)):
        return {}
    unset: dict[str, Any] = {"validation_classes": 0, "test_classes": 0, "split_seed": 0}
    unset |= {"split_dir": "", "published_split": ""}
    return {name: value for name, value in unset.items() if name not in given}


def more_classes(recipe: Recipe, part: str) -> str:
    """Returns advice for a split with too few classes, in the form ", or ...".

    Example:

    >>> more_classes(Recipe(dataset="glyphs"), "test")
    ', or raise --test_classes'
    """
    if recipe.dataset in REGISTERED:
        return ""
    if recipe.published_split:
        return ""
    if recipe.split_dir or (recipe.image_dir and split_folders(recipe.image_dir)):
        return ", or add classes to this split"
    fixed = recipe.dataset in FIXED_TEST
    if part == "validation":
        return ", or raise --validation_classes (0 for no validation)"
    if part == "test":
        return "" if fixed else ", or raise --test_classes"
    taken = recipe.validation_classes and recipe.dataset not in OWN_VALIDATION
    lower = ["--validation_classes"] * bool(taken) + ["--test_classes"] * (not fixed)
    is_default = not fixed and recipe.dataset != "glyphs" and not recipe.test_classes
    default = " (by default a fifth of all classes, at least 5)" * is_default
    return f", or lower {' or '.join(lower)}{default}" if lower else ""


def _options_of_a_registered(recipe: Recipe, data_dir: str | None) -> dict[str, Any]:
    """Returns the fields that a registered data set has, without those that are not set."""
    taken = options_of(recipe.dataset)
    given = {name: getattr(recipe, name) for name in OF_IMAGES} | {"data_dir": data_dir}
    # The values of recipes in which the user did not set the field.
    default: dict[str, tuple] = {name: (getattr(Recipe, name),) for name in OF_IMAGES}
    default["data_dir"] = (None,)
    default["validation_classes"] += (0,)
    wrong = [name for name in given if name not in taken and given[name] not in default[name]]
    not_set = {
        "test_classes": 0,
        "data_dir": None,
        **dict.fromkeys((*PATHS, "published_split"), ""),
    }
    if wrong:
        raise ValueError(
            f"The data set {recipe.dataset!r} has no option {', '.join(wrong)}. Received: "
            f"{', '.join(f'{name}={given[name]!r}' for name in wrong)}. Its options are "
            f"{', '.join(taken) or 'none'}."
        )
    return {n: v for n, v in given.items() if n in taken and v != not_set.get(n, ())}


def _check_waves(recipe) -> dict[str, Any]:
    """Returns no options, after checking that a task is a single wave with queries."""
    for name, of_a_wave in (("ways", (1,)), ("train_ways", (0, 1))):
        if getattr(recipe, name) not in of_a_wave:
            raise ValueError(
                "A task of sine waves is a single wave. Received: "
                f"{name}={getattr(recipe, name)}. Use {name}={of_a_wave[0]}."
            )
    if not recipe.train_queries:
        raise ValueError(
            "The queries of a wave are all its points, in training too. Received: "
            f"train_queries={recipe.train_queries}. Leave it out."
        )
    return {}


def _check_directory(dataset, data_dir) -> None:
    if dataset in ELSEWHERE and data_dir is not None:
        raise ValueError(
            f"{ELSEWHERE[dataset]}. Received: data_dir={data_dir!r}. Leave `data_dir` out."
        )


def _options_of_its_own(recipe: Recipe) -> dict[str, Any]:
    if recipe.dataset == "omniglot":
        return {"split": recipe.dataset_split, "split_seed": recipe.split_seed}
    if recipe.dataset == "mini_imagenet":
        return {"manual_dir": recipe.manual_dir or None}
    if recipe.dataset == "glyphs":
        return {}
    split: dict[str, Any] = {
        "split_seed": recipe.split_seed,
        "training_images": recipe.train_shots + recipe.train_queries * recipe.queries,
        "evaluation_images": recipe.shots + recipe.queries,
    }
    if recipe.published_split:
        split["split_dir"] = published_split(recipe.published_split)
    elif recipe.split_dir:
        split["split_dir"] = recipe.split_dir
    return split | ({"image_dir": recipe.image_dir} if recipe.dataset == "folder" else {})


def _check(recipe: Recipe) -> None:
    name = recipe.dataset
    of_waves = recipe.network in SINE_NETWORKS
    if ":" not in recipe.network and of_waves != (name == SINUSOID):
        raise ValueError(
            f"The networks {sorted(SINE_NETWORKS)} are for sine waves, and the others for images. "
            f"Received: dataset={name!r}, network={recipe.network!r}. Choose a --network or "
            "--recipe for this data set."
        )
    if name in GREY and recipe.channels != 1:
        raise ValueError(
            f"The images of {name} are grey. Received: channels={recipe.channels}. Use channels=1."
        )
    if recipe.test_classes < 0 or (name in FIXED_TEST and recipe.test_classes):
        raise ValueError(
            "`test_classes` must not be negative. It must be 0 for mini_imagenet and omniglot, "
            "because their test classes are fixed. Received: "
            f"test_classes={recipe.test_classes}, dataset={name!r}."
        )
    if recipe.split_dir and recipe.published_split:
        raise ValueError(
            "One split only. Received: "
            f"split_dir={recipe.split_dir!r}, published_split={recipe.published_split!r}. Leave "
            "one of them out."
        )
    kind = f"{TFDS}NAME" if name.startswith(TFDS) else name
    if name in REGISTERED:
        return
    for field, owners in OWNERS.items():
        if kind not in owners and getattr(recipe, field) != getattr(Recipe, field):
            raise ValueError(
                f"`{field}` is for dataset={' or '.join(map(repr, owners))} only. "
                f"Received: dataset={name!r}, {field}={getattr(recipe, field)!r}."
            )
