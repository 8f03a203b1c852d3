"""Recognizes networks whose outputs for an example do not depend on the rest of the batch.

This is known of certain Keras layers with Keras activations, in sequential and functional models.
In all other networks, for instance with custom layers or operations on symbolic tensors, examples
may depend on each other.
"""

from typing import Any

import keras

NAMES = (
    "InputLayer",
    "Dense",
    "Embedding",
    "Flatten",
    "Reshape",
    "Permute",
    "RepeatVector",
    "Activation",
    "ReLU",
    "LeakyReLU",
    "ELU",
    "PReLU",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "AlphaDropout",
    "Add",
    "Subtract",
    "Multiply",
    "Average",
    "Maximum",
    "Minimum",
)
# Layers for one, two and three spatial axes. Some do not exist for all three.
SPATIAL_NAMES = (
    "Conv{}D",
    "Conv{}DTranspose",
    "DepthwiseConv{}D",
    "SeparableConv{}D",
    "MaxPooling{}D",
    "AveragePooling{}D",
    "GlobalMaxPooling{}D",
    "GlobalAveragePooling{}D",
    "ZeroPadding{}D",
    "Cropping{}D",
    "UpSampling{}D",
    "SpatialDropout{}D",
)
BY_EXAMPLE = {
    getattr(keras.layers, name)
    for name in (*NAMES, *(name.format(axes) for name in SPATIAL_NAMES for axes in (1, 2, 3)))
    if hasattr(keras.layers, name)
}


def computes_examples_separately(network: Any) -> bool:
    """Returns whether predictions are known not to depend on other examples in the batch.

    Args:
        network: A `keras.Model`.

    Example:

    >>> layers = [keras.Input((4,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)]
    >>> computes_examples_separately(keras.Sequential(layers))
    True
    >>> computes_examples_separately(keras.Sequential([*layers, keras.layers.BatchNormalization()]))
    False
    """
    # Frozen batch normalization is in inference mode.
    return all(
        is_by_example(operation) or (is_batch_normalization(operation) and not operation.trainable)
        for operation in operations(network)
    )


def operations(network: Any) -> list:
    """Returns the layers and operations of a network, at any depth.

    A subclassed network counts as one operation, because its `call` is not known.
    """
    if not is_keras_own(type(network)):
        return [network]
    parts = getattr(network, "operations", None) or network.layers
    nested = [operations(p) if isinstance(p, keras.Model) else [p] for p in parts]
    return [operation for part in nested for operation in part]


def is_by_example(operation: Any) -> bool:
    """Returns whether it is one of `BY_EXAMPLE`, with an activation of Keras."""
    return type(operation) in BY_EXAMPLE and is_keras_own(getattr(operation, "activation", None))


def is_batch_normalization(operation: Any) -> bool:
    return type(operation) is keras.layers.BatchNormalization


def is_keras_own(function: Any) -> bool:
    """Returns whether a function or class belongs to Keras, or is `None`."""
    module = getattr(function, "__module__", "")
    return function is None or module.partition(".")[0] == "keras"
