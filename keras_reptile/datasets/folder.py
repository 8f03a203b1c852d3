"""Reads a folder that has one folder of image files for each class."""

import os
from typing import Any

from absl import logging

from keras_reptile.datasets.class_folders import class_folders, listed, unused
from keras_reptile.datasets.class_split import large_enough, split_classes
from keras_reptile.datasets.image_decoding import KINDS, shown
from keras_reptile.datasets.image_files import check_image_options, read_images
from keras_reptile.datasets.own_split import check_disjoint, check_no_choice, split_folders
from keras_reptile.datasets.unusual_images import warnings_of
from keras_reptile.episodes.class_pool import ClassPool, Pools


def load(image_dir: str, image_size: int = 28, channels: int = 1, **split: Any) -> Pools:
    """Reads images from one folder for each class.

    ```
    image_dir/cat/001.png
    image_dir/cat/002.jpg
    image_dir/dog/any-name.jpeg
    ```

    The class folders may lie in a folder for each split: `image_dir/train/cat/001.png`,
    `image_dir/val/...` and `image_dir/test/...`. These folders then decide the splits.

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
    if folders := split_folders(image_dir):
        return _of_splits(image_dir, folders, image_size, channels, **split)
    return split_classes(_read(image_dir, image_size, channels), **split)


def _of_splits(
    image_dir,
    folders,
    image_size,
    channels,
    validation_classes=0,
    test_classes=None,
    split_seed=0,
    split_dir=None,
    **images,
) -> Pools:
    """Returns the pools of the splits' folders; `images` are the numbers that a class needs."""
    check_no_choice(validation_classes, test_classes, split_seed)
    if split_dir:
        raise ValueError(
            f"The folders in image_dir={image_dir!r} decide the splits. Received with it: "
            f"split_dir={split_dir!r}. Leave it out."
        )
    check_disjoint({split: list(class_folders(path)) for split, path in folders.items()})
    others = sorted(set(os.listdir(image_dir)) - {path.name for path in folders.values()})
    if others:
        logging.warning("Not used in %s: %s.", shown(image_dir), listed(others))
    read = {split: _read(str(path), image_size, channels) for split, path in folders.items()}
    nothing = read["train"].subset([])
    return large_enough(Pools(*(read.get(split, nothing) for split in Pools._fields)), **images)


def _read(image_dir: str, image_size: int, channels: int) -> ClassPool:
    """Returns the images of all class folders in a folder."""
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
    return ClassPool(images, [len(files) for files in classes.values()], list(classes))
