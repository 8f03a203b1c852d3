"""`ReptileModel.adapt`: a fine-tuned network from an initialization and a support set."""

import functools
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_reptile.algorithm import shared_head
from keras_reptile.algorithm.assignments import check_assignments
from keras_reptile.algorithm.inner_loop import InnerLoop
from keras_reptile.algorithm.inner_optimizers import InnerState, TaskSchedule
from keras_reptile.algorithm.moved_layers import freeze_others
from keras_reptile.algorithm.network_checks import ends
from keras_reptile.algorithm.network_copy import copy_of, replace_head
from keras_reptile.algorithm.partial_adaptation import part
from keras_reptile.algorithm.prediction import all_finite
from keras_reptile.checks import INT32, check_integer, check_positive, check_seed
from keras_reptile.episodes.label_checks import known_outputs
from keras_reptile.episodes.sampling import support_order
from keras_reptile.fine_tuned import taking_bytes
from keras_reptile.keras_internals import moments_of
from keras_reptile.metrics.query_metrics import get_metrics


def adapt(model, support_x, support_y, steps, inner_batch_size, seed, head="keep") -> keras.Model:
    """See `ReptileModel.adapt`."""
    check_integer("steps", steps, 0)
    check_seed("seed", seed, 0, INT32)
    check_compiled(model)
    support_x, support_y = _as_tensors(model.network, support_x, support_y)
    number = _check_support(support_x, support_y)
    _check_images(model.network, support_x)
    _check_finite(support_x, support_y)
    model._input_ranges.watch_arrays(model.network, support_x)
    batch = min(number, 10) if inner_batch_size is None else inner_batch_size
    check_positive("inner_batch_size", batch)
    model, traced = _with_head(model, head, support_y, seed)
    _check_built(model.network)
    traced._made_once("assignments", lambda: check_assignments(model.network, support_x))
    if model._is_classifier:
        _check_labels(support_y.numpy(), known_outputs(model.network), _places(model.network))
    task = {
        "support": (support_x, support_y),
        "order": support_order(number, batch, steps, seed),
        "number": (tf.constant(seed), tf.constant(0)),
    }
    # Made first, as not every network can be copied.
    learner = copy_of(model.network)
    weights, others, state = _adaptation_function(traced)(task, *_start_of(model))
    if not all_finite(weights):
        raise ValueError(
            "The inner loop diverged: the adapted weights contain NaN or infinity. Received: "
            f"steps={steps}. Use fewer steps, a lower learning rate of the inner optimizer, or "
            "inputs in the range that the network was trained on."
        )
    return _learner(model, learner, steps, weights, others, state)


def _with_head(model, head, support_y, seed) -> tuple:
    """Returns the model to adapt, and a model of the same layers whose traces compute it.

    Each new head is a new model. To trace none of them again, all use the first one's traces.
    """
    if head not in ("keep", "replace", "shared"):
        raise ValueError(f"`head` must be 'keep', 'replace' or 'shared'. Received: head={head!r}.")
    if head == "keep":
        return model, model
    if head == "shared" and model.head != "shared":
        raise ValueError(
            "`head='shared'` needs a model whose outputs start from one vector. Received a model "
            "with head='separate'. Train it as `ReptileModel(network, head='shared')`, or adapt "
            "with head='replace'."
        )
    if not model._is_classifier:
        raise ValueError(f"`head={head!r}` counts classes, and needs integer labels.")
    _check_labels(support_y.numpy(), outputs=0)
    classes = int(tf.reduce_max(support_y)) + 1
    other = with_new_head(model, classes, seed, head == "shared")
    return other, model._made_once((head, classes), lambda: other)


def _adaptation_function(model):
    """Returns `adapted` with a model's inner loop, as a `tf.function`."""

    def make():
        loop = model._inner_loop.for_evaluation()
        return tf.function(functools.partial(adapted, loop), reduce_retracing=True)

    return model._made_once("adapt", make)


def _start_of(model) -> tuple:
    """Returns the weights, the other variables and the inner state that `adapted` starts from."""
    network = model.network
    theta, others = (
        [tf.convert_to_tensor(v) for v in variables]
        for variables in (network.trainable_variables, network.non_trainable_variables)
    )
    return theta, others, model._starting_state(theta)


