"""Packs weights into vectors, and unpacks them.

Most optimizers work element by element, so they can update a vector of all weights. XLA then runs
one operation instead of dozens of small ones.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf


class VectorLayout(NamedTuple):
    """The positions of weights in vectors, with one vector for each dtype.

    Each weight of more than `most` elements has its own vector.

    Example:

    >>> layout = VectorLayout.of([tf.zeros((2, 2)), tf.ones((1,))])
    >>> [vector.numpy().tolist() for vector in layout.pack([tf.zeros((2, 2)), tf.ones((1,))])]
    [[0.0, 0.0, 0.0, 0.0, 1.0]]
    """

    shapes: tuple
    dtypes: tuple
    most: float = math.inf

    @classmethod
    def of(cls, weights: Sequence, most: float = math.inf) -> "VectorLayout":
        return cls(tuple(w.shape for w in weights), tuple(w.dtype for w in weights), most)

    def pack(self, weights: Sequence) -> tuple:
        """Returns tensors of these shapes as vectors, with the tensors' leading axes."""
        return tuple(
            tf.concat([self._flat(weights[i], i) for i in positions], axis=-1)
            for positions in self._positions()
        )

    def _flat(self, weight, i):
        leading = weight.shape[: weight.shape.rank - self.shapes[i].rank]
        return tf.reshape(weight, (*leading, self.shapes[i].num_elements()))

    def unpack(self, vectors: Sequence) -> tuple:
        """Returns the tensors in vectors, with the vectors' leading axes."""
        weights = [None] * len(self.shapes)
        for vector, positions in zip(vectors, self._positions(), strict=True):
            sizes = [self.shapes[i].num_elements() for i in positions]
            for i, part in zip(positions, tf.split(vector, sizes, axis=-1), strict=True):
                weights[i] = tf.reshape(part, (*vector.shape[:-1], *self.shapes[i]))
        return tuple(weights)

    def _positions(self) -> list:
        """Returns the positions of the weights of each vector."""
        found: dict = {}
        for i, (shape, dtype) in enumerate(zip(self.shapes, self.dtypes, strict=True)):
            found.setdefault(i if shape.num_elements() > self.most else dtype, []).append(i)
        return list(found.values())


class Apart:
    """The layout of separate weights, for optimizers that do not work element by element."""

    def pack(self, weights: Sequence) -> tuple:
        return tuple(weights)

    def unpack(self, weights: Sequence) -> tuple:
        return tuple(weights)


def layout_of(weights: Sequence, optimizer: Any, most: float = math.inf) -> VectorLayout | Apart:
    """Returns the layout of an inner loop's weights, gradients and moments.

    Args:
        weights: Sequence of tensors.
        optimizer: An `InnerSGD` or `InnerAdam`.
        most: Float, the largest number of elements of a weight that shares a vector. Defaults to
            infinity.
    """
    return VectorLayout.of(weights, most) if optimizer.elementwise else Apart()
