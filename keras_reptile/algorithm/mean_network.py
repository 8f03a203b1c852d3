"""One network of several, each of which sees the images in another orientation."""

from collections.abc import Sequence

import keras

from keras_reptile.algorithm.network_checks import symbolic_inputs
from keras_reptile.algorithm.orientations import ORIENTATIONS, in_each_orientation


def mean_network(networks: Sequence[keras.Model]) -> keras.Model:
    """Returns a functional network, the mean of several networks over orientations.

        f(x) = 1/R sum_r f_r(r(x))

    Its file has only Keras's own layers and operations, if those of the networks have.

    Args:
        networks: Sequence of R functional or sequential networks, by orientation. R is a key of
            `ORIENTATIONS`, and each network has one input `(rows, columns, channels)`. They become
            layers of the new network, and are renamed.

    Example:

    >>> layers = lambda: [keras.Input((1, 2, 1)), keras.layers.Flatten()]
    >>> mean = mean_network([keras.Sequential(layers()) for _ in range(2)])
    >>> mean(np.array([[[[1], [3]]]])).numpy()
    array([[2., 2.]], dtype=float32)
    """
    first, number = networks[0], len(networks)
    name = first.name
    images = keras.tree.map_structure(_input_like, symbolic_inputs(first))
    for network, orientation in zip(networks, ORIENTATIONS[number], strict=True):
        # Layers of a functional network have different names.
        network.name = f"{name}_orientation_{orientation}"
    in_each = in_each_orientation(images, number)
    outputs = [network(turned) for network, turned in zip(networks, in_each, strict=True)]
    # Unlike a layer, an operation does not cast its inputs.
    mean = keras.ops.mean(keras.ops.stack(outputs), axis=0)
    return keras.Model(images, mean, name=name)


def _input_like(given: keras.KerasTensor) -> keras.KerasTensor:
    return keras.Input(batch_shape=given.shape, dtype=given.dtype, name=given.name)
