"""A new head on a meta-learned body: another number of classes than it was trained with."""

from typing import Any

import keras


def replace_head(network: keras.Model, classes: int, seed: int) -> keras.Model:
    """A copy of the network whose last layer, a `Dense`, is new and has `classes` units.

    Args:
        network: A functional or sequential `keras.Model` that ends in a `Dense` layer.
        classes: Integer, units of the new layer.
        seed: Integer, decides its kernel (Glorot-uniform); its bias is zero.

    Raises:
        ValueError: If the network does not end in a `Dense` layer, or cannot be taken apart.
    """
    last = network.layers[-1] if network.layers else None
    if not getattr(network, "inputs", None) or not isinstance(last, keras.layers.Dense):
        raise ValueError(
            "`head='replace'` needs a functional or sequential network that ends in a `Dense` "
            f"layer. Received: {type(network).__name__}, whose last layer is a "
            f"{type(last).__name__}. Build such a network, or keep the head."
        )
    body = copy_of(network)
    initializer = keras.initializers.GlorotUniform(seed)
    config = {**last.get_config(), "units": classes, "kernel_initializer": initializer}
    head = keras.layers.Dense.from_config({**config, "bias_initializer": "zeros"})
    return keras.Model(body.inputs, head(body.layers[-1].input), name=network.name)


def copy_of(network: keras.Model) -> keras.Model:
    """The same network, not compiled, with variables of its own and the same values in them."""
    config = keras.saving.serialize_keras_object(network)
    config.pop("compile_config", None)
    copy = keras.saving.deserialize_keras_object(config)
    copy.set_weights(network.get_weights())
    return copy


def with_new_head(model: Any, classes: int, seed: int) -> Any:
    """A `ReptileModel` with a new head; body and its carried inner state are the model's.

    The inner state of the new head's weights starts from zero.

    Args:
        model: A compiled `ReptileModel`.
        classes: Integer, the new number of classes.
        seed: Integer, decides the new head's kernel.

    Raises:
        ValueError: As `replace_head`.
    """
    network = replace_head(model.network, classes, seed)
    other = type(model).from_config(
        {**model.get_config(), "network": keras.saving.serialize_keras_object(network)}
    )
    other.network.set_weights(network.get_weights())
    other.compile("sgd", loss=model.task_loss)
    for variable, carried in zip(other.inner_variables, model.inner_variables, strict=True):
        if variable.shape == carried.shape:
            variable.assign(carried)
    _zero_the_heads_state(other)
    return other


def _zero_the_heads_state(model) -> None:
    # A head with as many classes as before has slots of the same shapes: they are not its own.
    number = len(model.network.trainable_variables)
    head = len(model.network.layers[-1].trainable_variables)
    slots = model.inner_variables[1:]
    for first in range(0, len(slots), number):
        for variable in slots[first + number - head : first + number]:
            variable.assign(keras.ops.zeros_like(variable))
