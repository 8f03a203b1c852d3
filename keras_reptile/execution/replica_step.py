"""A meta-step on a replica: two programs, and one sum over replicas between them.

The first program adapts to the replica's tasks. It returns the values to average in one vector for
each dtype, divided by the number of replicas. The second program takes the sums of these vectors
and updates the replica's own copies of the variables. So TensorFlow runs few operations in a step,
for any number of weights.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_reptile import distribution
from keras_reptile.execution.weight_vectors import VectorLayout


def run(learn: Callable, step_on_means: Callable, episodes: dict, by_xla: bool) -> Any:
    """Runs a step on the current replica.

    Args:
        learn: Function of the replica's episodes. It returns two structures of tensors: those to
            average over replicas, and those that all replicas share.
        step_on_means: Function of the averaged structure and the shared one.
        episodes: Dict of tensors.
        by_xla: Boolean, whether XLA compiles the two programs.

    Returns:
        The result of `step_on_means`.
    """
    packing: Any = None

    def adapt_on_replica(episodes):
        nonlocal packing
        own, shared = learn(episodes)
        flat = [tf.convert_to_tensor(t) for t in tf.nest.flatten(own)]
        shares = tf.nest.pack_sequence_as(own, distribution.share_of_mean(flat))
        packing = Packing.of(shares)
        return packing.pack(shares), shared

    def apply_on_replica(sums, shared):
        return step_on_means(packing.unpack(sums), shared)

    vectors, shared = _program(adapt_on_replica, by_xla)(episodes)
    sums = distribution.sum_over_replicas(vectors)
    return _program(apply_on_replica, by_xla)(sums, shared)


def _program(function: Callable, by_xla: bool) -> Callable:
    if tf.executing_eagerly():
        return function
    return tf.function(function, autograph=False, jit_compile=by_xla or None)


class Packing(NamedTuple):
    """The positions of a structure's tensors in vectors, with one vector for each dtype.

    Tensors of unknown shape are not packed. They follow the vectors.

    Example:

    >>> structure = {"a": tf.constant([1.0, 2.0]), "b": tf.constant(3.0)}
    >>> packing = Packing.of(structure)
    >>> [vector.numpy().tolist() for vector in packing.pack(structure)]
    [[1.0, 2.0, 3.0]]
    >>> packing.unpack([tf.constant([4.0, 5.0, 6.0])])["b"].numpy().item()
    6.0
    """

    specs: Any
    layout: VectorLayout

    @classmethod
    def of(cls, structure: Any) -> "Packing":
        specs = tf.nest.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), structure)
        return cls(specs, VectorLayout.of(list(filter(_is_known, tf.nest.flatten(specs)))))

    def pack(self, structure: Any) -> list:
        tensors = tf.nest.flatten(structure)
        apart = [t for t in tensors if not _is_known(t)]
        return [*self.layout.pack(list(filter(_is_known, tensors))), *apart]

    def unpack(self, vectors: list) -> Any:
        specs = tf.nest.flatten(self.specs)
        packed = len(vectors) - sum(not _is_known(spec) for spec in specs)
        known, apart = iter(self.layout.unpack(vectors[:packed])), iter(vectors[packed:])
        tensors = [next(known if _is_known(spec) else apart) for spec in specs]
        return tf.nest.pack_sequence_as(self.specs, tensors)


def _is_known(t: Any) -> bool:
    return t.shape.is_fully_defined()
