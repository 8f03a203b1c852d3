"""Reads image files as arrays of one size."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_reptile.checks import check_boolean, check_choice, check_positive, shown
from keras_reptile.datasets.class_folders import listed
from keras_reptile.datasets.image_decoding import UnreadableImage, decoded
from keras_reptile.datasets.resampling import RESAMPLINGS, resize_to_square
from keras_reptile.episodes.shared_memory import empty


def check_image_options(image_size: int, channels: int) -> None:
    """Raises `ValueError` unless the size is positive and the number of channels 1 or 3."""
    check_positive("image_size", image_size)
    if isinstance(channels, bool | float) or channels not in (1, 3):
        raise ValueError(
            f"`channels` must be 1 (grey) or 3 (colour). Received: channels={channels}."
        )


def read_image(
    path: str | os.PathLike,
    image_size: int = 28,
    channels: int = 1,
    *,
    resampling: str = "bilinear",
    scale: bool = True,
) -> np.ndarray:
    """Reads an image file in the same way as a run on a folder of images.

    The file may be a PNG, JPEG, GIF, WebP, BMP, TIFF or PPM file. If it contains several images,
    the first is read. The image is rotated as its EXIF data say. Transparent pixels become white.
    Of 16 bits the upper 8 are kept. The image is resized to a square without regard to its aspect
    ratio.

    Args:
        path: String or path.
        image_size: Integer, height and width of the result. Defaults to `28`.
        channels: Integer, 1 for grey (luma), 3 for colour. Defaults to `1`.
        resampling: String. `"bilinear"`: with antialiasing, rounded to integers. `"nearest"`: the
            nearest neighbour, as for Omniglot. Defaults to `"bilinear"`.
        scale: Boolean, whether values are divided by 255, to the range that the network takes.
            Defaults to `True`.

    Returns:
        float32 array `(image_size, image_size, channels)` in [0, 1]. With `scale=False`, uint8 in
        [0, 255].

    Raises:
        ValueError: If the file does not exist or is not an image, or an argument is out of range.
            The error names the file.

    Example:

    >>> path = __import__("tempfile").mkdtemp() + "/white.png"
    >>> keras.utils.save_img(path, np.full((40, 30, 1), 255), scale=False)
    >>> image = read_image(path, image_size=28, channels=1)
    >>> image.shape, float(image.min())
    ((28, 28, 1), 1.0)
    """
    check_image_options(image_size, channels)
    check_choice("resampling", resampling, RESAMPLINGS)
    check_boolean("scale", scale)
    pixels = resize_to_square(decoded(path, channels), image_size, resampling)
    # A product by the float32 factor: bit for bit the numbers of `network_inputs.as_taken`.
    return pixels * np.float32(1 / 255) if scale else pixels


def read_images(paths: Sequence[Path], image_size: int, channels: int) -> np.ndarray:
    """Reads image files, with one thread for each core.

    Returns:
        uint8 array `(paths, image_size, image_size, channels)` in [0, 255].

    Raises:
        ValueError: If files cannot be read. The error names them and gives the reasons.
    """
    images = empty((len(paths), image_size, image_size, channels), np.uint8)

    def read(i):
        try:
            images[i] = read_image(paths[i], image_size, channels, scale=False)
        except UnreadableImage as error:
            return f"{shown(paths[i])} ({error.why})"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = sorted(filter(None, pool.map(read, range(len(paths)))))
    if bad:
        raise ValueError(
            f"{len(bad)} of {len(paths)} images cannot be read: {listed(bad)}. Replace or remove "
            "them."
        )
    return images
