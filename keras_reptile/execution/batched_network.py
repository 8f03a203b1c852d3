"""A network as one function of all tasks' weights and images, with its gradient written out."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_reptile.algorithm.known_layers import operations
from keras_reptile.execution.batched_layers import batched_layers
from keras_reptile.keras_internals import call_that_made


class BatchedNetwork(NamedTuple):
    """A chain of layers, applied to all tasks at once.

    layers: Tuple of `BatchedLayer`.
    places: Tuple with the places of each layer's weights among the network's trainable variables.
    dtype: String, of weights and images.
    """

    layers: tuple
    places: tuple
    dtype: str

    def __call__(self, weights: Sequence, x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        """Outputs `(tasks, images, ...)`, and the function of their gradient to the weights'.

        Args:
            weights: Sequence of tensors as the network's trainable variables, with the tasks along
                a first axis, or without it, the same for all. Gradients have it.
            x: Tensor `(tasks, images, ...)` of known shape.
        """
        x, gradients = tf.cast(x, self.dtype), []
        for layer, places in zip(self.layers, self.places, strict=True):
            x, gradient = layer.forward(x, *(weights[i] for i in places))
            gradients.append(gradient)

        def gradient_of(dy):
            found: dict[int, tf.Tensor] = {}
            for gradient, places in zip(gradients[::-1], self.places[::-1], strict=True):
                dy, *of_weights = gradient(dy)
                found.update(zip(places, of_weights, strict=True))
            return tuple(found[i] for i in range(len(weights)))

        return x, gradient_of


def batched_network(network: keras.Model, x: Any) -> BatchedNetwork | None:
    """Returns the network in this form for images `(tasks, images, ...)`; `None` if it has none.

    It has one if it is a chain of known layers of one precision, and takes such images as they are.
    Known are those that are as Keras makes them: see batched_layers.py.
    """
    chain = chain_of(network)
    layers = batched_layers(chain)
    one_precision = len({layer.compute_dtype for layer in chain}) == 1
    if not layers or not one_precision or not _takes(network, x):
        return None
    order = {id(v): place for place, v in enumerate(network.trainable_variables)}
    places = tuple(tuple(order.get(id(v), -1) for v in layer.weights) for layer in layers)
    if sorted(p for each in places for p in each) != list(range(len(order))):
        return None
    return BatchedNetwork(tuple(layers), places, chain[0].compute_dtype)


def chain_of(network: keras.Model) -> list:
    """The layers of a network in which each feeds the next and nothing else; of others none."""
    ends = getattr(network, "inputs", None), getattr(network, "outputs", None)
    if operations(network) == [network] or [len(end or ()) for end in ends] != [1, 1]:
        return []
    layers: list = []
    tensor = network.outputs[0]
    while tensor is not network.inputs[0]:
        layer, call = call_that_made(tensor)
        if len(call.input_tensors) != 1 or layer in layers:
            return []
        layers.insert(0, layer)
        (tensor,) = call.input_tensors
    return layers


def _takes(network, x) -> bool:
    """Whether the network takes a task's images as they are, but for their precision."""
    (given,) = network.inputs
    if not isinstance(x, tf.Tensor) or not tf.as_dtype(given.dtype).is_floating:
        return False
    return tf.TensorShape(given.shape[1:]).is_compatible_with(x.shape[2:])
