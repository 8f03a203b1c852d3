"""The inner loop's loss, from the `loss` of `compile`."""

import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.network_checks import last_operation
from keras_reptile.keras_internals import options_of

# Functions of probabilities, unless from_logits=True.
OF_PROBABILITIES = (
    keras.losses.binary_crossentropy,
    keras.losses.binary_focal_crossentropy,
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.sparse_categorical_crossentropy,
)
# Functions with an axis of classes.
OF_CLASSES = (
    keras.losses.categorical_crossentropy,
    keras.losses.categorical_focal_crossentropy,
    keras.losses.sparse_categorical_crossentropy,
)
LOGITS = (
    "The loss takes probabilities, but the network ends in a linear layer, whose outputs are "
    "logits. Received: loss={}. Give a loss with from_logits=True, such as "
    "`keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, or end the network in softmax."
)


def get_loss(identifier: Any) -> Any:
    """Returns the Keras loss of an identifier. `None` is the cross-entropy of labels and logits."""
    if identifier is None:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    named = isinstance(identifier, dict) and "class_name" not in identifier
    if named or isinstance(identifier, list | tuple):
        raise ValueError(
            "`loss` must be one loss, its name or its config, because the network has one output. "
            f"Received: loss={identifier!r}."
        )
    loss = keras.losses.get(identifier)
    ignored = getattr(loss, "ignore_class", None)
    if ignored is not None:
        raise ValueError(
            "A task's loss and accuracy count every example. Received: a loss with "
            f"ignore_class={ignored}. Leave such examples out of the episodes."
        )
    return loss


def check_classes(loss: Any, network: keras.Model) -> None:
    """Raises `ValueError` for a cross-entropy of classes that are not along the last axis.

    Accuracies and checks of labels take the last axis. Keras does not save that of a sparse loss.

    Args:
        loss: The loss, from `get_loss`.
        network: A `keras.Model`.
    """
    axis = options_of(loss).get("axis", -1)
    shape = getattr(network, "output_shape", None)
    last = (-1, len(shape) - 1) if isinstance(shape, tuple) else (-1,)
    if getattr(loss, "fn", loss) in OF_CLASSES and axis not in last:
        raise ValueError(
            "Classes must be along the last axis of the outputs. Received: a loss with "
            f"axis={axis}. End the network in `keras.layers.Permute`, and leave `axis` out."
        )


def warn_of_logits(loss: Any, network: keras.Model) -> None:
    """Warns if logits are given to a cross-entropy of probabilities, which clips them to [0, 1].

    Args:
        loss: The loss, from `get_loss`.
        network: A `keras.Model`. Only a last layer that is a `Dense` layer is known to be linear.
    """
    last = last_operation(network)
    is_linear = isinstance(last, keras.layers.Dense) and last.activation is keras.activations.linear
    takes_logits = getattr(loss, "from_logits", False)
    if is_linear and getattr(loss, "fn", loss) in OF_PROBABILITIES and not takes_logits:
        warnings.warn(LOGITS.format(names_of(loss)[0]), stacklevel=3)


def batch_loss(loss: Any, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Returns a minibatch's loss: the sum over its examples for the reduction "sum", or the mean.

    A call of a `keras.losses.Loss` divides by the number of replicas, which is wrong inside a task.
    So its values for each example are computed and reduced here.

    Args:
        loss: A `keras.losses.Loss`, or a function `(y_true, y_pred)` to per-example values.
        y_true: Targets `(batch, ...)`.
        y_pred: Outputs `(batch, ...)`.

    Returns:
        Scalar tensor.
    """
    return _reduction(loss)(values_of_examples(loss, y_true, y_pred))


def _reduction(loss) -> Callable:
    """Returns how a loss is computed from the values of its examples."""
    return tf.reduce_sum if _is_sum(loss) else tf.reduce_mean


def _is_sum(loss) -> bool:
    return isinstance(loss, keras.losses.Loss) and loss.reduction == "sum"


def values_of_examples(loss, y_true, y_pred) -> tf.Tensor:
    """Returns the values of a loss before its reduction."""
    y_true = _as_keras_does(loss, y_true, y_pred)
    return (loss.call if isinstance(loss, keras.losses.Loss) else loss)(y_true, y_pred)


def _as_keras_does(loss, y_true, y_pred):
    """Returns targets with the rank and dtype of the outputs. Class labels are unchanged.

    If targets had an axis of size 1 more or less than the outputs, a loss would broadcast over all
    pairs of examples. Keras would cast the integer labels of a custom function to floats. They stay
    integers here, because the function may use them as indices.
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


def query_losses(loss: Any, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Returns the loss of each query of all tasks `(tasks * queries,)`.

    A loss that is one number for a batch is computed for each task, and repeated for its queries.

    Args:
        loss, y_true, y_pred: See `task_losses`.
    """
    y, outputs = (tf.reshape(t, (-1, *t.shape[2:])) for t in (y_true, y_pred))
    values = values_of_examples(loss, y, outputs)
    if values.shape.rank == 0:
        return tf.repeat(task_losses(loss, y_true, y_pred), tf.shape(y_pred)[1])
    return _reduction(loss)(tf.reshape(values, (tf.shape(values)[0], -1)), axis=-1)


def mean_of(loss: Any, value: tf.Tensor, examples: Any) -> tf.Tensor:
    """Returns a `batch_loss` per example, for any reduction."""
    return value / tf.cast(examples, value.dtype) if _is_sum(loss) else value


def task_losses(loss: Any, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """Returns each task's loss per query, for any reduction.

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

    def of_task(pair):
        # A function of the user may compute in another dtype.
        return tf.cast(mean_of(loss, batch_loss(loss, *pair), queries), y_pred.dtype)

    return tf.map_fn(of_task, (y_true, y_pred), fn_output_signature=y_pred.dtype)


def is_sparse(loss: Any) -> bool:
    """Returns whether the targets of a loss are integer class labels."""
    return "sparse_categorical_crossentropy" in names_of(loss)


def names_of(loss: Any) -> list[str]:
    """Returns the name of a loss's function, and the loss's own name, which may be another one."""
    function = getattr(loss, "fn", loss) if isinstance(loss, keras.losses.Loss) else loss
    return [getattr(function, "__name__", ""), getattr(loss, "name", "")]
