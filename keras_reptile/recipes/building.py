"""Builds the parts of a recipe: data, episodes, network and compiled model."""

import collections
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_reptile import datasets, distribution, networks
from keras_reptile.algorithm.keras_optimizers import check_ranges, check_weight_decay
from keras_reptile.algorithm.meta_update import linear_meta_step
from keras_reptile.checks import check_integer, counted
from keras_reptile.datasets.class_folders import listed
from keras_reptile.datasets.sinusoid import Waves, sinusoid_dataset
from keras_reptile.episodes.class_pool import ClassPool, Pools
from keras_reptile.episodes.episode_dataset import episode_dataset
from keras_reptile.errors import RunError
from keras_reptile.recipes import network_reference
from keras_reptile.recipes.data_options import data_options
from keras_reptile.recipes.field_names import IN_EVALUATION, IN_TRAINING, named_in_errors
from keras_reptile.recipes.network_changes import changes
from keras_reptile.recipes.network_reference import is_reference, load_function
from keras_reptile.recipes.recipe import SINE_NETWORKS, SINUSOID, Recipe
from keras_reptile.reptile_model import ReptileModel

# Validation and test tasks are the same for every run. They do not depend on its seed, and are
# drawn in batches of EVALUATION_BATCH. They come from the stream of `split="train"`, because the
# results in docs/ were measured on these tasks. Their classes are not training classes.
EVALUATION_SEED = 0
EVALUATION_BATCH = 20
# The names of the classes in each of the `Pools`.
PARTS = {"train": "training", "validation": "validation", "test": "test"}


def prepare(recipe: Recipe) -> None:
    """Prepares a process for a recipe: its precision, and the import of a custom network."""
    set_precision(recipe)
    if is_reference(recipe.network):
        load_function(recipe.network)


def set_precision(recipe: Recipe) -> None:
    """Sets Keras's dtype policy and float type. The float type is float64 for `"float64"` only."""
    keras.config.set_floatx("float64" if recipe.precision == "float64" else "float32")
    keras.config.set_dtype_policy(recipe.precision)


def load_pools(recipe: Recipe, data_dir: str | None, parts: Sequence[str] = Pools._fields) -> Pools:
    """Loads the data of a recipe. From a folder of images it can read some splits only."""
    options = data_options(recipe, data_dir)
    if recipe.dataset == "folder":
        options["parts"] = parts
    return datasets.load(recipe.dataset, **options)


def describe_images(recipe: Recipe) -> dict[str, Any] | None:
    """Returns the description of a recipe's images, see `datasets.describe`."""
    return datasets.describe(recipe.dataset, recipe.image_size, recipe.channels)


def check_ways(
    recipe: Recipe, pools: Pools, part: str, else_do: str, in_training: bool = False
) -> None:
    """Raises `ValueError` if tasks have one class, or a split or its alphabets too few for a task.

    Args:
        recipe: A `Recipe`.
        pools: The `Pools` of its data.
        part: String, a field of `Pools`.
        else_do: String, advice beside fewer ways, in the form ", or ...".
        in_training: Boolean, whether the tasks are training tasks. Defaults to `False`.
    """
    pool = getattr(pools, part)
    if not isinstance(pool, ClassPool):
        return
    name = recipe.field_of_training_ways if in_training else "ways"
    ways = check_integer(name, getattr(recipe, name), 2)
    if ways > len(pool):
        # Classes with too few images are left out of a pool.
        small = len(pool.left_out)
        raise ValueError(
            f"`{name}` must not exceed the number of {PARTS[part]} classes. Received: "
            f"{name}={ways}, with {counted(len(pool), 'class', 'classes')}"
            f"{f', and {small} more with too few images' if small else ''}. "
            f"Lower `{name}`{', shots or `queries`' if small else ''}{else_do}."
        )
    if recipe.eval_classes == "within_alphabet" and not in_training and pool.groups:
        _check_alphabets(pool.groups, ways, PARTS[part], else_do)


