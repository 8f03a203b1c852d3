"""Reads a folder that has one folder of image files for each class."""

import os
from typing import Any

from absl import logging

from keras_reptile.datasets.class_folders import class_folders, unused
from keras_reptile.datasets.class_split import split_classes
from keras_reptile.datasets.image_decoding import KINDS, shown
from keras_reptile.datasets.image_files import check_image_options, read_images
from keras_reptile.datasets.unusual_images import warnings_of
from keras_reptile.episodes.class_pool import ClassPool, Pools


def load(image_dir: str, image_size: int = 28, channels: int = 1, **split: Any) -> Pools:
    """Reads images from one folder for each class.

    ```
    image_dir/cat/001.png
    image_dir/cat/002.jpg
    image_dir/dog/any-name.jpeg
    ```

    Args:
        image_dir: String. Every folder in it that contains image files is a class of that name.
            Classes may differ in size. A warning names all other contents.
        image_size: Integer, height and width to which images are resized, see
            `resampling.resize_bilinear`. Defaults to `28`.
        channels: Integer, 1 for grey, 3 for colour, see `image_files.read_image`. Defaults to `1`.
        **split: The arguments of `class_split.split_classes`.

    Returns:
        `Pools` of uint8 images `(image_size, image_size, channels)` in [0, 255].

    Raises:
        ValueError: If the folder does not exist or has no classes, images cannot be read (the error
            names them), or an argument is out of range.
    """
    check_image_options(image_size, channels)
    if not image_dir or not os.path.isdir(image_dir):
        raise ValueError(
            f"image_dir={image_dir!r} is not a directory. Give a folder that has a folder of "
            "images for each class."
        )
    classes = class_folders(image_dir)
    others = str(unused(image_dir, classes))
    if not classes:
        raise ValueError(
            f"image_dir={image_dir!r} has no folder with {KINDS} files. "
            f"{f'It has {others}. ' if others else ''}"
            "Give a folder that has a folder of images for each class."
        )
    if others:
        logging.warning("Not used in %s: %s.", shown(image_dir), others)
    paths = [path for files in classes.values() for path in files]
    images = read_images(paths, image_size, channels)
    for warning in warnings_of(images, classes):
        logging.warning("%s", warning)
    pool = ClassPool(images, [len(files) for files in classes.values()], list(classes))
    return split_classes(pool, **split)
