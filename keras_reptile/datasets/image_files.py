"""Image files as arrays of one size."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from keras_reptile.checks import check_choice, check_positive
from keras_reptile.datasets.class_folders import listed
from keras_reptile.datasets.image_decoding import UnreadableImage, decoded, shown
from keras_reptile.datasets.resampling import RESAMPLINGS, squeezed
from keras_reptile.episodes.shared_memory import empty


def check_image_options(image_size: int, channels: int) -> None:
    """Raises `ValueError` for a size or a number of channels that no image can have here."""
    check_positive("image_size", image_size)
    if channels not in (1, 3):
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
    """Reads an image file as a run on a folder of images does.

    The file may be a PNG, JPEG, GIF, WebP, BMP, TIFF or PPM file; of several images in it the
    first is read. It is turned upright as its EXIF data say, what is transparent shows white, of
    16 bits the upper 8 are kept, and the whole image is squeezed into a square.

    Args:
        path: String or path.
        image_size: Integer, height and width of the result. Defaults to `28`.
        channels: Integer, 1 for grey (luma), 3 for colour. Defaults to `1`.
        resampling: String, `"bilinear"` with antialiasing and rounded, or `"nearest"`, as
            Omniglot's images are reduced. Defaults to `"bilinear"`.
        scale: Boolean, whether values are divided by 255, as the network takes them. Defaults to
            `True`.

    Returns:
        float32 array `(image_size, image_size, channels)` in [0, 1]; without `scale` uint8 in
        [0, 255].

    Raises:
        ValueError: If the file is not there or is no image, it names the file; or if an argument
            is out of range.

    Example:

    >>> path = __import__("tempfile").mkdtemp() + "/white.png"
    >>> keras.utils.save_img(path, np.full((40, 30, 1), 255), scale=False)
    >>> image = read_image(path, image_size=28, channels=1)
    >>> image.shape, float(image.min())
    ((28, 28, 1), 1.0)
    """
    check_image_options(image_size, channels)
    check_choice("resampling", resampling, RESAMPLINGS)
    pixels = squeezed(decoded(path, channels), image_size, resampling)
    # As `episode_format.scaled` does, to the last bit.
    return pixels * np.float32(1 / 255) if scale else pixels


def read_images(paths: Sequence[Path], image_size: int, channels: int) -> np.ndarray:
    """Reads image files, one thread a core.

    Returns:
        uint8 array `(paths, image_size, image_size, channels)` in [0, 255].

    Raises:
        ValueError: If some cannot be read; it names them and says why.
    """
    images = empty((len(paths), image_size, image_size, channels), np.uint8)

    def read(i):
        try:
            images[i] = read_image(paths[i], image_size, channels, scale=False)
        except UnreadableImage as error:
            return f"{shown(paths[i])} ({error.why})"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        bad = [line for line in pool.map(read, range(len(paths))) if line]
    if bad:
        raise ValueError(
            f"{len(bad)} of {len(paths)} images cannot be read: {listed(bad)}. Mend or remove them."
        )
    return images
