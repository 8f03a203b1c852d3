"""Warns of images from which nothing can be learned, and of copies."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_reptile.checks import shown
from keras_reptile.datasets.class_folders import listed

# An eighth of 256. Values of 12 bits in 16-bit files reach 15 of 255.
DARK = 32
# The number of images in a block.
AT_ONCE = 256


def warnings_of(images: np.ndarray, classes: Mapping[str, Sequence[Path]]) -> list[str]:
    """Returns warnings of images of a single colour, of nearly black classes, and of copies.

    Args:
        images: uint8 array `(images, height, width, channels)`, class by class.
        classes: The files of the images by the name of their class.

    Example:

    >>> warnings_of(np.zeros((2, 4, 4, 1), np.uint8), {"a": ["a/1.png", "a/2.png"]})[0][:52]
    '2 of 2 images have a single colour: a/1.png, a/2.png'
    """
    if not len(images):
        return []
    one_colour, brightest = _one_colour_and_brightest(images)
    paths = [path for files in classes.values() for path in files]
    blank = sorted(path for path, is_blank in zip(paths, one_colour, strict=True) if is_blank)
    ends = np.cumsum([len(files) for files in classes.values()])
    starts = ends - [len(files) for files in classes.values()]
    dark = sorted(
        name
        for name, start, end in zip(classes, starts, ends, strict=True)
        if brightest[start:end].max() < DARK and not one_colour[start:end].all()
    )
    copies = sorted(
        f"{shown(paths[i])} of {shown(paths[first])}"
        for i, first in copies_of(images).items()
        if not one_colour[i]
    )
    texts = (
        _of_blank(blank, len(paths)),
        _of_dark(dark, len(classes)),
        _of_copies(copies, len(paths)),
    )
    return [text for text in texts if text]


def copies_of(images: np.ndarray) -> dict[int, int]:
    """Returns the positions of images that are equal to an earlier one, with its position.

    Example:

    >>> copies_of(np.array([[1, 2], [3, 4], [1, 2]], np.uint8))
    {2: 0}
    """
    with_checksum: dict[int, list[int]] = {}
    copies = {}
    for i, image in enumerate(images):
        # Equal checksums are rare, so that few pixels are compared.
        earlier = with_checksum.setdefault(zlib.crc32(image), [])
        equal = next((first for first in earlier if np.array_equal(image, images[first])), None)
        if equal is None:
            earlier.append(i)
        else:
            copies[i] = equal
    return copies


def _one_colour_and_brightest(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns for each image whether it has a single colour, and its largest value."""
    result = []
    # In blocks: the comparison of all pixels at once would take as much memory as the images.
    for start in range(0, len(images), AT_ONCE):
        some = images[start : start + AT_ONCE]
        pixels = some.reshape(len(some), -1, some.shape[-1])
        result.append(((pixels == pixels[:, :1]).all(axis=(1, 2)), pixels.max(axis=(1, 2))))
    one_colour, brightest = zip(*result, strict=True)
    return np.concatenate(one_colour), np.concatenate(brightest)


def _of_blank(blank, images) -> str:
    return blank and (
        f"{len(blank)} of {images} images have a single colour: {listed(blank)}. Nothing can be "
        "learned from them. Remove them. Transparent pixels become white, so white drawings on a "
        "transparent background vanish: give these a dark background."
    )


def _of_dark(dark, classes) -> str:
    return dark and (
        f"All images of {len(dark)} of {classes} classes are darker than 1/8 of white: "
        f"{listed(dark)}. If their files hold 12-bit values in 16 bits, multiply these by 16."
    )


def _of_copies(copies, images) -> str:
    return copies and (
        f"{len(copies)} of {images} images have the pixels of another: {listed(copies)}. A query "
        "that is a copy of a support image is no test, and copies in two classes have two labels. "
        "Remove them."
    )
