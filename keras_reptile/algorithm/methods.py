"""The methods by name: what each runs on a task, and what it makes of the tasks."""

from collections.abc import Callable
from typing import NamedTuple

import keras

from keras_reptile.algorithm.adaptation import (
    Adaptation,
    adapt,
    adapt_and_differentiate,
    adapt_keeping_last,
)
from keras_reptile.algorithm.meta_update import fomaml_gradient, maml_gradient, reptile_gradient


class Method(NamedTuple):
    """A meta-learning method.

    adapt: Function of one task's inner loop to its `Adaptation`; see `adaptation.adapt`.
    keeps: Tuple of the optional fields that this `Adaptation` has, each shaped like the weights.
    gradient: Function of theta and of the tasks' `Adaptation`, tasks along the first axis, to the
        gradient that the outer optimizer is given: the mean of what it is for each task alone.
    """

    adapt: Callable
    keeps: tuple
    gradient: Callable


def _reptile(theta: list, tasks: Adaptation) -> list:
    return reptile_gradient(theta, tasks.weights)


def _fomaml(theta: list, tasks: Adaptation) -> list:
    return fomaml_gradient(tasks.before_last, tasks.weights)


def _maml(theta: list, tasks: Adaptation) -> list:
    return maml_gradient(tasks.gradient)


METHODS = {
    "reptile": Method(adapt, (), _reptile),
    "fomaml": Method(adapt_keeping_last, ("before_last",), _fomaml),
    "maml": Method(adapt_and_differentiate, ("gradient",), _maml),
}

# TensorFlow's moments, by which they normalize, have a wrong second derivative.
DERIVED_ONCE = (keras.layers.LayerNormalization, keras.layers.GroupNormalization)


def check_network(method: str, network: keras.Model) -> None:
    """Raises `ValueError` for what is no network, or has layers that a method cannot derive twice.

    Custom layers are not looked into: `tf.nn.moments` and `keras.ops.moments` are to be avoided.
    """
    if not isinstance(network, keras.Model):
        raise ValueError(
            f"`network` must be a keras.Model. Received: {type(network).__name__}. Wrap layers in "
            "`keras.Sequential`."
        )
    if len(ends(network, "outputs")) > 1:
        raise ValueError(
            "`network` must have one output. Received: a network with "
            f"{len(network.outputs)} outputs. Join them, as with `keras.layers.Concatenate`."
        )
    if isinstance(getattr(network, "output", None), dict):
        raise ValueError(
            "`network` must have one output. Received: a network whose outputs have names, "
            f"{sorted(network.output)}. Build it with the one tensor itself."
        )
    layers = list(network._flatten_layers(include_self=False))
    _check_layers(layers)
    wrong = [layer.name for layer in layers if isinstance(layer, DERIVED_ONCE)]
    if method == "maml" and wrong:
        raise ValueError(
            "method='maml' derives the network twice, and LayerNormalization and "
            "GroupNormalization have a wrong second derivative in TensorFlow. "
            f"Received a network with the layers {wrong}. Use BatchNormalization or "
            "RMSNormalization, or method='fomaml'."
        )


def ends(network: keras.Model, name: str) -> list:
    """A functional or sequential network's inputs or outputs by their name; of others nothing."""
    found = getattr(network, name, None)
    return found if isinstance(found, list) else []


def _check_layers(layers) -> None:
    renormalizing = [layer.name for layer in layers if getattr(layer, "renorm", False)]
    if renormalizing:
        raise ValueError(
            "Batch renormalization goes by moving averages, which the tasks do not keep. "
            f"Received a network with the layers {renormalizing}. Use renorm=False."
        )
    fixed = [n.name for n in layers if _is_normalization(n) and n.momentum == 1]
    if fixed:
        raise ValueError(
            "A learner keeps its support set's statistics in the moving averages, which "
            f"momentum=1.0 fixes. Received a network with the layers {fixed}. Use less."
        )


def _is_normalization(layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)
