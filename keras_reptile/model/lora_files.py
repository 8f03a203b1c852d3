"""What files of a model hold of layers with LoRA, beside what Keras writes.

A layer with LoRA computes with the kernel W + s A B, and moves A and B only. Keras writes the sum
as the kernel, and reads the file with A = 0 and B = 0. The outputs are the same. But the gradient
of A is a product with B, and that of B a product with A: both stay 0, and no step moves the kernel.

So the file also holds W, A and B. They are read after Keras has read the network.
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
        # Files of earlier versions, and of networks without LoRA, have none.
        if list(store.keys()):
            for i, variable in enumerate(self._held):
                variable.assign(store[str(i)])


def weights_of_lora(network: keras.Model) -> WeightsOfLora | None:
    """Returns the weights of a network's layers with LoRA, or `None` if there are none."""
    layers = [layer for layer in all_layers(network) if getattr(layer, "lora_enabled", False)]
    return WeightsOfLora([v for layer in layers for v in layer.weights]) if layers else None
