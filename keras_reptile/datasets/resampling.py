"""Resizes images to squares of one size."""

import numpy as np
import tensorflow as tf

RESAMPLINGS = ("bilinear", "nearest")


def resize_to_square(
    image: np.ndarray, image_size: int, resampling: str = "bilinear"
) -> np.ndarray:
    """Resizes an image to a square, without regard to its aspect ratio.

    Args:
        image: uint8 `(height, width, channels)` in [0, 255]. An image that already has the size is
            returned unchanged.
        image_size: Integer, height and width of the result.
        resampling: String, `"bilinear"`, see `resize_bilinear`, or `"nearest"`, see
            `nearest_rows`. Defaults to `"bilinear"`.

    Returns:
        uint8 `(image_size, image_size, channels)` in [0, 255].
    """
    if resampling == "nearest":
        rows, columns = (nearest_rows(size, image_size) for size in image.shape[:2])
        return image[rows][:, columns]
    with tf.device("CPU:0"):
        return np.asarray(resize_bilinear(image, image_size))


def resize_bilinear(image: tf.Tensor, image_size: int) -> tf.Tensor:
    """Resizes an image to a square: bilinear, with antialiasing, and rounded to integers.

    Args:
        image: uint8 `(height, width, channels)` in [0, 255]. An image that already has the size is
            returned unchanged.
        image_size: Integer, height and width of the result.

    Returns:
        uint8 `(image_size, image_size, channels)` in [0, 255].

    Example:

    >>> resize_bilinear(tf.constant([[[0], [100]], [[100], [200]]], tf.uint8), 1).numpy().tolist()
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
    """Returns the rows that nearest-neighbour resampling keeps: floor((i + 1/2) * size / reduced).

    Example:

    >>> nearest_rows(105, 28)[:4].tolist()
    [1, 5, 9, 13]
    """
    return np.floor((np.arange(reduced) + 0.5) * size / reduced).astype(np.int64)
