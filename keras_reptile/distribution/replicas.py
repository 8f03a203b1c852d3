"""Communication between replicas: sums and means over all of them."""

from typing import Any

import keras
import tensorflow as tf

from keras_reptile.keras_internals import own_copies, parts_of

SERIAL = (
    "Replicas adapt to their tasks at the same time, and cannot pass the inner state from one to "
    "the next. Received: task_order='serial' and inner_state='carried', with {} replicas. Use "
    "task_order='parallel', or one device."
)

OUTSIDE = (
    "Replicas share a model that is made in their strategy's scope. Received: a model that was "
    "made outside of the scope of the {}. Make and compile it in the scope, or leave the scope."
)


def replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync


def check_scope(has_strategy: bool) -> None:
    """Raises `ValueError` if a model without a strategy is used in the scope of several replicas.

    Args:
        has_strategy: Boolean, whether the model was made in the scope of a strategy.
    """
    if not has_strategy and replicas() > 1:
        raise ValueError(OUTSIDE.format(type(tf.distribute.get_strategy()).__name__))


def has_copies() -> bool:
    """Returns whether there are several replicas, each with its own copy of every variable.

    A TPU's replicas are one program, and have no copies that Keras could update.
    """
    strategy = tf.distribute.get_strategy()
    kinds = (tf.distribute.MirroredStrategy, tf.distribute.MultiWorkerMirroredStrategy)
    return isinstance(strategy, kinds) and replicas() > 1


def replica_index() -> tf.Tensor | int:
    """Returns this replica's index, from 0."""
    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group if replicas() > 1 else 0


def sum_over_replicas(tensors: list) -> list:
    """Returns the sum of each tensor over the replicas, on every replica.

    It uses one collective operation for each dtype among the tensors.
    """
    context = tf.distribute.get_replica_context()
    sums = list(tensors)
    for dtype in dict.fromkeys(t.dtype for t in tensors):
        indices = [i for i, t in enumerate(tensors) if t.dtype == dtype]
        reduced = context.all_reduce(tf.distribute.ReduceOp.SUM, [tensors[i] for i in indices])
        for i, value in zip(indices, reduced, strict=True):
            sums[i] = value
    return sums


def mean_over_replicas(structure: Any) -> Any:
    """Returns the mean of each tensor of a structure over the replicas, on every replica."""
    if replicas() == 1:
        return structure
    flat = [tf.convert_to_tensor(t) for t in tf.nest.flatten(structure)]
    means = sum_over_replicas(share_of_mean(flat)) if flat else []
    return tf.nest.pack_sequence_as(structure, means)


def share_of_mean(tensors: list) -> list:
    """Divides each tensor by the number of replicas, so that the sum over replicas is the mean."""
    return [t / replicas() for t in tensors]


def apply(optimizer: keras.optimizers.Optimizer, gradient: list, variables: list) -> None:
    """Applies the optimizer to the mean gradient over replicas.

    Keras 3 sums the gradients that replicas pass to `optimizer.apply` (keras issue 19308), and
    clips them before the sum. For an optimizer that clips, the mean is computed first. Then the
    first replica passes it, and the others pass zeros.

    Args:
        optimizer: The outer optimizer.
        gradient: List of tensors, the gradient of this replica's share.
        variables: List of the variables.
    """
    if replicas() == 1:
        optimizer.apply(gradient, variables)
    elif clips(optimizer):
        first = tf.equal(replica_index(), 0)
        whole = mean_over_replicas(gradient)
        optimizer.apply([tf.where(first, g, tf.zeros_like(g)) for g in whole], variables)
    else:
        optimizer.apply(share_of_mean(gradient), variables)


def apply_mean(optimizer: keras.optimizers.Optimizer, gradient: list, variables: list) -> None:
    """Applies the optimizer to this replica's copies of the variables, without communication.

    Args:
        optimizer: The outer optimizer, built.
        gradient: List of tensors, the mean gradient over replicas.
        variables: List of the variables.
    """
    with own_copies(optimizer, variables):
        optimizer.apply(gradient, variables)


def clips(optimizer: keras.optimizers.Optimizer) -> bool:
    return any(
        limit is not None
        for part in parts_of(optimizer)
        for limit in (part.clipnorm, part.clipvalue, part.global_clipnorm)
    )


def gathered(values: tf.Tensor) -> tf.Tensor:
    """Concatenates the values `(share, ...)` of all replicas to `(replicas * share, ...)`.

    It uses a sum, because the order of a gather differs between strategies.
    """
    if replicas() == 1:
        return values
    mine = tf.one_hot(replica_index(), replicas(), on_value=True, off_value=False, dtype=tf.bool)
    # A product with 0 would be NaN if a value is NaN, and then the sum would be NaN too.
    is_mine = tf.reshape(mine, (-1, *[1] * values.shape.rank))
    own_row = tf.where(is_mine, values[None], tf.zeros((), values.dtype))
    (all_rows,) = sum_over_replicas([own_row])
    return tf.reshape(all_rows, (-1, *values.shape[1:]))
