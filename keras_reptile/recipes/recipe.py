"""The schema of a recipe: every hyper-parameter of a run, its default, help and choices."""

import dataclasses
import re
import sys
from collections.abc import Iterable
from typing import Any

from keras_reptile.checks import INT64, check_boolean, check_integer, check_number, did_you_mean

# Fields that describe a recipe and have no effect on a run.
NOTES = ("source", "expected")

SINUSOID = "sinusoid"

# The networks that take points, and their activation.
SINE_NETWORKS = {"sine_mlp_tanh": "tanh", "sine_mlp_relu": "relu"}

# Fields of a run's recipe that an evaluation can replace. `bin/evaluate` has flags for them.
OF_EVALUATION = (
    "ways",
    "shots",
    "queries",
    "minibatches",
    "eval_classes",
    "eval_inner_batch_size",
    "eval_inner_steps",
    "transductive",
    "task_parallelism",
    "jit_compile",
    "image_dir",
    "split_dir",
    "published_split",
)
# Fields that choose classes or images. Sine waves have neither.
OF_IMAGES = (
    "dataset_split",
    "validation_classes",
    "test_classes",
    "split_seed",
    "split_dir",
    "published_split",
    "image_dir",
    "manual_dir",
    "image_size",
    "channels",
)

# Fields that are folders.
PATHS = ("image_dir", "manual_dir", "split_dir")

# The module and the variable with the registered choices of a field.
REGISTERED_IN = {
    "network": ("keras_reptile.networks", "REGISTERED"),
    "method": ("keras_reptile.algorithm.methods", "METHODS"),
}

# Fields that may name a function of a module.
OPEN = ("network",)
REFERENCE = r"[A-Za-z_][\w.]*:[A-Za-z_]\w*"

# The fields that only one of the inner optimizers has.
OF_INNER = {"adam": ("inner_beta_1", "inner_beta_2", "inner_epsilon"), "sgd": ("inner_momentum",)}


