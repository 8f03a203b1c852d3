"""Copies of a network, with the same layers or with a new last layer."""

import random
import warnings
from typing import Any

import keras

from keras_reptile.algorithm.network_checks import (
    end_in_words,
    ends,
    last_operation,
    symbolic_inputs,
)
from keras_reptile.algorithm.network_function import seeds_of, set_seeds
from keras_reptile.keras_internals import all_layers, call_that_made


def replace_head(network: keras.Model, classes: int, seed: int) -> keras.Model:
    """Returns a copy of the network with a new last layer, a `Dense` of `classes` units.

    The copy of a `keras.Sequential` is one, too. That of any other network is functional.

    Args:
        network: A functional or sequential `keras.Model` that ends in a `Dense` layer.
        classes: Integer, units of the new layer.
        seed: Integer, decides its kernel (Glorot-uniform); its bias is zero.

    Raises:
        ValueError: If the network is not functional or sequential, or does not end in a `Dense`
            layer that is trainable.
    """
    last = last_operation(network)
    if not ends(network, "inputs") or not isinstance(last, keras.layers.Dense):
        raise ValueError(
            "A new head needs a functional or sequential network that ends in a `Dense` layer. "
            f"Received: {end_in_words(network)}. Build such a network, or keep the head."
        )
    if len(last.trainable_variables) < len(last.weights):
        raise ValueError(
            "A new head has to be trained. Received: a network whose last layer is frozen, or a "
            "part of it, as with LoRA. Set its `trainable = True` in a new model, or keep the head."
        )
    body = copy_of(network)
    initializer = keras.initializers.GlorotUniform(seed)
    config = {**last.get_config(), "units": classes, "kernel_initializer": initializer}
    head = keras.layers.Dense.from_config({**config, "bias_initializer": "zeros"})
    if type(network) is keras.Sequential:
        layers = [symbolic_inputs(body), *body.layers[:-1], head]
        return keras.Sequential(layers, name=network.name)
    (features,) = call_that_made(body.outputs[0])[1].input_tensors
    return keras.Model(symbolic_inputs(body), head(features), name=network.name)


NO_COPY = (
    "`adapt`, exports and loading of saved models make the network again from its configuration. "
    "Received: a network for which Keras cannot do that: {} ({}). Use a layer class in place of a "
    "Lambda layer, register custom classes and functions with "
    "`@keras.saving.register_keras_serializable()`, and have `get_config` return the arguments of "
    "`__init__`."
)


def copy_of(network: keras.Model) -> keras.Model:
    """Returns a copy of the network, not compiled, with new variables of the same values.

    The same layers are frozen.

    Raises:
        ValueError: If Keras cannot make the network from its configuration.
    """
    try:
        copy = _made_again(network)
        _check_weights(copy, network)
    except Exception as error:
        raise ValueError(_why_not(network, error)) from error
    copy.set_weights(network.get_weights())
    set_seeds(copy, seeds_of(network))
    # The configuration of a subclassed network does not say which layers are frozen.
    for layer, copied in zip(all_layers(network), all_layers(copy), strict=True):
        if copied.trainable != layer.trainable:
            copied.trainable = layer.trainable
    return copy


def warn_of_no_copy(network: keras.Model) -> None:
    """Warns if `copy_of` cannot copy the network, although it can be trained."""
    # A copy draws seeds for its initializers. They must not change the seeds of later layers.
    state = random.getstate()
    try:
        if _is_keras_own(keras.saving.serialize_keras_object(network)):
            return
        _check_weights(_made_again(network), network)
    except Exception as error:
        warnings.warn(_why_not(network, error), stacklevel=6)
    finally:
        random.setstate(state)


def _made_again(network: Any) -> Any:
    config = keras.saving.serialize_keras_object(network)
    config.pop("compile_config", None)
    return keras.saving.deserialize_keras_object(config)


def _check_weights(copy: keras.Model, network: keras.Model) -> None:
    """Raises `ValueError` for a copy that cannot take the network's weights.

    Keras makes two layers of one that is called both in a nested model and outside of it.
    """
    shapes = [[tuple(w.shape) for w in each.weights] for each in (copy, network)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            "its copy has weights of another number or shape, as if layers of a nested model are "
            "also called outside of it"
        )


def _is_keras_own(config: Any) -> bool:
    """Returns whether a configuration names only classes of Keras, which can make them again."""
    if isinstance(config, list | tuple):
        return all(map(_is_keras_own, config))
    if not isinstance(config, dict):
        return True
    module = config.get("module", "keras") or ""
    own = module.startswith("keras") and config.get("class_name") not in ("Lambda", "__lambda__")
    return own and all(map(_is_keras_own, config.values()))


def _why_not(network, error: Exception) -> str:
    """Returns the error in words, with the name of the layer that causes it."""
    faulty = next((layer for layer in all_layers(network) if _error_of(layer)), network)
    error = _error_of(faulty) or error
    reason = str(error).strip().partition("\n")[0].partition(". ")[0]
    return NO_COPY.format(f"{type(faulty).__name__} {faulty.name!r}", reason)


def _error_of(layer) -> Exception | None:
    try:
        _made_again(layer)
    except Exception as error:
        return error
    return None