def _check_alphabets(alphabets: Sequence, ways: int, part: str, else_do: str) -> None:
    most = max(collections.Counter(alphabets).values())
    if ways > most:
        raise ValueError(
            f"No alphabet has `ways` of the {part} classes. Received: ways={ways}, with at most "
            f"{most} of one alphabet. Lower `ways`{else_do}."
        )


def training_episodes(recipe: Recipe, pool: ClassPool, start: int = 0) -> tf.data.Dataset:
    """Returns the endless stream of training meta-batches, from meta-iteration `start`."""
    names = {**IN_TRAINING, "ways": recipe.field_of_training_ways}
    return _episodes(
        names,
        pool,
        recipe.ways_in_training,
        recipe.train_shots,
        queries=recipe.queries if recipe.train_queries else 0,
        inner_batch_size=recipe.inner_batch_size,
        inner_steps=recipe.inner_steps,
        minibatches=recipe.minibatches,
        tail_shots=recipe.tail_shots or None,
        meta_batch_size=recipe.meta_batch_size,
        seed=recipe.seed,
        start=start,
    )


def evaluation_episodes(
    recipe: Recipe, pool: ClassPool, tasks: int, seed: int = EVALUATION_SEED
) -> tf.data.Dataset:
    """Returns a fixed number of validation or test tasks. They have no separate tail."""
    grouped = {"within_groups": True} if recipe.eval_classes == "within_alphabet" else {}
    return _episodes(
        IN_EVALUATION,
        pool,
        recipe.ways,
        recipe.shots,
        queries=recipe.queries,
        inner_batch_size=recipe.eval_inner_batch_size,
        inner_steps=recipe.eval_inner_steps,
        minibatches=recipe.minibatches,
        meta_batch_size=min(EVALUATION_BATCH, tasks),
        seed=seed,
        tasks=tasks,
        **grouped,
    )


def _episodes(names, pool, ways, shots, **arguments):
    with named_in_errors(names):
        if isinstance(pool, Waves):
            return sinusoid_dataset(pool.split, shots, **arguments)
        return episode_dataset(pool, ways, shots, **arguments)


def inner_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    clipnorm = recipe.inner_clipnorm or None
    if recipe.inner_optimizer == "sgd":
        return keras.optimizers.SGD(
            recipe.inner_learning_rate, recipe.inner_momentum, clipnorm=clipnorm
        )
    return keras.optimizers.Adam(
        recipe.inner_learning_rate,
        beta_1=recipe.inner_beta_1,
        beta_2=recipe.inner_beta_2,
        epsilon=recipe.inner_epsilon,
        clipnorm=clipnorm,
    )


def check_steps(recipe: Recipe) -> None:
    """Raises `ValueError` for invalid hyper-parameters of the inner or outer optimizer.

    It does not call TensorFlow, because the devices may not be chosen yet.
    """
    inner = {
        "learning_rate": recipe.inner_learning_rate,
        "clipnorm": recipe.inner_clipnorm or None,
    }
    if recipe.inner_optimizer == "sgd":
        inner["momentum"] = recipe.inner_momentum
    else:
        inner["beta_1"], inner["beta_2"] = recipe.inner_beta_1, recipe.inner_beta_2
        inner["epsilon"] = recipe.inner_epsilon
    check_ranges(inner)
    check_weight_decay(recipe.inner_weight_decay_rate)
    meta_step(recipe)


def meta_step(recipe: Recipe) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the schedule of the meta-step size over the recipe's meta-iterations."""
    return linear_meta_step(
        recipe.meta_step_size, recipe.meta_step_size_final, recipe.meta_iterations
    )


def meta_optimizer(recipe: Recipe) -> keras.optimizers.Optimizer:
    """Returns the outer optimizer. Its learning rate is the meta-step size."""
    kind = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[recipe.meta_optimizer]
    return kind(meta_step(recipe))


def build_model(recipe: Recipe, image_shape: tuple) -> ReptileModel:
    """Returns the recipe's compiled model. The recipe's seed determines the initial weights."""
    model = ReptileModel(
        build_network(recipe, image_shape),
        inner_optimizer(recipe),
        method=recipe.method,
        inner_state=recipe.inner_state,
        task_order=recipe.task_order,
        task_parallelism=recipe.task_parallelism,
        inner_weight_decay_rate=recipe.inner_weight_decay_rate,
        transductive=recipe.transductive,
        head=recipe.head,
        inner_trainable=recipe.inner_trainable,
    )
    model.compile(optimizer=meta_optimizer(recipe), loss=task_loss(recipe))
    return model


