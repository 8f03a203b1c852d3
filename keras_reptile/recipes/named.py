"""The named recipes: all hyper-parameters of a run under one name, with their source."""

import dataclasses
import os
import re
from typing import Any

from keras_reptile.datasets.load import check_name
from keras_reptile.datasets.published_split import PUBLISHED
from keras_reptile.recipes.recipe import (
    SINUSOID,
    Recipe,
    _check,
    check_fields,
    check_inner_fields,
    check_values,
)

# The numbers of the paper's tables, and the form of their results in `expected`.
TABLES = {"omniglot": 1, "mini_imagenet": 2}
ACCURACIES = re.compile(r"(?:with --shots=(\d+) )?([\d.]+) ± [\d.]+, transductive ([\d.]+)")
# The fields that decide which test tasks there are, beside their shots.
OF_TASKS = ("dataset", "dataset_split", "ways", "eval_classes")
PAPER = "Nichol, Achiam, Schulman 2018 (arXiv 1803.02999v3), table {} and appendix A"

# The two published runs have the same training and differ in evaluation.
MINI_IMAGENET = Recipe(
    dataset="mini_imagenet",
    validation_classes=16,
    image_size=84,
    channels=3,
    network="mini_imagenet_convnet",
    train_shots=15,
    inner_steps=8,
    source=PAPER.format(2),
)

# The published splits of other data sets, with miniImageNet's training.
CIFAR_100 = dataclasses.replace(
    MINI_IMAGENET, dataset="tfds:cifar100", validation_classes=0, image_size=32
)
FOLDER_84 = dataclasses.replace(MINI_IMAGENET, dataset="folder", validation_classes=0)
SPLIT = "this project: the paper's miniImageNet training, on the split of {}"
NOT_RUN = "nothing published for Reptile; it was not run here"

# Figure 1. The network has no batch statistics, so inductive and transductive results are equal.
SINE = Recipe(
    dataset=SINUSOID,
    validation_classes=0,
    image_size=0,
    channels=0,
    network="sine_mlp_relu",
    ways=1,
    shots=10,
    train_shots=50,
    queries=50,
    loss_reduction="mean",
    inner_optimizer="sgd",
    inner_learning_rate=0.02,
    meta_batch_size=1,
    meta_step_size=0.1,
    meta_iterations=30_000,
    eval_inner_batch_size=10,
    eval_inner_steps=32,
    transductive=True,
    validation_tasks=200,
    checkpoint_every=3000,
    source="Nichol, Achiam, Schulman 2018 (arXiv 1803.02999v3), figure 1 and the authors' "
    "published program",
)
SINE_TRIALS = (
    "this project: Reptile's recipe with a meta-step size from trials, docs/experiments/sinusoid.md"
)
SINE_EXPECTED = "nothing published; {} when it was added"
SEARCHED = (
    "this project: the paper's {} run with the settings that a search found, "
    "docs/experiments/recipe_search.md"
)
# benchmarks/recipe_search.py found these settings on validation classes. The inner steps see 3.2 %
# of the images of the paper's run.
OMNIGLOT_20WAY_BEST = Recipe(
    head="shared",
    ways=20,
    inner_batch_size=10,
    inner_steps=20,
    inner_learning_rate=3e-3,
    meta_batch_size=2,
    meta_iterations=16_000,
    eval_inner_batch_size=20,
    eval_inner_steps=10,
    source=SEARCHED.format("20-way"),
    expected="nothing published; 90.63 ± 0.13, transductive 91.47 ± 0.12 when it was run",
)
FIGURE = "Nichol, Achiam, Schulman 2018 (arXiv 1803.02999v3), figure {}; "

