"""Reads a folder that has one folder of image files for each class."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging

from keras_reptile.checks import shown
from keras_reptile.datasets.class_folders import (
    check_own_folders,
    class_folders,
    listed,
    unused,
)
from keras_reptile.datasets.class_split import Part, divide, large_enough
from keras_reptile.datasets.image_cache import read_classes
from keras_reptile.datasets.image_decoding import KINDS
from keras_reptile.datasets.image_files import check_image_options
from keras_reptile.datasets.own_split import (
    as_given,
    check_disjoint,
    check_no_choice,
    split_folders,
)
from keras_reptile.datasets.unusual_images import warnings_of
from keras_reptile.episodes.class_pool import ClassPool, Pools, UnreadPool

Classes = Mapping[str, Sequence[Path]]


def load(
    image_dir: str,
    image_size: int = 28,
    channels: int = 1,
    parts: Sequence[str] = Pools._fields,
    **split: Any,
) -> Pools:
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
        parts: Sequence of strings, the splits whose images are read. The pools of other splits have
            names and sizes only. Defaults to `("train", "validation", "test")`, all.
        **split: The arguments of `class_split.split_classes`.

    Returns:
        `Pools` of uint8 images `(image_size, image_size, channels)` in [0, 255].

    Raises:
        ValueError: If the folder does not exist or has no classes, images cannot be read (the error
            names them), or an argument is out of range.
    """
    check_image_options(image_size, channels)
    _check_parts(parts)
    if not isinstance(image_dir, str | os.PathLike) or not os.path.isdir(image_dir):
        raise ValueError(
            f"image_dir={image_dir!r} is not a directory. Give a folder that has a folder of "
            "images for each class."
        )
    if folders := split_folders(image_dir):
        classes, divided = _of_splits(image_dir, folders, **split)
    else:
        classes = _classes(image_dir)
        divided = divide(list(classes), [len(files) for files in classes.values()], **split)
    return _read(classes, divided, tuple(dict.fromkeys(parts)), image_size, channels)


def _check_parts(parts: Sequence[str]) -> None:
    if not isinstance(parts, list | tuple) or any(part not in Pools._fields for part in parts):
        raise ValueError(
            f"`parts` must be a list of some of {list(Pools._fields)}. Received: parts={parts!r}."
        )


def _of_splits(
    image_dir,
    folders,
    validation_classes=0,
    test_classes=None,
    split_seed=0,
    split_dir=None,
    **images,
) -> tuple[Classes, list[Part]]:
    """Returns the classes in the splits' folders; `images` are the numbers that a class needs."""
    check_no_choice(validation_classes, test_classes, split_seed)
    if split_dir:
        parts = ", ".join(path.name for path in folders.values())
        raise ValueError(
            f"The folders {parts} in image_dir={image_dir!r} decide the splits. Received with it: "
            f"{as_given(split_dir)}. Leave it out (--published_split= where a recipe sets it), or "
            "give a folder of class folders."
        )
    check_disjoint({split: list(class_folders(path)) for split, path in folders.items()})
    used = {path.name for path in folders.values()}
    others = sorted(n for n in os.listdir(image_dir) if n not in used and n[0] != ".")
    if others:
        logging.warning("Not used in %s: %s.", shown(image_dir), listed(others))
    of_split = {split: _classes(str(path)) for split, path in folders.items()}
    classes = {name: files for each in of_split.values() for name, files in each.items()}
    position = {name: i for i, name in enumerate(classes)}
    chosen = [[position[name] for name in of_split.get(split, ())] for split in Pools._fields]
    counts = [len(files) for files in classes.values()]
    return classes, large_enough(list(classes), counts, chosen, **images)


def _classes(image_dir: str) -> Classes:
    """Returns the files of all class folders in a folder, and warns of its other contents."""
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
    return classes


def _read(
    classes: Classes, divided: list[Part], parts: tuple, image_size: int, channels: int
) -> Pools:
    """Reads the images of the classes of some splits."""
    names, of_part = list(classes), dict(zip(Pools._fields, divided, strict=True))
    chosen = [names[p] for part in parts for p in of_part[part].positions]
    if len(parts) == len(Pools._fields):
        # The small classes too, so that the cache holds all.
        chosen += [name for part in divided for name in part.left_out]
    # Those that no split names are never read.
    known = {name for part in divided for name in (*map(names.__getitem__, part[0]), *part[1])}
    kept = {name: files for name, files in classes.items() if name in known}
    check_own_folders(kept)
    images = read_classes(kept, chosen, image_size, channels)
    for warning in warnings_of(images, {name: classes[name] for name in chosen}):
        logging.warning("%s", warning)
    return _pools(images, parts, of_part, classes, (image_size, image_size, channels))


def _pools(
    images: np.ndarray,
    parts: Sequence[str],
    divided: Mapping[str, Part],
    classes: Classes,
    image_shape: tuple[int, ...],
) -> Pools:
    """Returns pools of consecutive slices of `images`, and an `UnreadPool` for each other split."""
    pools: dict[str, ClassPool] = {}
    all_names, start = list(classes), 0
    for part in (*parts, *Pools._fields):
        if part in pools:
            continue
        names = [all_names[p] for p in divided[part].positions]
        counts = [len(classes[name]) for name in names]
        if part in parts:
            pools[part] = ClassPool(images[start : start + sum(counts)], counts, names)
            start += sum(counts)
        else:
            pools[part] = UnreadPool(image_shape, counts, names)
        pools[part].left_out = divided[part].left_out
    return Pools(**pools)
