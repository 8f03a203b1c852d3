"""A model with the body of another and a new head, for another number of classes."""

import random
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm import shared_head
from keras_reptile.algorithm.network_checks import check_built
from keras_reptile.algorithm.network_copy import replace_head
from keras_reptile.algorithm.network_function import seeds_of, set_seeds
from keras_reptile.checks import INT32, check_positive, check_seed
from keras_reptile.model.support_set import check_labels, places_of


def for_labels(model: Any, head: str, labels: tf.Tensor, seed: int) -> tuple:
    """Returns the model to adapt, and a model of the same layers whose traces compute it.

    Each new head is a new model. To trace none of them again, all use the first one's traces.

    Args:
        model: A compiled `ReptileModel`.
        head, seed: See `ReptileModel.adapt`.
        labels: Tensor, the labels of the support set.
    """
    if head not in ("keep", "replace", "shared"):
        raise ValueError(f"`head` must be 'keep', 'replace' or 'shared'. Received: head={head!r}.")
    if head == "keep":
        return model, model
    if head == "shared" and model.head != "shared":
        raise ValueError(
            "`head='shared'` needs a model whose outputs start from one vector. Received: a model "
            "with head='separate'. Train it as `ReptileModel(network, head='shared')`, or adapt "
            "with head='replace'."
        )
    if not model._is_classifier:
        raise ValueError(
            f"`head={head!r}` counts classes, and needs integer labels. "
            "Received: a model whose loss takes other targets. Use head='keep'."
        )
    check_labels(labels.numpy(), 0, places_of(model.network))
    classes = int(tf.reduce_max(labels)) + 1
    other = with_new_head(model, classes, seed, head == "shared")
    return other, model._made_once((head, classes), lambda: other)


def with_head(model: Any, ways: int, seed: int) -> Any:
    """See `ReptileModel.with_head`."""
    ways = check_positive("ways", ways, INT32)
    seed = check_seed("seed", seed, 0, INT32)
    check_built(model.network)
    arguments = _arguments_of_compile(model) if model.compiled else None
    with model.distribute_strategy.scope():
        other = _of_other_classes(model, ways, seed, repeat=model.head == "shared")
    if arguments:
        other.compile(**arguments)
        # Count the meta-iterations of the earlier optimizer, too.
        other._iterations_before_compile.assign(model.meta_iteration)
        if model.optimizer.built:
            other.optimizer.build(other.trainable_variables)
    return other


def _arguments_of_compile(model: Any) -> dict[str, Any]:
    """Returns the arguments with which a model was compiled, for another model."""
    given = model._compile_arguments
    # Optimizers and metrics have variables, which two models cannot share.
    metrics = given["metrics"] and [_without_state(m) for m in given["metrics"]]
    return {**given, "optimizer": _without_state(given["optimizer"]), "metrics": metrics}


def _without_state(given: Any) -> Any:
    """Returns a new optimizer or metric with the same config. Names and functions are returned."""
    if not isinstance(given, keras.optimizers.Optimizer | keras.metrics.Metric):
        return given
    try:
        return type(given).from_config(given.get_config())
    except (TypeError, ValueError, NotImplementedError) as error:
        kind = "metric" if isinstance(given, keras.metrics.Metric) else "optimizer"
        raise ValueError(
            "`with_head` makes the optimizer and the metrics again from their configuration. "
            f"Received: the {kind} {given.name!r}, with which Keras fails ({error}). Have "
            "`get_config` return the arguments of `__init__`, register its function with "
            "`@keras.saving.register_keras_serializable()`, or compile the model without it first."
        ) from None


def _of_other_classes(model: Any, classes: int, seed: int, repeat: bool) -> Any:
    network = replace_head(model.network, classes, seed)
    config = {
        **model.get_config(),
        "network": keras.saving.serialize_keras_object(network),
        "head": "shared" if repeat else "separate",
    }
    other = type(model).from_config(config)
    _copy_state(other, model, network, repeat)
    return other


def copy_state(other: Any, model: Any) -> None:
    """Gives a model that `with_head` returned the state that the first has now.

    The state is the weights, seeds, inner state and meta-iteration. Layers that draw random numbers
    in a task draw them by the meta-iteration.

    Args:
        other: A compiled `ReptileModel` with a shared head and other ways, which was not trained.
        model: The `ReptileModel` that it was made of.
    """
    # A copy draws seeds for its initializers. They must not change the seeds of later layers.
    state = random.getstate()
    try:
        network = replace_head(model.network, other.network.output_shape[-1], seed=0)
    finally:
        random.setstate(state)
    _copy_state(other, model, network, repeat=True)
    other._iterations_before_compile.assign(model.meta_iteration)


def _copy_state(other: Any, model: Any, network: keras.Model, repeat: bool) -> None:
    """Copies the weights of a network with a new head, and the inner state of the model."""
    other.network.set_weights(network.get_weights())
    set_seeds(other.network, seeds_of(network))
    for variable, carried in zip(other.inner_variables, model.inner_variables, strict=True):
        if variable.shape == carried.shape:
            variable.assign(carried)
    if repeat:
        shared_head.repeat_output(_of_head(other), _of_head(model))
    else:
        # With the same number of classes, the old head's slots were copied above. Reset them.
        for variable in _slots_of_head(other):
            variable.assign(keras.ops.zeros_like(variable))


def _of_head(model) -> list:
    """Returns the weights of the head, and their slots in the carried inner state."""
    head = shared_head.head_of(model.network)
    return [*head.trainable_variables, *_slots_of_head(model)]


def _slots_of_head(model) -> list:
    return model._carried.slots_of(shared_head.positions(model.network))


def with_new_head(model: Any, classes: int, seed: int, repeat: bool) -> Any:
    """Returns a `ReptileModel` with a new head. The body and its carried inner state are kept.

    The inner state of a random head starts from zero. That of a repeated output is repeated, too.

    Args:
        model: A compiled `ReptileModel`.
        classes: Integer, the new number of classes.
        seed: Integer, decides a random head's kernel.
        repeat: Boolean, whether the new outputs repeat those of a shared head, or are random.

    Raises:
        ValueError: As `replace_head`.
    """
    other = _of_other_classes(model, classes, seed, repeat)
    other.compile("sgd", loss=model.task_loss)
    return other
