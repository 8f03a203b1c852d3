"""Images that were read, and of which nothing can be learned."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from keras_reptile.datasets.class_folders import listed

# An eighth of 256: values of 12 bits in 16-bit files reach 15.
DARK = 32


def remarks(images: np.ndarray, classes: Mapping[str, Sequence[Path]]) -> list[str]:
    """What to say of images of one colour, and of classes that are nearly black.

    Args:
        images: uint8 array `(images, height, width, channels)`, class by class.
        classes: The files of the images by the name of their class.

    Example:

    >>> remarks(np.zeros((2, 4, 4, 1), np.uint8), {"a": ["a/1.png", "a/2.png"]})[0][:57]
    '2 of 2 images are of one colour all over: a/1.png, a/2.pn'
    """
    flat = images.reshape(len(images), -1, images.shape[-1])
    flat_colour = (flat == flat[:, :1]).all(axis=(1, 2))
    brightest = flat.max(axis=(1, 2))
    paths = [path for files in classes.values() for path in files]
    blank = [path for path, is_flat in zip(paths, flat_colour, strict=True) if is_flat]
    ends = np.cumsum([len(files) for files in classes.values()])
    starts = ends - [len(files) for files in classes.values()]
    dark = [
        name
        for name, start, end in zip(classes, starts, ends, strict=True)
        if brightest[start:end].max() < DARK and not flat_colour[start:end].all()
    ]
    return [text for text in (_of_blank(blank, len(paths)), _of_dark(dark, len(classes))) if text]


def _of_blank(blank, images) -> str:
    return blank and (
        f"{len(blank)} of {images} images are of one colour all over: {listed(blank)}. Nothing can "
        "be learned of them: remove them. What is transparent shows white, so that white drawings "
        "on it vanish: give them a dark ground."
    )


def _of_dark(dark, classes) -> str:
    return dark and (
        f"All images of {len(dark)} of {classes} classes are darker than 1/8 of white: "
        f"{listed(dark)}. 12-bit values in 16-bit files look so: multiply them by 16."
    )
