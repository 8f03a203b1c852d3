"""Checks inside the graph: wrong use of an exported model is an error, not a wrong answer."""

from typing import Any

import tensorflow as tf

from keras_reptile.checks import INT32

# The largest minibatch of an exported inner loop, as in `ReptileModel.adapt`.
INNER_BATCH_SIZE = 10
# The images of all inner steps are counted in int32.
MAX_STEPS = INT32 // INNER_BATCH_SIZE


def check_images(name: str, images: tf.Tensor, least: int = 1) -> tuple:
    """The images, once it is known that they have the shape that their type says, and are enough.

    A signature of a loaded SavedModel does not check shapes, and a network with strides may well
    give some answer for images of another size. Batch statistics need at least one image.
    """
    expected, shape = list(images.shape[1:]), tf.shape(images)
    known = [i for i, size in enumerate(expected) if size is not None]
    sizes = [expected[i] for i in known]
    # Padded, so that too few axes are found out here too.
    received = tf.gather(tf.concat([shape[1:], tf.fill((len(expected),), -1)], 0), known)
    checks = [
        _is(
            tf.reduce_all(tf.equal(received, sizes)),
            f"`{name}` must have the shape (number, {', '.join(map(str, expected))}). Received:",
            shape,
        )
    ]
    if least:
        text = f"`{name}` must hold at least {least} image. Received (shape):"
        checks.append(_is(shape[0] >= least, text, shape))
    return _after(checks, images)


def check_examples(kind: str, images: tf.Tensor, labels: tf.Tensor, classes: int | None) -> tuple:
    """The images and labels, once it is known that they belong together.

    Args:
        kind: String, what the errors call the images.
        images: Tensor `(number, ...)`.
        labels: int64 tensor `(number, ...)` of labels, returned as int32; or targets.
        classes: Integer, the number of labels; `None` where the targets are no labels.
    """
    (images,) = check_images(kind, images)
    numbers = tf.shape(images)[0], tf.shape(labels)[0]
    text = f"`{kind}` must have one label for each image. Received (images, labels):"
    checks = [_is(tf.equal(*numbers), text, *numbers)]
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
    # As in training, whose losses may compare labels with other int32 tensors.
    return images, labels if classes is None else tf.cast(labels, tf.int32)


def check_steps(steps: tf.Tensor, learning_rate: tf.Tensor) -> tuple:
    """The two numbers, once it is known that an inner loop can have them; the steps as int32."""
    fine = tf.math.is_finite(learning_rate) & (learning_rate >= 0)
    checks = [
        _is(steps >= 0, "`steps` must not be negative. Received:", steps),
        _is(steps <= MAX_STEPS, f"`steps` must be at most {MAX_STEPS}. Received:", steps),
        _is(fine, "`learning_rate` must be finite and not negative. Received:", learning_rate),
    ]
    steps, learning_rate = _after(checks, steps, learning_rate)
    return tf.cast(steps, tf.int32), learning_rate


def _is(condition: tf.Tensor, message: str, *received: Any) -> Any:
    return tf.debugging.Assert(condition, [message, *received], summarize=10)


def _after(checks: list, *tensors: tf.Tensor) -> tuple:
    # Without this, another operation may fail first, and less clearly.
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tuple(tf.identity(t) for t in tensors)
