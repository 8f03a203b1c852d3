"""The schema of a recipe: every hyper-parameter of a run, its default, help and choices."""

import dataclasses
import sys
from collections.abc import Iterable
from typing import Any

from keras_reptile.checks import INT64, check_boolean, check_integer, check_number, did_you_mean

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

# Fields that are folders.
PATHS = ("image_dir", "manual_dir")

# Where registered names of a field are found.
REGISTERED_IN = {
    "network": ("keras_reptile.networks", "REGISTERED"),
    "method": ("keras_reptile.algorithm.methods", "METHODS"),
}

# The fields that one inner optimizer has and the other has not.
OF_INNER = {"adam": ("inner_beta_1", "inner_beta_2", "inner_epsilon"), "sgd": ("inner_momentum",)}


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
    image_dir: str = _field("", "A folder that holds a folder of image files for each class.")
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


def check_values(recipe: Recipe) -> None:
    """Raises `ValueError` if a field has none of its choices, or a value of another type."""
    for field in dataclasses.fields(Recipe):
        value = getattr(recipe, field.name)
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
    """What a field can be, what was registered included."""
    module, names = REGISTERED_IN.get(field.name, ("", ""))
    # Imported by whoever registers a name: the schema and its flags need no TensorFlow.
    registered = vars(sys.modules[module])[names] if module in sys.modules else ()
    return tuple({*field.metadata["choices"], *registered})


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
        raise ValueError(
            f"`{name}` must be one of {sorted(choices)}. Received: {value!r}."
            f"{did_you_mean(value, choices)}"
        )
