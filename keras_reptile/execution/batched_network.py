"""A network as one function of the weights and images of all tasks, with an explicit gradient."""

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
    indices: Tuple, for each layer a tuple with the indices of its weights among the network's
        trainable variables.
    dtype: String, that of weights and images.
    """

    layers: tuple
    indices: tuple
    dtype: str

    def __call__(self, weights: Sequence, x: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        """Returns the outputs, and a function from their gradient to that of the weights.

        Args:
            weights: Sequence of tensors, one for each trainable variable of the network, with a
                first axis of tasks. Weights that all tasks share may lack this axis. The gradient
                of each weight has it.
            x: Tensor `(tasks, images, ...)` of known shape.

        Returns:
            Tuple of a tensor `(tasks, images, ...)` and the function.
        """
        x, gradients = tf.cast(x, self.dtype), []
        for layer, indices in zip(self.layers, self.indices, strict=True):
            x, gradient = layer.forward(x, *(weights[i] for i in indices))
            gradients.append(gradient)

        def gradient_of(dy):
            found: dict[int, tf.Tensor] = {}
            for gradient, indices in zip(gradients[::-1], self.indices[::-1], strict=True):
                dy, *of_weights = gradient(dy)
                found.update(zip(indices, of_weights, strict=True))
            return tuple(found[i] for i in range(len(weights)))

        return x, gradient_of


def batched_network(network: keras.Model, x: Any) -> BatchedNetwork | None:
    """Returns the network in this form for images `(tasks, images, ...)`, or `None`.

    The network must be a chain of known layers of one precision, see batched_layers.py, and take
    the images without conversion.
    """
    chain = chain_of(network)
    layers = batched_layers(chain)
    one_precision = len({layer.compute_dtype for layer in chain}) == 1
    if not layers or not one_precision or not _takes(network, x):
        return None
    order = {id(v): index for index, v in enumerate(network.trainable_variables)}
    indices = tuple(tuple(order.get(id(v), -1) for v in layer.weights) for layer in layers)
    if sorted(p for each in indices for p in each) != list(range(len(order))):
        return None
    return BatchedNetwork(tuple(layers), indices, chain[0].compute_dtype)


def chain_of(network: keras.Model) -> list:
    """Returns the layers of a network if each is the input of the next only, else an empty list."""
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
    """Returns whether the network takes a task's images without conversion, except of precision."""
    (given,) = network.inputs
    if not isinstance(x, tf.Tensor) or not tf.as_dtype(given.dtype).is_floating:
        return False
    return tf.TensorShape(given.shape[1:]).is_compatible_with(x.shape[2:])
