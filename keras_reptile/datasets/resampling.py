"""Images of one size out of images of any."""

import numpy as np
import tensorflow as tf

RESAMPLINGS = ("bilinear", "nearest")


def squeezed(image: np.ndarray, image_size: int, resampling: str = "bilinear") -> np.ndarray:
    """An image squeezed into a square.

    Args:
        image: uint8 `(height, width, channels)` in [0, 255]. One of the right size already is
            returned as it is.
        image_size: Integer, height and width of the result.
        resampling: String, `"bilinear"`, see `resized`, or `"nearest"`, see `nearest_rows`.
            Defaults to `"bilinear"`.

    Returns:
        uint8 `(image_size, image_size, channels)` in [0, 255].
    """
    if resampling == "nearest":
        rows, columns = (nearest_rows(size, image_size) for size in image.shape[:2])
        return image[rows][:, columns]
    with tf.device("CPU:0"):
        return np.asarray(resized(image, image_size))


def resized(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """An image squeezed into a square: bilinear, with antialiasing, and rounded to whole numbers.

    Args:
        image: uint8 `(height, width, channels)` in [0, 255]. One of the right size already is
            returned as it is.
        image_size: Integer, height and width of the result.

    Returns:
        uint8 `(image_size, image_size, channels)` in [0, 255].

    Example:

    >>> resized(tf.constant([[[0], [100]], [[100], [200]]], tf.uint8), 1).numpy().tolist()
    [[[100]]]
    """
    if tf.executing_eagerly() and image.shape[:2] == (image_size, image_size):
        return image
    size = (image_size, image_size)
    floats = tf.image.resize(image, size, method="bilinear", antialias=True)
    changed = tf.saturate_cast(tf.round(floats), tf.uint8)
    if tf.executing_eagerly():
        return changed
    same = tf.reduce_all(tf.equal(tf.shape(image)[:2], size))
    return tf.ensure_shape(tf.cond(same, lambda: image, lambda: changed), (*size, None))


def nearest_rows(size: int, reduced: int) -> np.ndarray:
    """The rows that nearest-neighbour reduction keeps: floor((i + 1/2) * size / reduced).

    Example:

    >>> nearest_rows(105, 28)[:4].tolist()
    [1, 5, 9, 13]
    """
    return np.floor((np.arange(reduced) + 0.5) * size / reduced).astype(np.int64)
