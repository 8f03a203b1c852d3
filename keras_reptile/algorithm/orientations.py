"""The same task turned and mirrored, and the mean of its predictions."""

import functools
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.algorithm.network_checks import ends
from keras_reptile.checks import check_integer
from keras_reptile.keras_internals import all_layers

# By their number: the image itself; its mirror image, too; its four turns; those of both.
ORIENTATIONS = {1: (0,), 2: (0, 4), 4: (0, 1, 2, 3), 8: (0, 1, 2, 3, 4, 5, 6, 7)}


def turned(images: Any, orientation: int) -> Any:
    """Returns images `(..., rows, columns, channels)` in one of eight orientations.

    Args:
        images: Tensor, or symbolic tensor of a network.
        orientation: Integer. 0 to 3 are quarter turns counterclockwise. 4 to 7 are the same turns
            of the images mirrored from left to right.

    Example:

    >>> image = tf.constant([[1, 2], [3, 4]])[..., None]
    >>> turned(image, 1)[..., 0].numpy().tolist(), turned(image, 4)[..., 0].numpy().tolist()
    ([[2, 4], [1, 3]], [[2, 1], [4, 3]])
    """
    rows, columns = len(images.shape) - 3, len(images.shape) - 2
    turns, is_mirrored = orientation % 4, orientation >= 4
    if is_mirrored:
        images = keras.ops.flip(images, columns)
    if turns % 2:
        images = keras.ops.transpose(images, [*range(rows), columns, rows, columns + 1])
    for axis in {0: (), 1: (rows,), 2: (rows, columns), 3: (columns,)}[turns]:
        images = keras.ops.flip(images, axis)
    return images


def in_each_orientation(images: Any, number: int) -> list:
    """Returns a structure of images in each orientation.

    Args:
        images: Structure of tensors `(..., rows, columns, channels)`, see `turned`.
        number: Integer, a key of `ORIENTATIONS`.
    """
    return [
        tf.nest.map_structure(functools.partial(turned, orientation=r), images)
        for r in ORIENTATIONS[number]
    ]


def in_orientations(tasks: dict, number: int) -> dict:
    """Returns each task `number` times in a row, its images each time in another orientation.

    Args:
        tasks: Episodes, tasks along the first axis.
        number: Integer, a key of `ORIENTATIONS`.
    """
    if number == 1:
        return tasks
    found = {
        key: tf.nest.map_structure(lambda t: tf.repeat(t, number, axis=0), value)
        for key, value in tasks.items()
    }
    for part in ("support", "query"):
        images, _ = tasks[part]
        all_turned = functools.partial(_all_turned, number=number)
        found[part] = tf.nest.map_structure(all_turned, images), found[part][1]
    return found


def mean_over_orientations(outputs: tf.Tensor, number: int) -> tf.Tensor:
    """Returns the mean output for each query over a task's orientations.

        1/R sum_r f(r(x); W_r)    where W_r is adapted to the support set in orientation r

    Args:
        outputs: Tensor `(tasks * number, queries, outputs)`, in the order of `in_orientations`.
        number: Integer, R.

    Returns:
        Tensor `(tasks, queries, outputs)`.
    """
    if number == 1:
        return outputs
    shape = tf.concat([[-1, number], tf.shape(outputs)[1:]], axis=0)
    return tf.reduce_mean(tf.reshape(outputs, shape), axis=1)


def check_orientations(orientations: Any) -> int:
    """Returns a number of orientations as an `int`.

    Raises:
        ValueError: If it is no key of `ORIENTATIONS`.
    """
    number = check_integer("orientations", orientations, 1)
    if number not in ORIENTATIONS:
        raise ValueError(
            f"`orientations` must be one of {(*ORIENTATIONS,)}. Received: orientations={number}."
        )
    return number


def check_can_be_turned(
    network: keras.Model,
    orientations: int,
    inputs: list[tf.TensorShape],
    targets: list[tf.TensorShape],
    has_labels: bool,
) -> None:
    """Raises `ValueError` unless a task of such examples is the same when it is turned.

    Its input must be images with their channels last, square ones unless they are only mirrored,
    and so must be the network's, if it is known. A target must have no axes that would have to be
    turned: a label has none, and any other target at most one.

    Args:
        network: A `keras.Model`.
        orientations: Integer, the number of orientations.
        inputs: List of shapes, those of an example's inputs.
        targets: List of shapes, those of an example's targets.
        has_labels: Boolean, whether the targets are integer labels.
    """
    if orientations == 1:
        return
    _check_network(network, orientations)
    shape, *others = inputs
    if others or shape.rank != 3:
        grey = "Give grey images an axis of channels, `x[..., None]`, or use orientations=1."
        raise ValueError(
            "`orientations` mirrors or turns one input `(rows, columns, channels)`. Received: "
            f"orientations={orientations}, {_listed('input', inputs)}. "
            f"{grey if not others and shape.rank == 2 else 'Use orientations=1.'}"
        )
    if orientations > 2 and (shape[0] is None or shape[0] != shape[1]):
        raise ValueError(
            "Only square images `(side, side, channels)` can be turned. Received: "
            f"orientations={orientations}, {_listed('input', inputs)}. Use orientations=2, which "
            "mirrors them, or 1."
        )
    most = 0 if has_labels else 1
    if any(shape.rank is None or shape.rank > most for shape in targets):
        raise ValueError(
            "`orientations` mirrors or turns images, and not targets with positions in an image. "
            f"Received: orientations={orientations}, {_listed('target', targets)}. "
            "Use orientations=1."
        )


def _check_network(network: keras.Model, orientations: int) -> None:
    """Raises `ValueError` for a network whose images have no channels, or not in the last axis."""
    received = f"Received: orientations={orientations}, a network"
    for layer in all_layers(network):
        if getattr(layer, "data_format", None) == "channels_first":
            raise ValueError(
                f"`orientations` mirrors or turns images `(rows, columns, channels)`. {received} "
                f"with the layer {layer.name!r} of data_format='channels_first'. Build it with "
                "'channels_last', or use orientations=1."
            )
    shapes = [tuple(given.shape[1:]) for given in ends(network, "inputs")]
    if len(shapes) == 1 and len(shapes[0]) == 2:
        raise ValueError(
            f"`orientations` mirrors or turns images `(rows, columns, channels)`. {received} that "
            f"takes inputs of shape {shapes[0]}. Begin it with `keras.Input({(*shapes[0], 1)})`, "
            "or use orientations=1."
        )


def _listed(kind: str, shapes: list[tf.TensorShape]) -> str:
    each = [None if shape.rank is None else tuple(shape) for shape in shapes]
    return f"{kind}s of shape {', '.join(map(str, dict.fromkeys(each)))}"


def _all_turned(images: tf.Tensor, number: int) -> tf.Tensor:
    """Returns `(tasks, ...)` as `(tasks * number, ...)`, each task's orientations in a row."""
    copies = tf.stack(in_each_orientation(images, number), axis=1)
    tasks, _, *others = copies.shape
    shape = tf.concat([[-1], tf.shape(copies)[2:]], axis=0)
    joined = tf.reshape(copies, shape)
    joined.set_shape([None if tasks is None else tasks * number, *others])
    return joined
