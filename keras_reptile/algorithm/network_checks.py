"""Checks of a network: its outputs, and layers that a method cannot differentiate."""

from typing import Any

import keras

from keras_reptile.keras_internals import all_layers, call_that_made, has_mask

# They normalize by TensorFlow's moments, whose second derivative is wrong.
DIFFERENTIABLE_ONCE = (keras.layers.LayerNormalization, keras.layers.GroupNormalization)


def check_output(outputs: Any) -> None:
    """Raises `ValueError` for outputs, symbolic or not, that are not one tensor without a mask."""
    if not hasattr(outputs, "shape"):
        raise ValueError(
            "`network` must have one output. Received: a network whose `call` returns a "
            f"{type(outputs).__name__}. Return the one tensor itself."
        )
    if has_mask(outputs):
        raise ValueError(
            "A task's loss and accuracy count every example and every place in it. Received: a "
            "network whose output has a mask. End it in a layer that passes no mask on, such as "
            "GlobalAveragePooling1D, or leave out mask_zero=True."
        )


def check_trainable(network: keras.Model) -> None:
    """Raises `ValueError` for a network without trainable weights, or with those of float8.

    The gradient of such a variable is its next value, which no optimizer may scale.
    """
    if not network.trainable_variables:
        raise ValueError(
            "The inner loop trains a network's weights. Received: a network without trainable "
            "weights. Set `trainable = True` on it or on some of its layers."
        )
    replaced = [v.path for v in network.trainable_variables if v.overwrite_with_gradient]
    if replaced:
        raise ValueError(
            "Both loops move weights by their gradients. Received: a network with variables whose "
            f"gradients are their next values, as layers in float8 have them: {replaced}. Train "
            "without `quantize('float8')`, and quantize what `adapt` returns."
        )


def check_network(method: str, network: keras.Model) -> None:
    """Raises `ValueError` if `network` is not a keras.Model, or has layers that cannot be used.

    With MAML these include layers whose second derivative is wrong. Custom layers are not
    inspected: avoid `tf.nn.moments` and `keras.ops.moments` in them.
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
    wrong = [layer.name for layer in layers if isinstance(layer, DIFFERENTIABLE_ONCE)]
    if method == "maml" and wrong:
        raise ValueError(
            "method='maml' differentiates the network twice, and LayerNormalization and "
            "GroupNormalization have a wrong second derivative in TensorFlow. "
            f"Received: a network with the layers {wrong}. Use BatchNormalization or "
            "RMSNormalization, or method='fomaml'."
        )


def ends(network: keras.Model, name: str) -> list:
    """Returns the inputs or outputs of a functional or sequential network, else an empty list."""
    found = getattr(network, name, None)
    return found if isinstance(found, list) else []


def symbolic_inputs(network: keras.Model) -> Any:
    """Returns the structure of a functional or sequential network's inputs."""
    return network.inputs[0] if isinstance(network, keras.Sequential) else network.input


def last_operation(network: keras.Model) -> Any:
    """Returns the layer or operation that makes the output of a network; `None` if not known.

    It is known for functional and sequential networks. `network.layers` has no operations, such as
    the product in `dense(x) * scale`.
    """
    if outputs := ends(network, "outputs"):
        return call_that_made(outputs[0])[0]
    return network.layers[-1] if isinstance(network, keras.Sequential) and network.layers else None


def end_in_words(network: keras.Model) -> str:
    """Returns the kind of a network, and of the layer or operation that makes its output."""
    last = last_operation(network) or next(reversed(network.layers), None)
    name = f"a {type(last).__name__}" if last is not None else "not there"
    return f"{type(network).__name__}, whose last layer is {name}"


def _check_layers(layers) -> None:
    renormalizing = [layer.name for layer in layers if getattr(layer, "renorm", False)]
    if renormalizing:
        raise ValueError(
            "Batch renormalization uses moving averages, which tasks do not have. "
            f"Received: a network with the layers {renormalizing}. Use renorm=False."
        )
    fixed = [n.name for n in layers if _is_normalization(n) and n.momentum == 1]
    if fixed:
        raise ValueError(
            "A learner keeps its support set's statistics in the moving averages, which "
            f"momentum=1.0 fixes. Received: a network with the layers {fixed}. Use a "
            "smaller momentum."
        )


def _is_normalization(layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def check_built(network: keras.Model) -> None:
    """Raises `ValueError` for a network without weights, which cannot be copied or changed."""
    if not network.built:
        raise ValueError(
            "A learner or a new head needs a network that is built. Received: a network without "
            "weights. Train it with `fit`, or begin it with `keras.Input(shape)`."
        )
