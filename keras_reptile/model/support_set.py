"""Checks of the images and labels that a user gives to `ReptileModel.adapt`."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_reptile.algorithm import orientations
from keras_reptile.algorithm.network_checks import check_built, ends
from keras_reptile.algorithm.prediction import all_finite
from keras_reptile.episodes.array_checks import check_arrays


def checked(network: keras.Model, support_x: Any, support_y: Any) -> tuple:
    """Returns images, labels and their number, as tensors that fit the network.

    Raises:
        ValueError: If there are no images, another number of labels, images of another shape, or
            numbers that are not finite.
    """
    check_arrays("support_x", support_x)
    check_arrays("support_y", support_y)
    support_x, support_y = _as_tensors(network, support_x, support_y)
    number = _number_of(support_x, support_y)
    _check_images(network, support_x)
    _check_finite(support_x, support_y)
    return _with_rank_of_input(network, support_x), support_y, number


def check_can_be_turned(
    network: keras.Model, support_x: Any, support_y: tf.Tensor, number: int, has_labels: bool
) -> None:
    """Raises `ValueError` unless a network can be the mean over orientations of a support set.

    Args:
        network: A `keras.Model`.
        support_x, support_y: As `checked` returns them.
        number: Integer, the number of orientations.
        has_labels: Boolean, whether the targets are integer labels.
    """
    if number == 1:
        return
    check_built(network)
    if not ends(network, "inputs"):
        raise ValueError(
            "`orientations` needs a functional or sequential network. Received: "
            f"orientations={number}, a {type(network).__name__}. Wrap it in `keras.Model`, or use "
            "orientations=1."
        )
    inputs = [each.shape[1:] for each in tf.nest.flatten(support_x)]
    targets = [support_y.shape[1:]]
    orientations.check_can_be_turned(network, number, inputs, targets, has_labels)


def _as_tensors(network, support_x, support_y) -> tuple:
    try:
        if _lists_images(network, support_x):
            support_x = np.asarray(support_x)
        images = tf.nest.map_structure(tf.convert_to_tensor, support_x)
        return images, tf.convert_to_tensor(support_y)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The support set must be arrays of images and of labels. Received: "
            f"{type(support_x).__name__} and {type(support_y).__name__}: {error}"
        ) from None


def _lists_images(network, support_x) -> bool:
    """Returns whether this is a list of single images, not of inputs."""
    inputs = ends(network, "inputs")
    some = isinstance(support_x, list) and support_x and len(inputs) == 1
    return bool(some) and np.ndim(support_x[0]) == len(inputs[0].shape) - 1


def _number_of(support_x, support_y) -> int:
    tensors = [*tf.nest.flatten(support_x), support_y]
    sizes = {int(t.shape[0]) if t.shape.rank else -1 for t in tensors}
    if len(sizes) != 1 or min(sizes) < 1:
        raise ValueError(
            "The support set needs at least one image, and one label for each. Received: "
            f"{[tuple(t.shape) for t in tf.nest.flatten(support_x)]} images and "
            f"{tuple(support_y.shape)} labels."
        )
    return sizes.pop()


def _check_images(network, images) -> None:
    shape: Any = getattr(network, "input_shape", None)
    one = isinstance(shape, tuple) and isinstance(images, tf.Tensor)
    if one and not any(images.shape[1:].is_compatible_with(s) for s in _fitting(shape[1:])):
        raise ValueError(
            f"The network takes inputs of shape (images, {', '.join(map(str, shape[1:]))}). "
            f"Received: {tuple(images.shape)}."
        )


def _with_rank_of_input(network, images) -> Any:
    """Returns images with as many axes as the network's input. Keras fits them, but not in a trace.

    A trace for images with and without a last axis of 1 knows the number of axes of neither.
    """
    shape = getattr(network, "input_shape", None)
    if not isinstance(shape, tuple) or not isinstance(images, tf.Tensor):
        return images
    more = len(images.shape) - len(shape)
    return images[..., None] if more == -1 else tf.squeeze(images, -1) if more == 1 else images


def _check_finite(support_x, support_y) -> None:
    floats = [t for t in tf.nest.flatten((support_x, support_y)) if t.dtype.is_floating]
    if floats and not all_finite(floats):
        raise ValueError(
            "The support set must contain finite numbers. Received: NaN or infinity. Replace "
            "these values, or leave the examples out."
        )


def _fitting(shape: tuple) -> list[tuple]:
    """Returns the shapes of an example that Keras takes: a last axis of 1 may be left out."""
    return [shape, (*shape, 1), *([shape[:-1]] if shape[-1:] == (1,) else [])]


def places_of(network: keras.Model) -> tuple:
    """Returns the axes of an image's outputs before the classes; each place has a label."""
    shape = getattr(network, "output_shape", None)
    return shape[1:-1] if isinstance(shape, tuple) else ()


def check_labels(labels: np.ndarray, outputs: int, places: tuple = ()) -> None:
    """Raises `ValueError` for labels that the network does not have.

    Args:
        labels: Array of labels.
        outputs: Integer, the number of labels; 0 if any label from 0 is allowed.
        places: Tuple, see `places_of`. Defaults to none.
    """
    if not tf.TensorShape(labels.shape[1:]).is_compatible_with(places):
        place = "place in each " if places else ""
        raise ValueError(
            f"Labels must be one integer for each {place}image, "
            f"(images,{' ' if places else ''}{', '.join(map(str, places))}). "
            f"Received: labels of shape {labels.shape}."
        )
    if labels.dtype.kind not in "iu":
        raise ValueError(f"Labels must be integers. Received: labels of dtype {labels.dtype}.")
    if labels.min() < 0 or (outputs and labels.max() >= outputs):
        allowed = f"in 0 to {outputs - 1}, one for each of the network's outputs"
        raise ValueError(
            f"Labels must be {allowed if outputs else '0 or more'}. "
            f"Received: labels from {labels.min()} to {labels.max()}."
        )
