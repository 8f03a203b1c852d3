"""Recipes: all hyper-parameters of a run under one name, and where they come from."""

import dataclasses
from typing import Any


def _field(default: Any, help: str, choices: tuple = ()) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Every hyper-parameter of a run; each is a flag of `bin/train` by the same name.

    The defaults are the paper's 5-way Omniglot run. Each field's meaning stands in its
    `metadata["help"]`, which is also the flag's help.
    """

    dataset: str = _field("omniglot", "Where the classes come from.", ("glyphs", "omniglot"))
    dataset_split: str = _field(
        "authors",
        "Omniglot's classes: the authors' shuffled 1,200 for training and 423 for test, or the "
        "data set's own background and evaluation alphabets.",
        ("authors", "background"),
    )
    validation_classes: int = _field(50, "Training classes kept out to validate on; 0 for none.")
    ways: int = _field(5, "Classes in a task.")
    shots: int = _field(1, "Support images of each class in validation and test tasks.")
    train_shots: int = _field(10, "Support images of each class in training tasks.")
    queries: int = _field(1, "Query images of each class.")
    minibatches: str = _field(
        "cycling",
        "Inner minibatches: passes over the support set, or drawn anew from all of it each time.",
        ("cycling", "replacement"),
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
    meta_batch_size: int = _field(5, "Tasks in a meta-iteration.")
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
    checkpoint_every: int = _field(
        1000, "Meta-iterations between checkpoints, each with a validation and a row of log.csv."
    )
    precision: str = _field(
        "float32", "Keras dtype policy.", ("float32", "mixed_bfloat16", "float64")
    )
    seed: int = _field(0, "Decides the initial weights and the training tasks.")
    source: str = _field("", "Where the recipe comes from.")


PAPER = "Nichol, Achiam, Schulman 2018 (arXiv 1803.02999v3), table 1 and appendix A"

RECIPES = {
    "glyphs": Recipe(
        dataset="glyphs",
        meta_iterations=1500,
        checkpoint_every=250,
        test_tasks=500,
        source="this project: embedded data, for a first look",
    ),
    "omniglot_5way": Recipe(source=PAPER),
    "omniglot_20way": Recipe(
        ways=20,
        inner_batch_size=20,
        inner_steps=10,
        inner_learning_rate=5e-4,
        meta_iterations=200_000,
        eval_inner_batch_size=10,
        source=PAPER,
    ),
}

# What `bin/train --dataset=X` runs where no recipe is named.
OF_DATASET = {"glyphs": "glyphs", "omniglot": "omniglot_5way"}


def get(name: str | None = None, dataset: str | None = None, **overrides: Any) -> Recipe:
    """A recipe by its name, or that of a data set, with some fields replaced.

    Args:
        name: String, a key of `RECIPES`. Defaults to `None`, the data set's own recipe.
        dataset: String, replaces the recipe's data set, or chooses the recipe if `name` is
            `None`. Defaults to `None`, the recipe's or else `"glyphs"`.
        **overrides: Fields of `Recipe`; those that are `None` stay the recipe's.

    Raises:
        ValueError: If there is no such recipe or data set, or a field has none of its choices.

    Example:

    >>> get("omniglot_5way", meta_iterations=5000).meta_iterations
    5000
    """
    if name is None:
        _check("dataset", dataset or "glyphs", tuple(OF_DATASET))
        name = OF_DATASET[dataset or "glyphs"]
    _check("recipe", name, tuple(RECIPES))
    given = {key: value for key, value in overrides.items() if value is not None}
    if dataset is not None:
        given["dataset"] = dataset
    recipe = dataclasses.replace(RECIPES[name], **given)
    for field in dataclasses.fields(Recipe):
        if field.metadata["choices"]:
            _check(field.name, getattr(recipe, field.name), field.metadata["choices"])
    return recipe


def _check(name, value, choices) -> None:
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {sorted(choices)}. Received: {value!r}.")
