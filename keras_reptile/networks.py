"""The networks of the paper, and the registration of custom ones."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras

from keras_reptile.checks import (
    INT32,
    INT64,
    check_new_name,
    check_positive,
    check_seed,
    check_takes,
)

SEEDS = INT64 // 1000 - 1
# Images are (height, width, channels), even if the user's keras.json has another default.
SAME: dict[str, Any] = {"padding": "same", "data_format": "channels_last"}


def omniglot_convnet(
    ways: int,
    image_shape: Sequence[int] = (28, 28, 1),
    filters: int = 64,
    seed: int | None = None,
) -> keras.Model:
    """Returns the paper's Omniglot network: four strided convolutions and a linear layer.

    4 x [3x3 convolution, stride 2, same padding -> batch normalization -> ReLU] -> logits.

    Args:
        ways: Integer, classes in a task, the number of logits.
        image_shape: Sequence of three integers, `(height, width, channels)`.
            Defaults to `(28, 28, 1)`.
        filters: Integer, channels of every convolution. Defaults to `64`.
        seed: Integer, the seed of the initial weights. Defaults to `None`: they are different each
            time.

    Input shape: `(batch, height, width, channels)`, float in [0, 1].
    Output shape: `(batch, ways)`, float, logits.

    Raises:
        ValueError: If a number is out of range, or `image_shape` is not three of them.

    Example:

    >>> sum(w.size for w in map(keras.ops.convert_to_numpy, omniglot_convnet(5).trainable_weights))
    113221

    Reference: [Nichol, Achiam, Schulman, 2018](https://arxiv.org/abs/1803.02999), appendix A.
    """
    return _convnet("omniglot_convnet", ways, image_shape, filters, seed, pooling=False)


def mini_imagenet_convnet(
    ways: int,
    image_shape: Sequence[int] = (84, 84, 3),
    filters: int = 32,
    seed: int | None = None,
) -> keras.Model:
    """Returns the paper's miniImageNet network: four convolutions with max-pooling, then linear.

    4 x [3x3 convolution, same padding -> batch normalization -> 2x2 max-pooling -> ReLU] -> logits.

    Args:
        ways: Integer, classes in a task, the number of logits.
        image_shape: Sequence of three integers, `(height, width, channels)`.
            Defaults to `(84, 84, 3)`.
        filters: Integer, channels of every convolution. Defaults to `32`.
        seed: Integer, the seed of the initial weights. Defaults to `None`: they are different each
            time.

    Input shape: `(batch, height, width, channels)`, float in [0, 1].
    Output shape: `(batch, ways)`, float, logits.

    Raises:
        ValueError: If a number is out of range, or `image_shape` is not three of them.

    Example:

    >>> network = mini_imagenet_convnet(5)
    >>> sum(w.size for w in map(keras.ops.convert_to_numpy, network.trainable_weights))
    34661

    Reference: [Nichol, Achiam, Schulman, 2018](https://arxiv.org/abs/1803.02999), appendix A.
    """
    return _convnet("mini_imagenet_convnet", ways, image_shape, filters, seed, pooling=True)


def _convnet(name, ways, image_shape, filters, seed, pooling: bool) -> keras.Model:
    """Returns four blocks that halve the image, by pooling or by strides, and a linear layer."""
    ways, filters = check_positive("ways", ways, INT32), check_positive("filters", filters, INT32)
    kernels = glorot_uniform(_checked_seed(seed))
    strides = 1 if pooling else 2
    layers = [keras.Input(_checked_shape(image_shape))]
    for _ in range(4):
        layers += [
            keras.layers.Conv2D(filters, 3, strides, **SAME, kernel_initializer=next(kernels)),
            keras.layers.BatchNormalization(epsilon=1e-3),
            *([keras.layers.MaxPooling2D(2, **SAME)] if pooling else []),
            keras.layers.ReLU(),
        ]
    layers += [
        keras.layers.Flatten(data_format="channels_last"),
        keras.layers.Dense(ways, kernel_initializer=next(kernels)),
    ]
    return keras.Sequential(layers, name=name)


def sine_mlp(
    hidden: Sequence[int] = (64, 64), activation: str = "relu", seed: int | None = None
) -> keras.Model:
    """Returns the network of the paper's sine regression, 1-64-64-1.

    Args:
        hidden: Sequence of integers, units of the hidden layers. Defaults to `(64, 64)`.
        activation: Keras activation. Defaults to `"relu"`, as in the paper. With the initial
            weights of this function, it has smaller errors than `"tanh"`, the activation of the
            authors' published program (docs/experiments/sinusoid.md).
        seed: Integer, the seed of the initial weights. Defaults to `None`: they are different each
            time.

    Input shape: `(batch, 1)`, float.
    Output shape: `(batch, 1)`, float.

    Raises:
        ValueError: If a number is out of range, or Keras has no such activation.

    Example:

    >>> sine_mlp().count_params()
    4353
    """
    kernels = glorot_uniform(_checked_seed(seed))
    layers = [keras.Input((1,))]
    for units in _checked_hidden(hidden):
        layers.append(
            keras.layers.Dense(units, activation=activation, kernel_initializer=next(kernels))
        )
    layers.append(keras.layers.Dense(1, kernel_initializer=next(kernels)))
    return keras.Sequential(layers, name="sine_mlp")


BUILT_IN = (
    "mini_imagenet_convnet",
    "omniglot_convnet",
    "sine_mlp",
    "sine_mlp_relu",
    "sine_mlp_tanh",
)
# The functions that build registered networks, by name.
REGISTERED: dict[str, Callable[..., keras.Model]] = {}


def register_network(name: str, build: Callable[..., keras.Model]) -> None:
    """Registers a custom network under a name for a recipe's `network`.

    `ReptileModel` needs no registration: it takes any network.

    Args:
        name: String. If the name is already registered, the new network replaces the old one.
        build: Function `(ways, image_shape, seed)` that returns a `keras.Model` with `ways`
            outputs. The seed determines its initial weights.

    Raises:
        ValueError: If the name is one of the package's own, or `build` is not such a function.

    Example:

    >>> def linear(ways, image_shape, seed):
    ...     kernel = keras.initializers.GlorotUniform(seed)
    ...     head = keras.layers.Dense(ways, kernel_initializer=kernel)
    ...     return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), head])
    >>> register_network("linear", linear)
    """
    check_new_name("network", name, BUILT_IN)
    check_takes("network", build, ("ways", "image_shape", "seed"))
    REGISTERED[name] = build


def glorot_uniform(seed: int | None) -> Iterator[keras.initializers.Initializer]:
    """Yields an initializer for each layer. With one seed for all, layers would be correlated."""
    for layer in itertools.count():
        yield keras.initializers.GlorotUniform(None if seed is None else seed * 1000 + layer)


def _checked_shape(image_shape: Any) -> tuple[int, ...]:
    sizes = image_shape if isinstance(image_shape, Sequence) else ()
    if len(sizes) != 3 or isinstance(image_shape, str):
        raise ValueError(
            "`image_shape` must be three integers, (height, width, channels). "
            f"Received: image_shape={image_shape!r}."
        )
    names = ("height", "width", "channels")
    named = zip(names, sizes, strict=True)
    return tuple(check_positive(f"image_shape's {name}", size, INT32) for name, size in named)


def _checked_hidden(hidden: Any) -> list[int]:
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        raise ValueError(
            "`hidden` must be a sequence of integers, one for each hidden layer. "
            f"Received: hidden={hidden!r}."
        )
    return [check_positive("hidden", units, INT32) for units in hidden]


def _checked_seed(seed: Any) -> int | None:
    # The seed of layer i is seed * 1000 + i. It must fit in 64 bits.
    return None if seed is None else check_seed("seed", seed, -SEEDS, SEEDS)