# The commands of figure 3. Their rate of 0.003 is for a loss summed over 25 images. One task in a
# meta-iteration is the default of the authors' program.
GRADIENT_COMBINATIONS = Recipe(
    validation_classes=0,
    validation_tasks=0,
    shots=5,
    train_shots=20,
    train_queries=False,
    inner_batch_size=25,
    inner_steps=4,
    loss_reduction="mean",
    inner_optimizer="sgd",
    inner_learning_rate=0.075,
    meta_batch_size=1,
    meta_step_size=0.25,
    meta_iterations=40_000,
    checkpoint_every=2000,
    eval_inner_batch_size=25,
    eval_inner_steps=5,
    curve_tasks=100,
    source=FIGURE.format(3) + "all its curves with bin/sweep --figure=gradient_combinations",
    expected="no number is published; that of the curve g1+g2+g3+g4",
)

RECIPES = {
    # In such a short run, the mean is better than the sum: docs/experiments/omniglot.md. With the
    # mean, inner steps in evaluation are longer.
    "glyphs": Recipe(
        dataset="glyphs",
        loss_reduction="mean",
        meta_iterations=1500,
        checkpoint_every=250,
        test_tasks=500,
        source="this project: embedded data, for a first look",
        expected="nothing published; 89.00 ± 1.15 when it was run",
    ),
    "omniglot_5way": Recipe(
        source=PAPER.format(1),
        expected="95.39 ± 0.09, transductive 97.68 ± 0.04; "
        "with --shots=5 98.90 ± 0.10, transductive 99.48 ± 0.06",
    ),
    # The training of omniglot_20way_best. Its inner steps see 26 % of the images of the paper's
    # 5-way run.
    "omniglot_5way_best": dataclasses.replace(
        OMNIGLOT_20WAY_BEST,
        ways=5,
        train_ways=20,
        eval_inner_batch_size=5,
        source="this project: the training of omniglot_20way_best, "
        "docs/experiments/recipe_search.md",
        expected="nothing published; 96.33 ± 0.17, transductive 97.65 ± 0.14 when it was run",
    ),
    # First-order MAML as published, with the settings of its authors. It is for 1 shot only: three
    # steps of 5 images see the whole support set.
    "omniglot_5way_fast": Recipe(
        train_shots=2,
        train_queries=False,
        loss_reduction="mean",
        method="fomaml",
        tail_shots=1,
        inner_batch_size=5,
        inner_steps=2,
        inner_optimizer="sgd",
        inner_learning_rate=0.4,
        meta_batch_size=25,
        meta_optimizer="adam",
        meta_step_size=3e-3,
        meta_iterations=40_000,
        eval_inner_steps=3,
        transductive=True,
        source="this project: FOMAML with the inner steps of Finn, Abbeel, Levine 2017 (arXiv "
        "1703.03400), whose outer Adam is annealed here",
        expected="nothing published; transductive 97.76 ± 0.14 when it was added",
    ),
    "omniglot_20way": Recipe(
        ways=20,
        inner_batch_size=20,
        inner_steps=10,
        inner_learning_rate=5e-4,
        meta_iterations=200_000,
        eval_inner_batch_size=10,
        source=PAPER.format(1),
        expected="88.14 ± 0.15, transductive 89.43 ± 0.14; "
        "with --shots=5 96.65 ± 0.33, transductive 97.12 ± 0.32",
    ),
    "omniglot_20way_best": OMNIGLOT_20WAY_BEST,
    "mini_imagenet_5way_1shot": dataclasses.replace(
        MINI_IMAGENET, expected="47.07 ± 0.26, transductive 49.97 ± 0.32"
    ),
    "mini_imagenet_5way_5shot": dataclasses.replace(
        MINI_IMAGENET,
        shots=5,
        eval_inner_batch_size=15,
        expected="62.74 ± 0.37, transductive 65.99 ± 0.58",
    ),
    # Found by benchmarks/recipe_search.py. Its inner steps see 4 % of the images of the paper's.
    "mini_imagenet_fast": dataclasses.replace(
        MINI_IMAGENET,
        head="shared",
        train_shots=30,
        inner_steps=20,
        inner_learning_rate=3e-3,
        meta_batch_size=2,
        meta_iterations=4_000,
        eval_inner_steps=10,
        checkpoint_every=500,
        source=SEARCHED.format("miniImageNet"),
        expected="nothing published; 40.51 ± 0.41, transductive 43.15 ± 0.43 when it was run, "
        "below the paper's run",
    ),
    **{
        f"{split}_5way": dataclasses.replace(
            base,
            published_split=split,
            source=SPLIT.format(PUBLISHED[split].source),
            expected=NOT_RUN,
        )
        for split, base in {
            "cifar_fs": CIFAR_100,
            "fc100": CIFAR_100,
            "tiered_imagenet": FOLDER_84,
            "cub": FOLDER_84,
        }.items()
    },
    "sinusoid": dataclasses.replace(SINE, expected=SINE_EXPECTED.format("0.33 ± 0.04")),
    "sinusoid_fomaml": dataclasses.replace(
        SINE,
        method="fomaml",
        meta_step_size=0.05,
        source=SINE_TRIALS,
        expected=SINE_EXPECTED.format("1.13 ± 0.10"),
    ),
    "sinusoid_maml": dataclasses.replace(
        SINE,
        method="maml",
        meta_step_size=0.01,
        source=SINE_TRIALS,
        expected=SINE_EXPECTED.format("0.26 ± 0.03"),
    ),
    "sinusoid_joint": dataclasses.replace(
        SINE,
        inner_steps=1,
        source="this project: Reptile's recipe with a single inner step, which is joint training",
        expected=SINE_EXPECTED.format("4.11 ± 0.26"),
    ),
    "gradient_combinations": GRADIENT_COMBINATIONS,
    "tail_overlap": dataclasses.replace(
        GRADIENT_COMBINATIONS,
        curve_tasks=0,
        test_tasks=500,
        source=FIGURE.format(4) + "all its points with bin/sweep --figure=tail_overlap",
        expected="no number is published",
    ),
    "study": Recipe(
        validation_classes=0,
        validation_tasks=0,
        transductive=True,
        meta_iterations=5000,
        checkpoint_every=500,
        curve_tasks=100,
        source="this project: the paper's 5-way Omniglot run, shortened; all of the study with "
        "bin/sweep --figure=study",
        expected="nothing published; docs/experiments/study.md",
    ),
    "images_5way": Recipe(
        dataset="folder",
        validation_classes=0,
        loss_reduction="mean",
        meta_iterations=2000,
        checkpoint_every=500,
        source="this project: the paper's 5-way Omniglot run, shortened, for anyone's images",
        expected="nothing published; it depends on the images",
    ),
}

