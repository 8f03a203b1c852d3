"""What files of a model hold of layers with LoRA, beside what Keras writes.

A layer with LoRA computes with the kernel W + s A B, and moves A and B only. Keras writes the sum
as the kernel, and reads the file with A = 0 and B = 0. The outputs are the same. But the gradient
of A is a product with B, and that of B a product with A: both stay 0, and no step moves the kernel.

So the file also holds W, A and B. They are read after Keras has read the network. Of a file without
them, such as one of the same network before it had LoRA, A is drawn at random, as for a new layer.
"""

from collections.abc import Sequence
from typing import Any

import keras

from keras_reptile.keras_internals import all_layers


class WeightsOfLora(keras.layers.Layer):
    """Weights of layers with LoRA, as an object that Keras writes and reads.

    Args:
        weights: Sequence of variables.
    """

    def __init__(self, weights: Sequence):
        super().__init__()
        # Set past Keras's attribute tracking: they are weights of other layers.
        object.__setattr__(self, "_held", tuple(weights))

    def save_own_variables(self, store: Any) -> None:
        for i, variable in enumerate(self._held):
            store[str(i)] = variable

    def load_own_variables(self, store: Any) -> None:
        stored = bool(list(store.keys()))
        for i, variable in enumerate(self._held):
            if stored:
                variable.assign(store[str(i)])
            elif _is_first_factor(variable):
                initializer = keras.initializers.HeUniform(seed=i)
                variable.assign(initializer(variable.shape, variable.dtype))


def _is_first_factor(variable: Any) -> bool:
    """Returns whether this is A, such as `lora_kernel_a`."""
    return variable.name.startswith("lora_") and variable.name.endswith("_a")


def weights_of_lora(network: keras.Model) -> WeightsOfLora | None:
    """Returns the weights of a network's layers with LoRA, or `None` if there are none."""
    layers = [layer for layer in all_layers(network) if getattr(layer, "lora_enabled", False)]
    return WeightsOfLora([v for layer in layers for v in layer.weights]) if layers else None