def adapted(loop: InnerLoop, task: dict, theta: list, others: list, state: InnerState) -> tuple:
    """Returns adapted weights, the other variables by the support's statistics, the inner state."""
    loop = loop.with_forms(loop.f.forms, others)
    result = loop.adapt(task, theta, state)
    others = loop.f.support_statistics(result.weights, loop.as_taken(task["support"][0]))
    return result.weights, others, result.state


def _learner(model, learner, steps, weights, others, state):
    learner.trainable = model.network.trainable
    trainable, fixed = learner.trainable_variables, learner.non_trainable_variables
    for variable, value in zip((*trainable, *fixed), (*weights, *others), strict=True):
        variable.assign(value)
    if (moved := model._moved) is not None:
        unmoved = [v for i, v in enumerate(trainable) if i not in moved]
        freeze_others(learner, unmoved)
        state = state._replace(slots=tuple(part(slot, moved) for slot in state.slots))
    learner = taking_bytes(learner, model._byte_scale, model.trained_on_bytes)
    loss = model.task_loss
    learner.compile(
        optimizer=_optimizer(model, learner, steps, state),
        loss=loss,
        metrics=["accuracy"] if get_metrics(None, loss) else None,
    )
    return learner


def _optimizer(model, learner, steps, state):
    """Returns the inner optimizer as a Keras optimizer that continues from the inner state."""
    optimizer = keras.optimizers.deserialize(model.inner_optimizer_config)
    carried, schedule = int(state.step) - steps, model.inner_rule.learning_rate
    if callable(schedule) and carried:
        # Keras has one count for the moments, whose steps are carried, and for the schedule.
        optimizer.learning_rate = TaskSchedule(schedule, carried)
    optimizer.build(learner.trainable_variables)
    optimizer.iterations.assign(state.step)
    # With beta_1 = 0 Adam's first moment is not kept: the next gradient replaces it.
    moments = moments_of(optimizer)[-len(state.slots) :] if state.slots else ()
    for variables, values in zip(moments, state.slots, strict=True):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    return optimizer


def check_compiled(model) -> None:
    """Raises `ValueError` if a `ReptileModel` is not compiled."""
    if not model.compiled:
        raise ValueError(
            "The inner loop needs a loss. Received: a model that is not compiled. Call "
            "`model.compile(optimizer=...)` first."
        )


def _as_tensors(network, support_x, support_y) -> tuple:
    try:
        if _lists_images(network, support_x):
            support_x = np.asarray(support_x)
        images = tf.nest.map_structure(tf.convert_to_tensor, support_x)
        return images, tf.convert_to_tensor(support_y)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The support set must be arrays of images and of labels. Received: "
            f"{type(support_x).__name__} and {type(support_y).__name__}: {error}"
        ) from None


def _lists_images(network, support_x) -> bool:
    """Returns whether this is a list of single images, not of inputs."""
    inputs = ends(network, "inputs")
    some = isinstance(support_x, list) and support_x and len(inputs) == 1
    return bool(some) and np.ndim(support_x[0]) == len(inputs[0].shape) - 1


def _check_support(support_x, support_y) -> int:
    tensors = [*tf.nest.flatten(support_x), support_y]
    sizes = {int(t.shape[0]) if t.shape.rank else -1 for t in tensors}
    if len(sizes) != 1 or min(sizes) < 1:
        raise ValueError(
            "The support set needs at least one image, and one label for each. Received: "
            f"{[tuple(t.shape) for t in tf.nest.flatten(support_x)]} images and "
            f"{tuple(support_y.shape)} labels."
        )
    return sizes.pop()


def _check_built(network) -> None:
    if not network.built:
        raise ValueError(
            "A learner or a new head needs a network that is built. Received: a network without "
            "weights. Train it with `fit`, or begin it with `keras.Input(shape)`."
        )


def _check_images(network, images) -> None:
    shape: Any = getattr(network, "input_shape", None)
    one = isinstance(shape, tuple) and isinstance(images, tf.Tensor)
    if one and not any(images.shape[1:].is_compatible_with(s) for s in _fitting(shape[1:])):
        raise ValueError(
            f"The network takes inputs of shape (images, {', '.join(map(str, shape[1:]))}). "
            f"Received: {tuple(images.shape)}."
        )


