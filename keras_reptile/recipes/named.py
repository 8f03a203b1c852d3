"""Recipes: all hyper-parameters of a run under one name, and where they come from."""

import dataclasses
import os
import re
from collections.abc import Iterable
from typing import Any

from keras_reptile.checks import INT64, check_boolean, check_integer, check_number
from keras_reptile.datasets.load import check_name


def _field(default: Any, help: str, choices: tuple = ()) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Every hyper-parameter of a run; each is a flag of `bin/train` by the same name.

    The defaults are the paper's 5-way Omniglot run. Each field's meaning stands in its
    `metadata["help"]`, which is also the flag's help.
    """

    dataset: str = _field(
        "omniglot",
        "Where the tasks come from: glyphs, omniglot, mini_imagenet, folder (--image_dir), or "
        "tfds:NAME for any labelled image set of TensorFlow Datasets; sinusoid for the paper's "
        "sine waves, whose shots are sampled points and whose queries are all the points.",
    )
    dataset_split: str = _field(
        "authors",
        "Omniglot's classes: the authors' shuffled 1,200 for training and 423 for test, or the "
        "data set's own background and evaluation alphabets.",
        ("authors", "background"),
    )
    validation_classes: int = _field(50, "Training classes kept out to validate on; 0 for none.")
    test_classes: int = _field(
        0,
        "Classes to test on; 0 for the data set's own, and of tfds:NAME and folders a fifth, at "
        "least 5.",
    )
    split_seed: int = _field(
        0,
        "Decides which classes of omniglot, tfds:NAME and folders test; of omniglot's background "
        "split, which validate.",
    )
    image_dir: str = _field("", "A folder that holds a folder of PNG or JPEG files for each class.")
    manual_dir: str = _field("", "Where miniImageNet lies, until TFDS has prepared it.")
    image_size: int = _field(28, "Height and width of the images, to which others are resized.")
    channels: int = _field(1, "Channels of the images: 1 for grey, 3 for colour.")
    network: str = _field(
        "omniglot_convnet",
        "The network: one of the paper's two; for sine waves its 1-64-64-1 with ReLU, or with "
        "tanh as in the authors' program.",
        ("mini_imagenet_convnet", "omniglot_convnet", "sine_mlp_relu", "sine_mlp_tanh"),
    )
    ways: int = _field(5, "Classes in a task.")
    shots: int = _field(1, "Support images of each class in validation and test tasks.")
    train_shots: int = _field(10, "Support images of each class in training tasks.")
    queries: int = _field(1, "Query images of each class.")
    train_queries: bool = _field(
        True,
        "Query images in training tasks too, for the accuracy in the log; without, all images of a "
        "class can be support images.",
    )
    minibatches: str = _field(
        "cycling",
        "Inner minibatches: passes over the support set, or drawn anew from all of it each time.",
        ("cycling", "replacement"),
    )
    loss_reduction: str = _field(
        "sum",
        "A minibatch's loss: the sum over its images, as in the authors' program, or the mean. "
        "With carried moments, sums make shorter steps on smaller minibatches, means do not.",
        ("mean", "sum"),
    )
    method: str = _field(
        "reptile",
        "Meta-update: Reptile, first-order MAML (the last inner step), or MAML with second "
        "derivatives, whose raw gradient wants a meta-step size of its own.",
        ("fomaml", "maml", "reptile"),
    )
    tail_shots: int = _field(
        0,
        "Support images of each class in training tasks that are kept apart for the last inner "
        "step; 0 for a last minibatch like the others.",
    )
    inner_batch_size: int = _field(10, "Images in an inner step.")
    inner_steps: int = _field(5, "Inner steps of a training task.")
    inner_optimizer: str = _field("adam", "Optimizer of the inner loop.", ("adam", "sgd"))
    inner_learning_rate: float = _field(1e-3, "Learning rate of the inner loop.")
    inner_beta_1: float = _field(0.0, "Adam's beta 1 in the inner loop.")
    inner_beta_2: float = _field(0.999, "Adam's beta 2 in the inner loop.")
    inner_epsilon: float = _field(1e-8, "Adam's epsilon in the inner loop.")
    inner_momentum: float = _field(0.0, "SGD's momentum in the inner loop.")
    inner_weight_decay_rate: float = _field(1.0, "Multiplies the weights before each inner step.")
    inner_state: str = _field(
        "carried",
        "The inner optimizer's moments: carried on from task to task, or reset for each.",
        ("carried", "reset"),
    )
    task_order: str = _field(
        "parallel",
        "Tasks of a meta-batch: side by side from the same moments, or one after another.",
        ("parallel", "serial"),
    )
    task_parallelism: str = _field(
        "auto",
        "How tasks are computed: each by itself, all as one batch under XLA, or what suits the "
        "device.",
        ("auto", "separate", "vectorized"),
    )
    jit_compile: str = _field(
        "auto",
        "Whether XLA compiles. auto: on a GPU, and on a CPU the inner loops if it is faster there "
        "and the run is long enough.",
        ("auto", "true", "false"),
    )
    meta_batch_size: int = _field(5, "Tasks in a meta-iteration.")
    meta_optimizer: str = _field(
        "sgd",
        "What makes a step of the meta-gradient: SGD, which moves the weights by the meta-step "
        "size, or Adam, whose learning rate it is.",
        ("adam", "sgd"),
    )
    meta_step_size: float = _field(1.0, "Meta-step size at the start.")
    meta_step_size_final: float = _field(0.0, "Meta-step size at the end; linear in between.")
    meta_iterations: int = _field(100_000, "Meta-iterations, that is, outer steps.")
    eval_inner_batch_size: int = _field(5, "Images in an inner step of validation and test.")
    eval_inner_steps: int = _field(50, "Inner steps of a validation or test task.")
    transductive: bool = _field(
        False, "Predict all queries of a task in one batch, not each with the support set."
    )
    validation_tasks: int = _field(100, "Tasks in each validation.")
    test_tasks: int = _field(1000, "Test tasks after training; 0 for no test.")
    curve_tasks: int = _field(
        0,
        "Test tasks at every checkpoint, for a curve of test accuracy by which nothing is chosen; "
        "0 for none.",
    )
    checkpoint_every: int = _field(
        1000, "Meta-iterations between checkpoints, each with a validation and a row of log.csv."
    )
    precision: str = _field(
        "float32",
        "Keras dtype policy: weights and steps are in float32 under the mixed ones.",
        ("float32", "mixed_bfloat16", "mixed_float16", "float64"),
    )
    seed: int = _field(0, "Decides the initial weights and the training tasks.")
    source: str = _field("", "Where the recipe comes from.")
    expected: str = _field(
        "", "What to expect of it: accuracy in percent, of sine waves the mean squared error."
    )


# Fields that say something about a recipe and set nothing.
NOTES = ("source", "expected")

SINUSOID = "sinusoid"
# The networks that take points, and their activation.
SINE_NETWORKS = {"sine_mlp_tanh": "tanh", "sine_mlp_relu": "relu"}
# Fields that choose classes or images, of which sine waves have none.
OF_IMAGES = (
    "dataset_split",
    "validation_classes",
    "test_classes",
    "split_seed",
    "image_dir",
    "manual_dir",
    "image_size",
    "channels",
)

PAPER = "Nichol, Achiam, Schulman 2018 (arXiv 1803.02999v3), table {} and appendix A"

# One training configuration; the two published runs differ in evaluation.
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

# Figure 1. The network has no batch statistics: predicted together or one by one is the same.
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
SINE_TRIALS = "this project: Reptile's recipe with a meta-step size from trials, docs/sinusoid.md"
SINE_EXPECTED = "nothing published; {} when it was added"
FIGURE = "Nichol, Achiam, Schulman 2018 (arXiv 1803.02999v3), figure {}; "

# The commands of figure 3. Their rate of 0.003 is that of a loss summed over 25 images, and the
# authors' program takes one task in a meta-iteration where it is told nothing else.
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
    # So short a run gains by the longer steps that means make in evaluation: 89.36 for 86.44.
    "glyphs": Recipe(
        dataset="glyphs",
        loss_reduction="mean",
        meta_iterations=1500,
        checkpoint_every=250,
        test_tasks=500,
        source="this project: embedded data, for a first look",
        expected="nothing published; 89.36 ± 1.17 when it was added",
    ),
    "omniglot_5way": Recipe(
        source=PAPER.format(1),
        expected="95.39 ± 0.09, transductive 97.68 ± 0.04; "
        "with --shots=5 98.90 ± 0.10, transductive 99.48 ± 0.06",
    ),
    # First-order MAML as published, at the settings of its authors; for 1 shot only, of which
    # three steps see all images.
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
    "mini_imagenet_5way_1shot": dataclasses.replace(
        MINI_IMAGENET, expected="47.07 ± 0.26, transductive 49.97 ± 0.32"
    ),
    "mini_imagenet_5way_5shot": dataclasses.replace(
        MINI_IMAGENET,
        shots=5,
        eval_inner_batch_size=15,
        expected="62.74 ± 0.37, transductive 65.99 ± 0.58",
    ),
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
        expected="nothing published; docs/study.md",
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

# What a meta-iteration of a recipe takes in `fit`: benchmarks/meta_step.py on two cores of an AMD
# EPYC (Zen 4), docs/results/meta_steps.json, and of more steps docs/results/fast_and_full.json.
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
    """What a recipe was measured to take.

    Example:

    >>> cost("omniglot_5way").startswith(f"{MILLISECONDS['omniglot_5way']} ms a meta-iteration")
    True
    """
    seconds = MILLISECONDS[name] * RECIPES[name].meta_iterations / 1000
    units = {"hours": 3600, "minutes": 60, "seconds": 1}
    unit = next((unit for unit, length in units.items() if seconds >= 1.5 * length), "seconds")
    whole = f"{seconds / units[unit]:.0f} {unit} in all on two CPU cores (AMD EPYC, Zen 4)"
    return f"{MILLISECONDS[name]} ms a meta-iteration, {whole}"


# What `bin/train --dataset=X` runs where no recipe is named; for tfds:NAME, what folders do.
OF_DATASET = {
    "folder": "images_5way",
    "glyphs": "glyphs",
    "mini_imagenet": "mini_imagenet_5way_1shot",
    "omniglot": "omniglot_5way",
    SINUSOID: "sinusoid",
}


def run_name(recipe: Recipe) -> str:
    """What a run without a recipe's name is called.

    Example:

    >>> run_name(get(dataset="omniglot")), run_name(get(dataset="tfds:emnist/letters"))
    ('omniglot_5way', 'tfds_emnist_letters')
    """
    if recipe.dataset in OF_DATASET and not recipe.image_dir:
        return OF_DATASET[recipe.dataset]
    folder = os.path.basename(os.path.abspath(recipe.image_dir)) if recipe.image_dir else ""
    return re.sub(r"[^\w.-]+", "_", f"{recipe.dataset}_{folder}").strip("_")


def get(name: str | None = None, dataset: str | None = None, **overrides: Any) -> Recipe:
    """A recipe by its name, or that of a data set, with some fields replaced.

    Args:
        name: String, a key of `RECIPES`. Defaults to `None`, the data set's own recipe.
        dataset: String, replaces the recipe's data set, or chooses the recipe if `name` is
            `None`. Defaults to `None`, the recipe's, or else `"folder"` where there is an
            `image_dir`, and `"glyphs"` where there is none.
        **overrides: Fields of `Recipe`; those that are `None` stay the recipe's.

    Raises:
        ValueError: If there is no such recipe, data set or field, a field has none of its choices
            or a value of another type, or the data set has no use for it.

    Example:

    >>> get("omniglot_5way", meta_iterations=5000).meta_iterations
    5000
    """
    if name is None:
        dataset = dataset or ("folder" if overrides.get("image_dir") else "glyphs")
        name = OF_DATASET.get(str(dataset), "images_5way")
    _check("recipe", name, tuple(RECIPES))
    given = {key: value for key, value in overrides.items() if value is not None}
    if dataset is not None:
        given["dataset"] = dataset
    unknown = sorted(set(given) - {field.name for field in dataclasses.fields(Recipe)})
    if unknown:
        raise ValueError(f"A recipe has no fields {unknown}. See the fields of `Recipe`.")
    recipe = dataclasses.replace(RECIPES[name], **given)
    check_values(recipe)
    check_name(recipe.dataset)
    check_fields(recipe.dataset, given)
    check_inner_fields(recipe.inner_optimizer, given)
    return recipe


def check_values(recipe: Recipe) -> None:
    """Raises `ValueError` if a field has none of its choices, or a value of another type."""
    for field in dataclasses.fields(Recipe):
        value = getattr(recipe, field.name)
        if field.metadata["choices"]:
            _check(field.name, value, field.metadata["choices"])
        elif field.type is int:
            check_integer(field.name, value, -INT64, INT64)
        elif field.type is float:
            check_number(field.name, value)
        elif field.type is bool:
            check_boolean(field.name, value)
        elif not isinstance(value, str):
            raise ValueError(f"`{field.name}` must be a string. Received: {value!r}.")


def unit(recipe: Recipe) -> str:
    """What the figures in `expected` are.

    Example:

    >>> unit(get("glyphs")), unit(get("sinusoid"))
    ('%', 'mean squared error')
    """
    return "mean squared error" if recipe.dataset == SINUSOID else "%"


def check_fields(dataset: str, given: Iterable[str]) -> None:
    """Raises `ValueError` for fields that mean nothing for a data set.

    Args:
        dataset: String, its name.
        given: Iterable of strings, the fields that someone set.
    """
    wrong = [name for name in OF_IMAGES if name in given] if dataset == SINUSOID else []
    if wrong:
        raise ValueError(
            "Sine waves have neither classes nor images, and no use for "
            f"{', '.join(f'`{name}`' for name in wrong)}. Received: dataset={dataset!r}. "
            "Leave these out, or choose another data set."
        )


# The fields that one inner optimizer has and the other has not.
OF_INNER = {"adam": ("inner_beta_1", "inner_beta_2", "inner_epsilon"), "sgd": ("inner_momentum",)}


def check_inner_fields(optimizer: str, given: Iterable[str]) -> None:
    """Raises `ValueError` for fields that someone set, and that the inner optimizer has not."""
    other = "sgd" if optimizer == "adam" else "adam"
    wrong = [name for name in OF_INNER[other] if name in given]
    if wrong:
        raise ValueError(
            f"Inner {optimizer} has no use for {', '.join(f'`{name}`' for name in wrong)}. Leave "
            f"these out, or choose inner_optimizer={other!r}."
        )


def _check(name, value, choices) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"`{name}` must be one of {sorted(choices)}. Received: {value!r}.")
