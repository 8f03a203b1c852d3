"""Copies of a network: the same again, or with a new last layer."""

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