def _check_finite(support_x, support_y) -> None:
    floats = [t for t in tf.nest.flatten((support_x, support_y)) if t.dtype.is_floating]
    if floats and not all_finite(floats):
        raise ValueError(
            "The support set must contain finite numbers. Received: NaN or infinity. Replace "
            "these values, or leave the examples out."
        )


def _fitting(shape: tuple) -> list[tuple]:
    """Returns the shapes of an example that Keras takes: a last axis of 1 may be left out."""
    return [shape, (*shape, 1), *([shape[:-1]] if shape[-1:] == (1,) else [])]


def _places(network) -> tuple:
    """Returns the axes of an image's outputs before the classes; each place has a label."""
    shape = getattr(network, "output_shape", None)
    return shape[1:-1] if isinstance(shape, tuple) else ()


def _check_labels(labels, outputs: int, places: tuple = ()) -> None:
    if not tf.TensorShape(labels.shape[1:]).is_compatible_with(places):
        place = "place in each " if places else ""
        raise ValueError(
            f"Labels must be one integer for each {place}image, "
            f"(images,{' ' if places else ''}{', '.join(map(str, places))}). "
            f"Received: labels of shape {labels.shape}."
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"Labels must be integers. Received: labels of dtype {labels.dtype}.")
    if labels.min() < 0 or (outputs and labels.max() >= outputs):
        last = (
            f" to {outputs - 1}, one for each of the network's outputs" if outputs else " or more"
        )
        raise ValueError(
            f"Labels must be in 0{last}. Received: labels from {labels.min()} to {labels.max()}."
        )


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


def with_head(model: Any, ways: int, seed: int) -> Any:
    """See `ReptileModel.with_head`."""
    check_positive("ways", ways, INT32)
    check_seed("seed", seed, 0, INT32)
    _check_built(model.network)
    with model.distribute_strategy.scope():
        other = _of_other_classes(model, ways, seed, repeat=model.head == "shared")
    if model.compiled:
        given = model._compile_arguments
        # Optimizers and metrics have variables, which two models cannot share.
        metrics = given["metrics"] and [_without_state(m) for m in given["metrics"]]
        optimizer = _without_state(given["optimizer"])
        other.compile(**{**given, "optimizer": optimizer, "metrics": metrics})
        # The weights have been trained for so long, if by another optimizer.
        other._iterations_before_compile.assign(model.meta_iteration)
        if model.optimizer.built:
            other.optimizer.build(other.trainable_variables)
    return other


def _without_state(given: Any) -> Any:
    """Returns a new optimizer or metric with the same config. Names and functions are returned."""
    has_variables = isinstance(given, keras.optimizers.Optimizer | keras.metrics.Metric)
    return type(given).from_config(given.get_config()) if has_variables else given


def _of_other_classes(model: Any, classes: int, seed: int, repeat: bool) -> Any:
    network = replace_head(model.network, classes, seed)
    config = {
        **model.get_config(),
        "network": keras.saving.serialize_keras_object(network),
        "head": "shared" if repeat else "separate",
    }
    other = type(model).from_config(config)
    other.network.set_weights(network.get_weights())
    for variable, carried in zip(other.inner_variables, model.inner_variables, strict=True):
        if variable.shape == carried.shape:
            variable.assign(carried)
    if repeat:
        shared_head.repeat_output(_of_head(other), _of_head(model))
    else:
        # A head with as many classes as before has slots of the same shapes: they are not its own.
        for variable in _slots_of_head(other):
            variable.assign(keras.ops.zeros_like(variable))
    return other


def _of_head(model) -> list:
    """Returns the weights of the head, and their slots in the carried inner state."""
    return [*model.network.layers[-1].trainable_variables, *_slots_of_head(model)]


def _slots_of_head(model) -> list:
    number = len(model.network.trainable_variables)
    head = len(model.network.layers[-1].trainable_variables)
    slots = model.inner_variables[1:]
    last_of_kind = range(number, len(slots) + 1, number)
    return [v for end in last_of_kind for v in slots[end - head : end]]
