"""All weights in one vector, and back.

Most optimizers work element by element: they can update the vector in place of the weights. XLA
then runs one operation instead of dozens of small ones.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf


class VectorLayout(NamedTuple):
    """The places of weights in vectors, one vector for each dtype.

    Example:

    >>> layout = VectorLayout.of([tf.zeros((2, 2)), tf.ones((1,))])
    >>> [vector.numpy().tolist() for vector in layout.pack([tf.zeros((2, 2)), tf.ones((1,))])]
    [[0.0, 0.0, 0.0, 0.0, 1.0]]
    """

    shapes: tuple
    dtypes: tuple

    @classmethod
    def of(cls, weights: Sequence) -> "VectorLayout":
        return cls(tuple(w.shape for w in weights), tuple(w.dtype for w in weights))

    def pack(self, weights: Sequence) -> tuple:
        """Returns tensors of these shapes as vectors."""
        return tuple(
            tf.concat([tf.reshape(weights[i], (-1,)) for i in places], axis=0)
            for places in self._places().values()
        )

    def unpack(self, vectors: Sequence) -> tuple:
        """Returns the tensors in vectors, with the vectors' leading axes."""
        weights = [None] * len(self.shapes)
        for vector, places in zip(vectors, self._places().values(), strict=True):
            sizes = [self.shapes[i].num_elements() for i in places]
            for i, part in zip(places, tf.split(vector, sizes, axis=-1), strict=True):
                weights[i] = tf.reshape(part, (*vector.shape[:-1], *self.shapes[i]))
        return tuple(weights)

    def _places(self) -> dict:
        """Returns the positions of the weights of each dtype."""
        return {
            kind: [i for i, dtype in enumerate(self.dtypes) if dtype == kind]
            for kind in dict.fromkeys(self.dtypes)
        }


class Apart:
    """The layout of weights that stay apart, for optimizers that do not work element by element."""

    def pack(self, weights: Sequence) -> tuple:
        return tuple(weights)

    def unpack(self, weights: Sequence) -> tuple:
        return tuple(weights)


def layout_of(weights: Sequence, optimizer: Any) -> VectorLayout | Apart:
    """Returns how an inner loop holds its weights, gradients and moments.

    Args:
        weights: Sequence of tensors.
        optimizer: An `InnerSGD` or `InnerAdam`.
    """
    return VectorLayout.of(weights) if optimizer.elementwise else Apart()