def task_loss(recipe: Recipe) -> keras.losses.Loss:
    """Returns the loss of the inner loop: squared error for sine waves, else cross-entropy."""
    reduction = "sum" if recipe.loss_reduction == "sum" else "sum_over_batch_size"
    if recipe.dataset == SINUSOID:
        return keras.losses.MeanSquaredError(reduction=reduction)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)


def build_network(recipe: Recipe, image_shape: tuple) -> keras.Model:
    """Returns the recipe's network, with an output for each class of a training task.

    The recipe's seed determines the initial weights.
    """
    ways = recipe.ways_in_training
    if recipe.network in SINE_NETWORKS:
        return networks.sine_mlp(activation=SINE_NETWORKS[recipe.network], seed=recipe.seed)
    if is_reference(recipe.network):
        return network_reference.build(recipe.network, ways, image_shape, recipe.seed)
    build = networks.REGISTERED.get(recipe.network) or getattr(networks, recipe.network)
    return build(ways, image_shape, seed=recipe.seed)


def check_network(recipe: Recipe, image_shape: tuple, saved: ReptileModel) -> None:
    """Raises `RunError` if the user's function returns another network than a checkpoint has.

    Args:
        recipe: The `Recipe` of the checkpoint's run.
        image_shape: Tuple `(height, width, channels)`.
        saved: The `ReptileModel` of the checkpoint.
    """
    if not (is_reference(recipe.network) or recipe.network in networks.REGISTERED):
        return
    if found := changes(saved.network, build_network(recipe, image_shape)):
        raise RunError(
            f"The function of network={recipe.network!r} returns another network than the "
            f"checkpoint of meta-iteration {saved.meta_iteration} has: {listed(found)}. Restore "
            "the function, or train with another --output_dir."
        )


def on_strategy(
    recipe: Recipe,
    spec: dict[str, Any],
    saved: ReptileModel | None,
    strategy: tf.distribute.Strategy | None,
    workers: distribution.Workers,
    jit_compile: bool | str = "auto",
) -> ReptileModel:
    """Returns the recipe's model in the scope of a strategy, with the state of the checkpoint.

    All its variables are there, and those of its optimizer, also if the network was not built.

    Args:
        recipe: A `Recipe`.
        spec: The spec of the run's episodes, as `element_spec` of a dataset.
        saved: The model that this worker restored from a checkpoint, or `None`. In a cluster, all
            workers get the state of the chief's model.
        strategy: A strategy, or `None`.
        workers: The `Workers` of the run.
        jit_compile: As in `ReptileModel.compile`. Defaults to `"auto"`.
    """
    image_shape = tuple(spec["support"][0].shape[2:])
    if strategy is None:
        model = _built_model(recipe, image_shape, spec) if saved is None else saved
    else:
        if saved is not None:
            check_network(recipe, image_shape, saved)
        with strategy.scope():
            model = _built_model(recipe, image_shape, spec)
        state = _state_variables(model if saved is None else saved)
        values = workers.from_chief([np.asarray(value) for value in map(_value_of, state)])
        for variable, value in zip(_state_variables(model), values, strict=True):
            variable.assign(value)
    model.set_execution(task_parallelism=recipe.task_parallelism, jit_compile=jit_compile)
    return model


def _built_model(recipe, image_shape, spec) -> ReptileModel:
    model = build_model(recipe, image_shape)
    model.build_variables(spec)
    return model


def _state_variables(model: ReptileModel) -> list:
    """Returns the variables in a checkpoint: weights, inner state, seeds, outer optimizer, count.

    The count is that of the meta-iterations before the outer optimizer was made, see `with_head`.
    """
    return [*model.variables, *model.optimizer.variables, model._iterations_before_compile]


def _value_of(variable: Any) -> Any:
    return variable.value if isinstance(variable, keras.Variable) else variable
