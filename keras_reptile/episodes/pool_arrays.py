"""Checks and conversions of the arrays that a `ClassPool` is made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from keras_reptile.checks import counted
from keras_reptile.episodes.array_checks import check_array


def as_array(name: str, values: Any) -> np.ndarray:
    check_array(name, values)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`{name}` must be an array. Received: {type(values).__name__}: {error}"
        ) from None
    check_array(name, array)
    return array


def as_tuple(name: str, values: Any) -> tuple:
    try:
        return tuple(values)
    except TypeError:
        raise ValueError(f"`{name}` must be a sequence. Received: {name}={values!r}.") from None


def as_groups(groups: Sequence | None, classes: int) -> tuple | None:
    if groups is None:
        return None
    groups = as_tuple("groups", groups)
    if len(groups) != classes:
        raise ValueError(
            f"`groups` must be one group for each class. Received: "
            f"{counted(len(groups), 'group')}, with {counted(classes, 'class', 'classes')}."
        )
    for position, group in enumerate(groups):
        try:
            hash(group)
        except TypeError:
            raise ValueError(
                f"`groups` must be names, such as strings. Received: {type(group).__name__} for "
                f"class {position}. Use strings, integers, or tuples of them."
            ) from None
    return groups


def as_images(images: Any) -> np.ndarray:
    array = as_array("images", images)
    if not array.ndim or array.dtype.kind in "OSUMm":
        raise ValueError(
            "`images` must be an array of numbers, `(images, ...)`. Received: shape "
            f"{array.shape}, dtype {array.dtype}."
        )
    return array


def is_finite(images: np.ndarray) -> bool:
    """Returns whether all values are finite. It makes no copy: minimum and maximum show any NaN."""
    can_hold_nan = images.dtype.kind in "fc" or images.dtype == tf.bfloat16.as_numpy_dtype
    return not (can_hold_nan and images.size) or bool(
        np.isfinite(images.min()) and np.isfinite(images.max())
    )


def check_labels(labels: np.ndarray, images: np.ndarray) -> None:
    if labels.ndim != 1 or len(labels) != len(images) or not len(labels):
        raise ValueError(
            "`labels` must be one label for each image. Received: images of shape "
            f"{images.shape} and labels of shape {labels.shape}.{_of_one_axis(labels)}"
        )
    # Floats are refused: NaN cannot be sorted.
    of_objects = labels.dtype == object and len({type(label) for label in labels}) == 1
    if labels.dtype.kind not in "biuSU" and not (
        of_objects and isinstance(labels[0], str | bytes | int)
    ):
        raise ValueError(
            f"`labels` must be integers or strings. Received: dtype {labels.dtype}. Convert them, "
            "for example with `labels.astype(int)`."
        )


def _of_one_axis(labels) -> str:
    if labels.ndim != 2:
        return ""
    if labels.shape[1] == 1:
        return " Leave out the last axis: `labels[:, 0]`."
    return " Of one-hot labels give `labels.argmax(axis=1)`."


def as_counts(counts: Any) -> np.ndarray:
    array = as_array("counts", counts)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(
            "`counts` must be integers, one for each class. Received: shape "
            f"{array.shape}, dtype {array.dtype}."
        )
    return array.astype(np.int64)
