"""Whether a network treats each example of a batch by itself.

Only what is known to do so counts: Keras's own layers of certain kinds, their activations among
Keras's own, joined as Keras's own sequential and functional models. Of all else, such as custom
layers and operations on symbolic tensors, it is taken that examples may depend on each other.
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
# Of one, two and three spatial axes; not all of them have all three.
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


def treats_examples_apart(network: Any) -> bool:
    """Whether the prediction of an example is known not to depend on others in its batch.

    Args:
        network: A `keras.Model`.

    Example:

    >>> layers = [keras.Input((4,)), keras.layers.Dense(2), keras.layers.Dropout(0.5)]
    >>> treats_examples_apart(keras.Sequential(layers))
    True
    >>> treats_examples_apart(keras.Sequential([*layers, keras.layers.BatchNormalization()]))
    False
    """
    # Frozen batch normalization is in inference mode.
    return all(
        is_by_example(operation) or (is_batch_normalization(operation) and not operation.trainable)
        for operation in operations(network)
    )


def operations(network: Any) -> list:
    """The parts of a sequential or functional network, at any depth; of any other, itself."""
    if not _is_keras_own(type(network)):
        return [network]
    parts = getattr(network, "operations", None) or network.layers
    nested = [operations(p) if isinstance(p, keras.Model) else [p] for p in parts]
    return [operation for part in nested for operation in part]


def is_by_example(operation: Any) -> bool:
    """Whether it is one of `BY_EXAMPLE`, with an activation of Keras's own."""
    return type(operation) in BY_EXAMPLE and _is_keras_own(getattr(operation, "activation", None))


def is_batch_normalization(operation: Any) -> bool:
    return type(operation) is keras.layers.BatchNormalization


def _is_keras_own(function: Any) -> bool:
    """Whether a function or a class is Keras's own, or there is none."""
    module = getattr(function, "__module__", "")
    return function is None or module.partition(".")[0] == "keras"