def _field(default: Any, help: str, choices: tuple = ()) -> Any:
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The hyper-parameters of a run. Each is a flag of `bin/train` with the same name.

    The defaults are the paper's 5-way Omniglot run. `metadata["help"]` of a field explains it, and
    is also the help of the flag.
    """

    dataset: str = _field(
        "omniglot",
        "The data set: glyphs, omniglot, mini_imagenet, folder (--image_dir), tfds:NAME for any "
        "labelled image set of TensorFlow Datasets, or sinusoid for the paper's sine waves, where "
        "shots are sampled points and queries are all points.",
    )
    dataset_split: str = _field(
        "authors",
        "The split of Omniglot's classes: authors, 1,200 shuffled classes for training and 423 for "
        "testing; or background, the data set's background and evaluation alphabets.",
        ("authors", "background"),
    )
    validation_classes: int = _field(50, "Classes for validation; 0 for no validation.")
    test_classes: int = _field(
        0,
        "Classes for testing; 0 for the data set's own test classes, or, for tfds:NAME and "
        "folders, a fifth of the classes, at least 5.",
    )
    split_seed: int = _field(
        0,
        "The seed that chooses the test classes of omniglot, tfds:NAME and folders, and the "
        "validation classes of omniglot's background split.",
    )
    split_dir: str = _field(
        "",
        "A folder with train.txt, val.txt and test.txt, which name the training, validation and "
        "test classes of folders or tfds:NAME, one on each line.",
    )
    published_split: str = _field(
        "",
        "A published split of the classes of folders or tfds:NAME, whose class names this package "
        "has: cifar_fs or fc100 of CIFAR-100, cub of Caltech's birds, or tiered_imagenet.",
        ("", "cifar_fs", "cub", "fc100", "tiered_imagenet"),
    )
    image_dir: str = _field("", "A folder with a folder of image files for each class.")
    manual_dir: str = _field(
        "", "The folder of miniImageNet's images, needed until TFDS has prepared the data set."
    )
    image_size: int = _field(28, "Height and width to which images are resized.")
    channels: int = _field(1, "Channels of the images: 1 for grey, 3 for colour.")
    network: str = _field(
        "omniglot_convnet",
        "The network: one of the paper's two convolutional networks, or, for sine waves, the "
        "paper's 1-64-64-1 with ReLU, or with tanh as in the authors' program. Or a network of "
        "your own, as module:function: the function is called with ways, image_shape and seed, "
        "and the module is looked for in the current folder first.",
        ("mini_imagenet_convnet", "omniglot_convnet", "sine_mlp_relu", "sine_mlp_tanh"),
    )
    head: str = _field(
        "separate",
        "The start of the last layer's outputs: separate for each, or shared by all, so that the "
        "run can be evaluated with any number of ways.",
        ("separate", "shared"),
    )
    ways: int = _field(5, "Classes in a task. In training, --train_ways can differ.")
    train_ways: int = _field(
        0,
        "Classes in a training task; 0 for as many as in validation and test tasks. Another number "
        "needs --head=shared.",
    )
    shots: int = _field(1, "Support images of each class in validation and test tasks.")
    train_shots: int = _field(10, "Support images of each class in training tasks.")
    queries: int = _field(1, "Query images of each class.")
    train_queries: bool = _field(
        True,
        "Query images in training tasks too, for the accuracy in the log. Without them, all images "
        "of a class can be support images.",
    )
    minibatches: str = _field(
        "cycling",
        "How minibatches are drawn: cycling, by passes over the support set; or replacement, each "
        "from the whole support set.",
        ("cycling", "replacement"),
    )
    loss_reduction: str = _field(
        "sum",
        "The loss of a minibatch: the sum over its images, as in the authors' program, or the "
        "mean. With carried moments, inner steps on smaller minibatches are shorter for a sum, but "
        "not for a mean.",
        ("mean", "sum"),
    )
    method: str = _field(
        "reptile",
        "The meta-update: Reptile, first-order MAML (the last inner step), or MAML with second "
        "derivatives, which needs another meta-step size.",
        ("fomaml", "maml", "reptile"),
    )
    tail_shots: int = _field(
        0,
        "Support images of each class in training tasks that only the last inner step sees; 0 for "
        "a last minibatch like the others.",
    )
    inner_trainable: str = _field(
        "all",
        "The layers that the inner loop moves: all; head, the last one alone (ANIL); or body, all "
        "others (BOIL). The outer loop moves all.",
        ("all", "body", "head"),
    )
    inner_batch_size: int = _field(10, "Images in an inner step.")
    inner_steps: int = _field(5, "Inner steps of a training task.")
    inner_optimizer: str = _field("adam", "Optimizer of the inner loop.", ("adam", "sgd"))
    inner_learning_rate: float = _field(1e-3, "Learning rate of the inner loop.")
    inner_beta_1: float = _field(0.0, "Adam's beta 1 in the inner loop.")
    inner_beta_2: float = _field(0.999, "Adam's beta 2 in the inner loop.")
    inner_epsilon: float = _field(1e-8, "Adam's epsilon in the inner loop.")
    inner_momentum: float = _field(0.0, "SGD's momentum in the inner loop.")
    inner_clipnorm: float = _field(
        0.0, "The largest norm of each weight's gradient in the inner loop; 0 for no clipping."
    )
    inner_weight_decay_rate: float = _field(1.0, "Multiplies the weights before each inner step.")
    inner_state: str = _field(
        "carried",
        "The inner optimizer's moments: carried over to later tasks, or reset for each task.",
        ("carried", "reset"),
    )
    task_order: str = _field(
        "parallel",
        "The order of a meta-batch's tasks: parallel, all from the same moments; or serial, one "
        "after another.",
        ("parallel", "serial"),
    )
    task_parallelism: str = _field(
        "auto",
        "How tasks are computed: each separately, all vectorized in one batch under XLA, or auto, "
        "as suits the device.",
        ("auto", "separate", "vectorized"),
    )
    jit_compile: str = _field(
        "auto",
        "Whether XLA compiles. auto: yes on a GPU; on a CPU, the inner loops if that is faster and "
        "the run is long enough.",
        ("auto", "true", "false"),
    )
    draw_on_device: str = _field(
        "auto",
        "Whether the device draws the training tasks, from classes that lie there. auto: yes on a "
        "GPU where XLA compiles whole steps.",
        ("auto", "true", "false"),
    )
    meta_batch_size: int = _field(5, "Tasks in a meta-iteration.")
    meta_optimizer: str = _field(
        "sgd",
        "The outer optimizer: SGD or Adam. Its learning rate is the meta-step size.",
        ("adam", "sgd"),
    )
    meta_step_size: float = _field(1.0, "Meta-step size at the start.")
    meta_step_size_final: float = _field(0.0, "Meta-step size at the end; linear in between.")
    meta_iterations: int = _field(100_000, "Meta-iterations, that is, outer steps.")
    eval_classes: str = _field(
        "any",
        "The classes of a validation or test task: any of the split, or characters of one alphabet "
        "of Omniglot, as in its own benchmark.",
        ("any", "within_alphabet"),
    )
    eval_inner_batch_size: int = _field(5, "Images in an inner step of validation and test.")
    eval_inner_steps: int = _field(50, "Inner steps of a validation or test task.")
    transductive: bool = _field(
        False, "Predict all queries of a task in one batch, not each with the support set."
    )
    validation_tasks: int = _field(100, "Tasks in each validation.")
    test_tasks: int = _field(1000, "Test tasks after training; 0 for no test.")
    curve_tasks: int = _field(
        0,
        "Test tasks at every checkpoint, for a curve of test accuracy; 0 for no curve. No choice "
        "depends on it.",
    )
    checkpoint_every: int = _field(
        1000, "Meta-iterations between checkpoints, each with a validation and a row of log.csv."
    )
    precision: str = _field(
        "float32",
        "The Keras dtype policy. Under the mixed ones, weights and optimizer steps are in float32.",
        ("float32", "mixed_bfloat16", "mixed_float16", "float64"),
    )
    seed: int = _field(0, "The seed of the initial weights and the training tasks.")
    source: str = _field("", "The source of the recipe.")
    expected: str = _field(
        "", "The expected accuracy in percent, or the mean squared error for sine waves."
    )

    @property
    def field_of_training_ways(self) -> str:
        """The field with the classes in a training task: `"train_ways"`, or `"ways"` if it is 0."""
        return "train_ways" if self.train_ways else "ways"

    @property
    def ways_in_training(self) -> int:
        """The classes in a training task, and the outputs of the network in training."""
        return getattr(self, self.field_of_training_ways)


def check_values(recipe: Recipe) -> None:
    """Raises `ValueError` if a value is not one of the field's choices or has another type."""
    for field in dataclasses.fields(Recipe):
        value = getattr(recipe, field.name)
        if field.name in OPEN and re.fullmatch(REFERENCE, str(value)):
            continue
        if field.metadata["choices"]:
            _check(field.name, value, _choices(field))
        elif field.type is int:
            check_integer(field.name, value, -INT64, INT64)
        elif field.type is float:
            check_number(field.name, value)
        elif field.type is bool:
            check_boolean(field.name, value)
        elif not isinstance(value, str):
            raise ValueError(f"`{field.name}` must be a string. Received: {value!r}.")


