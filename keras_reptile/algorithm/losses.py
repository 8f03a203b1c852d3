"""The inner loop's loss, from what `compile` was given."""

from typing import Any

import keras
import tensorflow as tf


def get_loss(identifier: Any) -> Any:
    """A Keras loss from its identifier; cross-entropy of integer labels and logits from `None`."""
    if identifier is None:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    loss = keras.losses.get(identifier)
    ignored = getattr(loss, "ignore_class", None)
    if ignored is not None:
        raise ValueError(
            "A task's loss and accuracy count every example. Received a loss with "
            f"ignore_class={ignored}. Leave such examples out of the episodes."
        )
    return loss


def batch_loss(loss: Any, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """A minibatch's loss: the sum over its examples if the loss says so, else their mean.

    A `keras.losses.Loss` that is called as such is divided by the number of replicas, which is
    wrong inside a task; so its per-example values are taken and reduced here.

    Args:
        loss: A `keras.losses.Loss`, or a function `(y_true, y_pred)` to per-example values.
        y_true: Targets `(batch, ...)`.
        y_pred: Outputs `(batch, ...)`.

    Returns:
        Scalar tensor.
    """
    values = _values(loss, y_true, y_pred)
    if not isinstance(loss, keras.losses.Loss):
        return tf.reduce_mean(values)
    return tf.reduce_sum(values) if loss.reduction == "sum" else tf.reduce_mean(values)


def _values(loss, y_true, y_pred) -> tf.Tensor:
    """What a loss computes before any reduction of its own."""
    y_true = _as_keras_does(loss, y_true, y_pred)
    return (loss.call if isinstance(loss, keras.losses.Loss) else loss)(y_true, y_pred)


def _as_keras_does(loss, y_true, y_pred):
    """Targets with as many axes as the outputs and in their dtype; class labels as they are.

    With an axis of 1 more or less, what a loss subtracts would be of all pairs of a batch. Labels
    of a function of one's own stay integers, which Keras would make floats: it may look up by them.
    """
    y_true = tf.convert_to_tensor(y_true)
    ranks = y_true.shape.rank, y_pred.shape.rank
    more = 0 if None in ranks else ranks[0] - ranks[1]
    one_each = ranks[1] is not None and y_pred.shape[-1:] == (1,)
    are_labels = more == -1 and not one_each and y_true.dtype.is_integer
    if is_sparse(loss) or (are_labels and not isinstance(loss, keras.losses.Loss)):
        return y_true
    if more == -1 and one_each:
        y_true = y_true[..., None]
    elif more == 1 and y_true.shape[-1:] == (1,):
        y_true = y_true[..., 0]
    return tf.cast(y_true, y_pred.dtype)


def example_losses(loss: Any, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Each example's loss `(batch,)`; of a function to a scalar, that scalar for each."""
    is_loss = isinstance(loss, keras.losses.Loss)
    values = _values(loss, y_true, y_pred)
    if values.shape.rank == 0:
        return tf.fill(tf.shape(y_pred)[:1], values)
    reduce = tf.reduce_sum if is_loss and loss.reduction == "sum" else tf.reduce_mean
    return reduce(tf.reshape(values, (tf.shape(values)[0], -1)), axis=-1)


def mean_of(loss: Any, value: tf.Tensor, examples: Any) -> tf.Tensor:
    """A `batch_loss` per example, whatever its reduction."""
    summed = isinstance(loss, keras.losses.Loss) and loss.reduction == "sum"
    return value / tf.cast(examples, value.dtype) if summed else value


def task_losses(loss: Any, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Each task's loss per query, whatever the loss's reduction.

    Args:
        loss: As in `batch_loss`.
        y_true: Targets `(tasks, queries, ...)`.
        y_pred: Outputs `(tasks, queries, ...)`.

    Returns:
        Float tensor `(tasks,)`.

    Example:

    >>> loss = keras.losses.MeanSquaredError()
    >>> predictions = tf.constant([[[1.0], [3.0]], [[0.0], [0.0]]])
    >>> task_losses(loss, tf.zeros((2, 2, 1)), predictions).numpy()
    array([5., 0.], dtype=float32)
    """
    queries = tf.shape(y_pred)[1]
    of_task = lambda pair: mean_of(loss, batch_loss(loss, *pair), queries)  # noqa: E731
    return tf.map_fn(of_task, (y_true, y_pred), fn_output_signature=y_pred.dtype)


def is_sparse(loss: Any) -> bool:
    """Whether the targets of a loss are integer class labels."""
    return "sparse_categorical_crossentropy" in names_of(loss)


def names_of(loss: Any) -> list[str]:
    """The names of what a loss computes, first the function's: the loss may be called otherwise."""
    function = getattr(loss, "fn", loss) if isinstance(loss, keras.losses.Loss) else loss
    return [getattr(function, "__name__", ""), getattr(loss, "name", "")]
