"""Checks inside the graph, so that invalid arguments of an exported model are errors."""

from typing import Any

import tensorflow as tf

from keras_reptile.algorithm.prediction import all_finite
from keras_reptile.checks import INT32
from keras_reptile.episodes.sampling import INNER_BATCH_SIZE

# The images of all inner steps are counted in int32.
MAX_STEPS = INT32 // INNER_BATCH_SIZE


def check_images(name: str, images: tf.Tensor, least: int = 1, most: float | None = None) -> tuple:
    """Returns the images after a check of their shape, number and values.

    A signature of a loaded SavedModel does not check shapes. A network with strides can return
    logits for images of another size, or for NaN. Batch statistics need at least one image.

    Args:
        name: String, the name of the images in errors.
        images: Tensor `(number, ...)`.
        least: Integer, the smallest number of images. Defaults to `1`.
        most: Float, the largest valid pixel value. Defaults to `None`, no limit.
    """
    # This check comes first: the others reduce the expected axes, and fail for another number.
    (images,) = _after([_of_shape(name, images)], images)
    shape, checks = tf.shape(images), _finite(name, images)
    if least:
        text = f"`{name}` must hold at least {least} image. Received (shape):"
        checks.append(_is(shape[0] >= least, text, shape))
    if most is not None:
        largest = tf.reduce_max(images)
        text = (
            f"`{name}` must not exceed {most:.5g}: the model was trained on scaled bytes. Give "
            "uint8, or bytes times the byte_scale in metadata.json. Received, as the largest value:"
        )
        checks.append(_is(largest <= tf.cast(most, images.dtype), text, largest))
    return _after(checks, images)


def check_examples(
    kind: str,
    images: tf.Tensor,
    labels: tf.Tensor,
    classes: int | None,
    most: float | None = None,
) -> tuple:
    """Returns the images and labels after a check that they fit together.

    Args:
        kind: String, the name of the images in errors.
        images: Tensor `(number, ...)`.
        labels: int64 tensor `(number, ...)` of labels, which are returned as int32, or targets.
        classes: Integer, the number of classes, or `None` if the targets are not labels.
        most: See `check_images`.
    """
    (images,) = check_images(kind, images, most=most)
    # A loss would broadcast targets of another shape over all pairs of examples.
    (labels,) = _after([_of_shape("labels", labels)], labels)
    numbers = tf.shape(images)[0], tf.shape(labels)[0]
    text = f"`{kind}` must have one label for each image. Received (images, labels):"
    checks = [_is(tf.equal(*numbers), text, *numbers), *_finite("labels", labels)]
    if classes is not None:
        checks.append(
            _is(
                tf.reduce_all((labels >= 0) & (labels < classes)),
                f"Labels must be in 0 to {classes - 1}, one for each of the network's outputs. "
                "Received:",
                labels,
            )
        )
    images, labels = _after(checks, images, labels)
    # As in training: losses may compare labels with other int32 tensors.
    return images, labels if classes is None else tf.cast(labels, tf.int32)


def check_steps(steps: tf.Tensor, learning_rate: tf.Tensor) -> tuple:
    """Returns the steps as int32 and the learning rate, after a check of their ranges."""
    fine = tf.math.is_finite(learning_rate) & (learning_rate >= 0)
    checks = [
        _is(steps >= 0, "`steps` must not be negative. Received:", steps),
        _is(steps <= MAX_STEPS, f"`steps` must be at most {MAX_STEPS}. Received:", steps),
        _is(fine, "`learning_rate` must be finite and not negative. Received:", learning_rate),
    ]
    steps, learning_rate = _after(checks, steps, learning_rate)
    return tf.cast(steps, tf.int32), learning_rate


def check_weights(weights: list) -> tuple:
    """Returns adapted weights after a check that they are finite. Logits do not always show NaN."""
    text = "`weights` must be finite. Received NaN or infinity. Use a lower `learning_rate`."
    return _after([_is(all_finite(weights), text)], *weights)


def _of_shape(name: str, values: tf.Tensor) -> Any:
    """Returns the check that values have the axes, and the known sizes, of their static shape."""
    expected, shape = list(values.shape[1:]), tf.shape(values)
    known = [i for i, size in enumerate(expected) if size is not None]
    # Too few axes end in the padding too early, and too many too late.
    padded = tf.concat([shape[1:], tf.fill((len(expected) + 1,), -1)], 0)
    sizes = [*(expected[i] for i in known), -1]
    axes = ", ".join(["number", *map(str, expected)]) + ("" if expected else ",")
    return _is(
        tf.reduce_all(tf.equal(tf.gather(padded, [*known, len(expected)]), sizes)),
        f"`{name}` must have the shape ({axes}). Received:",
        shape,
    )


def _finite(name: str, values: tf.Tensor) -> list:
    if not values.dtype.is_floating:
        return []
    finite = tf.reduce_all(tf.math.is_finite(values))
    return [_is(finite, f"`{name}` must be finite numbers. Received NaN or infinity.")]


def _is(condition: tf.Tensor, message: str, *received: Any) -> Any:
    return tf.debugging.Assert(condition, [message, *received], summarize=10)


def _after(checks: list, *tensors: tf.Tensor) -> tuple:
    # Without this, another operation could fail first, with a less clear error.
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tuple(tf.identity(t) for t in tensors)
