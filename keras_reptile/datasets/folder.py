"""A folder of class folders of PNG and JPEG files."""

import os
from typing import Any

from keras_reptile.datasets.class_split import split_classes
from keras_reptile.datasets.image_files import check_image_options, class_folders, read_images
from keras_reptile.episodes.class_pool import ClassPool, Pools


def load(image_dir: str, image_size: int = 28, channels: int = 1, **split: Any) -> Pools:
    """Anyone's images, one folder for each class.

    ```
    image_dir/cat/001.png
    image_dir/cat/002.jpg
    image_dir/dog/any-name.jpeg
    ```

    Args:
        image_dir: String. Every folder in it that holds PNG or JPEG files is a class, by its
            name; classes may differ in size.
        image_size: Integer, height and width to which images are squeezed, see
            `image_files.resized`. Defaults to `28`.
        channels: Integer, 1 for grey, 3 for colour. Defaults to `1`.
        **split: How many classes validate and test, see `class_split.split_classes`.

    Returns:
        `Pools` of uint8 images `(image_size, image_size, channels)` in [0, 255].

    Raises:
        ValueError: If the folder is not there or holds no classes, images cannot be read (it names
            them), or an argument is out of range.
    """
    check_image_options(image_size, channels)
    if not image_dir or not os.path.isdir(image_dir):
        raise ValueError(
            f"image_dir={image_dir!r} is not a directory. Give a folder that holds a folder of "
            "images for each class."
        )
    folders = class_folders(image_dir)
    if not folders:
        raise ValueError(
            f"image_dir={image_dir!r} holds no folder with PNG or JPEG files. Give a folder that "
            "holds a folder of images for each class."
        )
    paths = [path for files in folders.values() for path in files]
    images = read_images(paths, image_size, channels)
    pool = ClassPool(images, [len(files) for files in folders.values()], list(folders))
    return split_classes(pool, **split)