def _choices(field: dataclasses.Field) -> tuple:
    """Returns the choices of a field, with the registered ones."""
    module, names = REGISTERED_IN.get(field.name, ("", ""))
    # The module is not imported here, because the schema and its flags do not need TensorFlow. If a
    # name is registered, the module is already imported.
    registered = vars(sys.modules[module])[names] if module in sys.modules else ()
    return tuple({*field.metadata["choices"], *registered})


def own_fields(recipe: Recipe) -> list[str]:
    """Returns the fields that the recipe's data set and inner optimizer have, without the notes.

    Example:

    >>> {"inner_beta_1", "inner_momentum"} & {*own_fields(Recipe(inner_optimizer="sgd"))}
    {'inner_momentum'}
    """
    others = {*NOTES, *_not_of(recipe.inner_optimizer)}
    others |= {*OF_IMAGES} if recipe.dataset == SINUSOID else set()
    return [field.name for field in dataclasses.fields(recipe) if field.name not in others]


def _not_of(optimizer: str) -> tuple[str, ...]:
    """Returns the fields that only the other inner optimizer has."""
    return OF_INNER[_other(optimizer)]


def _other(optimizer: str) -> str:
    return "sgd" if optimizer == "adam" else "adam"


def check_fields(dataset: str, given: Iterable[str]) -> None:
    """Raises `ValueError` for fields that a data set does not have.

    Args:
        dataset: String, its name.
        given: Iterable of strings, the fields that the user set.
    """
    wrong = [name for name in OF_IMAGES if name in given] if dataset == SINUSOID else []
    if wrong:
        raise ValueError(
            "Sine waves have neither classes nor images, and do not use "
            f"{', '.join(f'`{name}`' for name in wrong)}. Received: dataset={dataset!r}. "
            "Leave these out, or choose another data set."
        )


def check_inner_fields(optimizer: str, given: Iterable[str]) -> None:
    """Raises `ValueError` if the user set fields that the inner optimizer does not have."""
    wrong = [name for name in _not_of(optimizer) if name in given]
    if wrong:
        raise ValueError(
            f"Inner {optimizer} does not use {', '.join(f'`{name}`' for name in wrong)}. Leave "
            f"these out, or choose inner_optimizer={_other(optimizer)!r}."
        )


def _check(name, value, choices) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"`{name}` must be one of {sorted(choices)}. Received: {value!r}."
            f"{did_you_mean(value, choices)}"
        )
