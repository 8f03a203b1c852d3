"""Image files as arrays of one size, and folders of them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_reptile.checks import check_positive
from keras_reptile.episodes.shared_memory import empty

SUFFIXES = (".png", ".jpg", ".jpeg")
# How many bad files or classes a message names.
NAMED = 10


def check_image_options(image_size: int, channels: int) -> None:
    """Raises `ValueError` for a size or a number of channels that no image can have here."""
    check_positive("image_size", image_size)
    if channels not in (1, 3):
        raise ValueError(
            f"`channels` must be 1 (grey) or 3 (colour). Received: channels={channels}."
        )


def class_folders(folder: str | os.PathLike) -> dict[str, list[Path]]:
    """The PNG and JPEG files of each folder in a folder, sorted; folders without any are left out.

    Files whose names begin with a dot are not looked at.
    """
    folders = sorted(p for p in Path(folder).iterdir() if p.is_dir() and p.name[0] != ".")
    files = {path.name: _images_in(path) for path in folders}
    return {name: paths for name, paths in files.items() if paths}


def _images_in(folder):
    paths = (p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != ".")
    return sorted(paths)


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


def read_image(path: str | os.PathLike, image_size: int, channels: int = 3) -> np.ndarray:
    """Reads a PNG or JPEG file.

    Args:
        path: String or path.
        image_size: Integer, height and width of the result, see `resized`.
        channels: Integer, 1 for grey (luma), 3 for colour; transparency is dropped. Defaults to
            `3`.

    Returns:
        uint8 array `(image_size, image_size, channels)` in [0, 255].

    Raises:
        ValueError: If the file is not there or is no image; it names the file.
    """
    try:
        with tf.device("CPU:0"):
            content = tf.io.read_file(os.fspath(path))
            image = tf.io.decode_image(content, channels=channels, expand_animations=False)
            return resized(image, image_size).numpy()
    except tf.errors.OpError as error:
        # Without the name of TensorFlow's operation.
        cause = error.message.split("}} ")[-1].strip().splitlines()[0][:200]
        raise ValueError(f"{path} cannot be read as a PNG or JPEG image: {cause}") from None


def read_images(paths: Sequence[Path], image_size: int, channels: int) -> np.ndarray:
    """Reads image files, one thread a core.

    Returns:
        uint8 array `(paths, image_size, image_size, channels)` in [0, 255].

    Raises:
        ValueError: If some cannot be read; it names them.
    """
    images = empty((len(paths), image_size, image_size, channels), np.uint8)

    def read(i):
        try:
            images[i] = read_image(paths[i], image_size, channels)
        except ValueError:
            return str(paths[i])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = [path for path in pool.map(read, range(len(paths))) if path]
    if bad:
        raise ValueError(
            f"{len(bad)} of {len(paths)} images cannot be read as PNG or JPEG: {listed(bad)}. "
            "Mend or remove them."
        )
    return images


def listed(names: Sequence) -> str:
    """The first names, and how many there are beyond them.

    Example:

    >>> listed(range(12))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(map(str, names[:NAMED])) + more
