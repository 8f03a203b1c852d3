"""The inner optimizer's state that one meta-batch leaves for the next, as variables of a model."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.network_function import values_of


class CarriedState:
    """The variables of an `InnerState`.

    Args:
        rule: The inner optimizer, from `keras_optimizers.from_keras`.
    """

    def __init__(self, rule: Any):
        self.rule = rule
        self.variables: list[Any] = []
        self._weights: list[int] = []
        self._specs: Any = ()

    def build(self, weights: Sequence, add_weight: Callable) -> None:
        """Creates the variables.

        Args:
            weights: Sequence of the network's trainable variables.
            add_weight: The method of the model that owns the new variables.
        """
        self._weights = [id(v) for v in weights]
        initial = self.rule.init(values_of(weights))
        self._specs = tf.nest.map_structure(tf.TensorSpec.from_tensor, initial)
        # TensorFlow keeps int32 variables on the CPU, out of reach of a GPU's program.
        self.variables = [
            add_weight(
                name=f"inner_state_{i}",
                shape=spec.shape,
                dtype="int64" if spec.dtype == tf.int32 else spec.dtype.name,
                initializer="zeros",
                trainable=False,
            )
            for i, spec in enumerate(tf.nest.flatten(self._specs))
        ]

    def value(self, weights: Sequence) -> InnerState:
        """Returns the state as tensors.

        Args:
            weights: Sequence of the variables that are trainable now.

        Raises:
            ValueError: If they are not those that the state was built for.
        """
        self.check(weights)
        values = [
            tf.cast(tf.convert_to_tensor(variable), spec.dtype)
            for variable, spec in zip(self.variables, tf.nest.flatten(self._specs), strict=True)
        ]
        return tf.nest.pack_sequence_as(self._specs, values)

    def slots_of(self, positions: Sequence[int]) -> list:
        """Returns the variables of the moments of some weights.

        Args:
            positions: Sequence of integers, the positions of the weights.
        """
        number = len(self._weights)
        return [v for i, v in enumerate(self.variables[1:]) if i % number in positions]

    def assign(self, state: InnerState) -> None:
        for variable, value in zip(self.variables, tf.nest.flatten(state), strict=True):
            variable.assign(value)

    def check(self, weights: Sequence) -> None:
        """Raises `ValueError` unless these are the weights that the state was built for."""
        if [id(v) for v in weights] != self._weights:
            raise ValueError(
                "The carried moments of the inner optimizer belong to the "
                f"{len(self._weights)} weights that were trainable when the model was built. "
                f"Received: a network with {len(weights)} trainable weights, not the same ones. "
                "Freeze layers before that, or make a new `ReptileModel(model.network, ...)`."
            )
