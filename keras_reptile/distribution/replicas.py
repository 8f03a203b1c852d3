"""What replicas tell each other: sums and means over all of them."""

from typing import Any

import keras
import tensorflow as tf

SERIAL = (
    "Replicas adapt to their tasks at the same time, and cannot pass the inner state from one to "
    "the next. Received: task_order='serial' and inner_state='carried', with {} replicas. Use "
    "task_order='parallel', or one device."
)


def replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_index() -> tf.Tensor | int:
    """This replica's number, from 0."""
    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group if replicas() > 1 else 0


def sum_over_replicas(tensors: list) -> list:
    """The sum of each tensor over the replicas, the same on all of them.

    One collective operation for each dtype among the tensors.
    """
    context = tf.distribute.get_replica_context()
    sums = list(tensors)
    for dtype in dict.fromkeys(t.dtype for t in tensors):
        places = [i for i, t in enumerate(tensors) if t.dtype == dtype]
        reduced = context.all_reduce(tf.distribute.ReduceOp.SUM, [tensors[i] for i in places])
        for i, value in zip(places, reduced, strict=True):
            sums[i] = value
    return sums


def mean_over_replicas(structure: Any) -> Any:
    """The mean of each tensor of a structure over the replicas, the same on all of them."""
    if replicas() == 1:
        return structure
    flat = [tf.convert_to_tensor(t) for t in tf.nest.flatten(structure)]
    means = sum_over_replicas(share_of_mean(flat)) if flat else []
    return tf.nest.pack_sequence_as(structure, means)


def share_of_mean(tensors: list) -> list:
    """Scales a replica's mean so that the sum over replicas is the mean over replicas."""
    return [t / replicas() for t in tensors]


def apply(optimizer: keras.optimizers.Optimizer, gradient: list, variables: list) -> None:
    """Gives the optimizer the mean over replicas of a gradient that each has of its share.

    Keras 3 sums over replicas what they pass to `optimizer.apply` (keras issue 19308), and clips
    before it sums. To clip the mean, it is found first, and the first replica alone passes it on.
    """
    if replicas() == 1:
        optimizer.apply(gradient, variables)
    elif clips(optimizer):
        first = tf.equal(replica_index(), 0)
        whole = mean_over_replicas(gradient)
        optimizer.apply([tf.where(first, g, tf.zeros_like(g)) for g in whole], variables)
    else:
        optimizer.apply(share_of_mean(gradient), variables)


def clips(optimizer: keras.optimizers.Optimizer) -> bool:
    limits = (optimizer.clipnorm, optimizer.clipvalue, optimizer.global_clipnorm)
    return any(limit is not None for limit in limits)


def gathered(values: tf.Tensor) -> tf.Tensor:
    """The values `(share, ...)` of all replicas in their order, `(replicas * share, ...)`.

    A sum rather than a gather, whose order differs from strategy to strategy.
    """
    if replicas() == 1:
        return values
    mine = tf.one_hot(replica_index(), replicas(), on_value=True, off_value=False, dtype=tf.bool)
    # Not a product with 0, which would make NaN of the other replicas' values where these are NaN.
    places = tf.reshape(mine, (-1, *[1] * values.shape.rank))
    placed = tf.where(places, values[None], tf.zeros((), values.dtype))
    (everyones,) = sum_over_replicas([placed])
    return tf.reshape(everyones, (-1, *values.shape[1:]))
