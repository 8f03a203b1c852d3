"""Checks of a network: whether the tasks can have a loss of it, and a method its derivatives."""

from typing import Any

import keras

from keras_reptile.keras_internals import all_layers

# TensorFlow's moments, by which they normalize, have a wrong second derivative.
DERIVED_ONCE = (keras.layers.LayerNormalization, keras.layers.GroupNormalization)


def check_output(outputs: Any) -> None:
    """Raises `ValueError` for outputs, symbolic or not, that tasks have no loss of."""
    if not hasattr(outputs, "shape"):
        raise ValueError(
            "`network` must have one output. Received: a network whose `call` returns a "
            f"{type(outputs).__name__}. Return the one tensor itself."
        )
    if getattr(outputs, "_keras_mask", None) is not None:
        raise ValueError(
            "A task's loss and accuracy count every example and every place in it. Received a "
            "network whose output carries a mask. End it in a layer that passes on none, such as "
            "GlobalAveragePooling1D, or leave out mask_zero=True."
        )


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
    layers = all_layers(network)
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


def symbolic_inputs(network: keras.Model) -> Any:
    """The structure of inputs that a functional or sequential network is called with."""
    return network.inputs[0] if isinstance(network, keras.Sequential) else network.input


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