# Milliseconds of a meta-iteration in `fit`, measured by benchmarks/meta_step.py on two cores of an
# AMD EPYC (Zen 4). Sources: docs/results/meta_steps.json and docs/results/fast_and_full.json.
MILLISECONDS = {
    "glyphs": 32,
    "omniglot_5way": 33,
    "omniglot_5way_fast": 36,
    "omniglot_20way": 120,
    "mini_imagenet_5way_1shot": 592,
    "mini_imagenet_5way_5shot": 606,
    "sinusoid": 1.4,
    "sinusoid_fomaml": 1.4,
    "sinusoid_maml": 1.4,
    "sinusoid_joint": 1.0,
    "gradient_combinations": 17,
    "tail_overlap": 16,
    "images_5way": 32,
    "study": 32,
}


def cost(name: str) -> str:
    """Returns the measured cost of a recipe, in words; `"not measured"` if it was not.

    Example:

    >>> cost("omniglot_5way").startswith(f"{MILLISECONDS['omniglot_5way']} ms a meta-iteration")
    True
    """
    if name not in MILLISECONDS:
        return "not measured"
    seconds = MILLISECONDS[name] * RECIPES[name].meta_iterations / 1000
    units = {"hours": 3600, "minutes": 60, "seconds": 1}
    unit = next((unit for unit, length in units.items() if seconds >= 1.5 * length), "seconds")
    whole = f"{seconds / units[unit]:.0f} {unit} in all on two CPU cores (AMD EPYC, Zen 4)"
    return f"{MILLISECONDS[name]} ms a meta-iteration, {whole}"


