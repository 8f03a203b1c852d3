"""The one output of a network, of which tasks have a loss."""

from typing import Any

import keras
import tensorflow as tf

from keras_reptile.episodes.episode_format import symbolic_support


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


def check_output_of(network: keras.Model, episodes: dict) -> None:
    """The same before the loop over tasks: an error there leaves TensorFlow's strategies unusable.

    Symbolic outputs carry no masks, so that a network that makes some is traced.
    """
    x = symbolic_support(episodes)
    check_output(network.compute_output_spec(x))
    if any(_makes_masks(layer) for layer in network._flatten_layers(include_self=False)):
        specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), x)
        traced = tf.function(lambda x: check_output(network(x)), autograph=False)
        traced.get_concrete_function(specs)


def _makes_masks(layer) -> bool:
    return isinstance(layer, keras.layers.Masking) or getattr(layer, "mask_zero", False)