# The recipe of `bin/train --dataset=X` without --recipe. For tfds:NAME it is the one of folders.
OF_DATASET = {
    "folder": "images_5way",
    "glyphs": "glyphs",
    "mini_imagenet": "mini_imagenet_5way_1shot",
    "omniglot": "omniglot_5way",
    SINUSOID: "sinusoid",
}


def run_name(recipe: Recipe) -> str:
    """Returns the name of a run for which no recipe was named.

    Example:

    >>> run_name(get(dataset="omniglot")), run_name(get(dataset="tfds:emnist/letters"))
    ('omniglot_5way', 'tfds_emnist_letters')
    """
    if recipe.dataset in OF_DATASET and not recipe.image_dir:
        return OF_DATASET[recipe.dataset]
    folder = os.path.basename(os.path.abspath(recipe.image_dir)) if recipe.image_dir else ""
    return re.sub(r"[^\w.-]+", "_", f"{recipe.dataset}_{folder}").strip("_")


def get(name: str | None = None, dataset: str | None = None, **overrides: Any) -> Recipe:
    """Returns the recipe of a name or of a data set, with some fields replaced.

    Args:
        name: String, a key of `RECIPES`. Defaults to `None`, the data set's own recipe.
        dataset: String. It replaces the recipe's data set. If `name` is `None`, it chooses the
            recipe. Defaults to `None`, the recipe's data set. If `name` is `None` too, the data set
            is `"folder"` with an `image_dir`, and `"glyphs"` without.
        **overrides: Fields of `Recipe`. A field that is `None` is not replaced. A `split_dir`
            replaces the recipe's `published_split`, too.

    Raises:
        ValueError: If there is no such recipe, data set or field, a value is not one of the field's
            choices or has another type, or the data set does not have the field.

    Example:

    >>> get("omniglot_5way", meta_iterations=5000).meta_iterations
    5000
    """
    if name is None:
        dataset = dataset or ("folder" if overrides.get("image_dir") else "glyphs")
        name = own(dataset)
    _check("recipe", name, tuple(RECIPES))
    given = {key: value for key, value in overrides.items() if value is not None}
    if dataset is not None:
        given["dataset"] = dataset
    unknown = sorted(set(given) - {field.name for field in dataclasses.fields(Recipe)})
    if unknown:
        raise ValueError(f"A recipe has no fields {unknown}. See the fields of `Recipe`.")
    # A split that the user gives takes the place of the recipe's.
    own_split = {"published_split": ""} if given.get("split_dir") else {}
    recipe = dataclasses.replace(RECIPES[name], **own_split | given)
    check_values(recipe)
    check_name(recipe.dataset)
    check_fields(recipe.dataset, given)
    check_inner_fields(recipe.inner_optimizer, given)
    return recipe


def own(dataset: str) -> str:
    """Returns the name of a data set's own recipe.

    Example:

    >>> own("omniglot"), own("tfds:cifar100")
    ('omniglot_5way', 'images_5way')
    """
    return OF_DATASET.get(str(dataset), "images_5way")


def paper_accuracy(recipe: Recipe) -> float | None:
    """Returns the paper's accuracy in percent on the test tasks of a recipe; `None` if unknown.

    Example:

    >>> paper_accuracy(get("omniglot_5way")), paper_accuracy(get("omniglot_5way", shots=5))
    (95.39, 98.9)
    >>> paper_accuracy(get("omniglot_5way", ways=7)) is None
    True
    """
    for published in RECIPES.values():
        same = all(getattr(published, f) == getattr(recipe, f) for f in ("expected", *OF_TASKS))
        if same and published.source == PAPER.format(TABLES.get(recipe.dataset)):
            for shots, inductive, transductive in ACCURACIES.findall(published.expected):
                if int(shots or published.shots) == recipe.shots:
                    return float(transductive if recipe.transductive else inductive)
    return None


def unit(recipe: Recipe) -> str:
    """Returns the unit of the numbers in `expected`.

    Example:

    >>> unit(get("glyphs")), unit(get("sinusoid"))
    ('%', 'mean squared error')
    """
    return "mean squared error" if recipe.dataset == SINUSOID else "%"
