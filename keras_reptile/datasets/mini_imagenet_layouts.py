"""Finds miniImageNet's images in each of the layouts in which the data set circulates."""

import csv
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_reptile.checks import counted
from keras_reptile.datasets.class_folders import class_folders
from keras_reptile.datasets.mini_imagenet_cache import read_cache
from keras_reptile.errors import reason

# The number of classes in Ravi and Larochelle's splits, by TFDS's names of the splits.
CLASSES = {"train": 64, "validation": 16, "test": 20}
IMAGES_PER_CLASS = 600
SHORT_NAMES = {"train": "train", "validation": "val", "test": "test"}
# The names of the columns with an image's file and its class.
HEADERS = (("filename", "label"), ("image_name", "class_name"))
# The WordNet identifiers of the classes of each split.
KNOWN = Path(__file__).with_name("mini_imagenet_classes.json")

INSTRUCTIONS = """\
miniImageNet consists of images of ImageNet, which its licence does not let us pass on. Put it into
the manual directory in one of these layouts; images may be of any size:

1. train/, val/ (or validation/) and test/, each with one folder of 600 images for each class;
2. train.csv, val.csv and test.csv, there or in split/, with the header filename,label or
   class_name,image_name, and the images in images/ or beside it: all in one folder, or in folders
   named after a split, a class, or a split with its classes in it;
3. mini-imagenet-cache-train.pkl, mini-imagenet-cache-val.pkl and mini-imagenet-cache-test.pkl;
4. 100 folders named after the classes (n01532829 and so on), there or in images/.

The split is that of Ravi and Larochelle: 64 training, 16 validation and 20 test classes.
"""


def find_images(folder: str | os.PathLike) -> dict[str, list[tuple[Any, str]]]:
    """Finds every image of each split with its class.

    Args:
        folder: String or path, the manual directory of `INSTRUCTIONS`.

    Returns:
        Dict with the keys `"train"`, `"validation"` and `"test"`, of lists of (image, label)
        sorted by label. An image is a path, or uint8 `(height, width, 3)` from a pickle.

    Raises:
        ValueError: If a split, a file or a class is missing, a class has another number of images
            than 600, an image is listed twice, or a class is in two splits. The error names the
            file or folder.
    """
    folder = Path(folder)
    find = _layout(folder)
    found = {split: list(find(folder, split)) for split in CLASSES}
    for split, images in found.items():
        _check_split(folder, split, Counter(label for _, label in images))
    _check_disjoint(folder, found)
    return found


def _layout(folder):
    """Returns the function that finds the images of a split."""
    if any(_split_folder(folder, split) for split in CLASSES):
        return _from_folders
    if any(_csv(folder, split).exists() for split in CLASSES):
        return _from_csv
    if any(_cache(folder, split).exists() for split in CLASSES):
        return _from_cache
    return _from_known_names if _known_folders(folder) else _from_folders


def _csv(folder, split):
    name = f"{SHORT_NAMES[split]}.csv"
    return next((p for p in (folder / name, folder / "split" / name) if p.exists()), folder / name)


def _cache(folder, split):
    return folder / f"mini-imagenet-cache-{SHORT_NAMES[split]}.pkl"


def _split_folder(folder, split) -> dict[str, list[Path]]:
    """Returns the class folders in a split's folder, or an empty dict."""
    names = (folder / name for name in (split, SHORT_NAMES[split]))
    return next((found for path in names if path.is_dir() and (found := class_folders(path))), {})


def _from_folders(folder: Path, split: str) -> list[tuple[Path, str]]:
    folders = _split_folder(folder, split)
    if not folders:
        raise ValueError(
            f"miniImageNet's {split} images are missing: {folder / SHORT_NAMES[split]} does not "
            f"exist or has no class folders, and {_csv(folder, split)} does not exist. "
            f"{INSTRUCTIONS}"
        )
    return _listed(folders)


def _listed(folders):
    return [(path, label) for label, paths in folders.items() for path in paths]


def _from_cache(folder: Path, split: str) -> list[tuple[Any, str]]:
    path = _cache(folder, split)
    if not path.exists():
        raise ValueError(f"miniImageNet's {split} images are missing: {path} does not exist.")
    return read_cache(path)


def _known_folders(folder) -> dict[str, list[Path]]:
    """Returns the folders whose names are classes of miniImageNet, or an empty dict."""
    known = {name for names in json.loads(KNOWN.read_text()).values() for name in names}
    for parent in (folder, folder / "images"):
        folders = class_folders(parent) if parent.is_dir() else {}
        if known & set(folders):
            return {name: paths for name, paths in folders.items() if name in known}
    return {}


def _from_known_names(folder: Path, split: str) -> list[tuple[Path, str]]:
    names = json.loads(KNOWN.read_text())[split]
    return _listed({k: paths for k, paths in _known_folders(folder).items() if k in names})


def _from_csv(folder: Path, split: str) -> list[tuple[Path, str]]:
    path = _csv(folder, split)
    if not path.exists():
        raise ValueError(f"miniImageNet's {split} images are missing: {path} does not exist.")
    rows = [(_locate(folder, path, split, *row), row[1]) for row in _rows(path)]
    twice = [
        str(image) for image, times in Counter(image for image, _ in rows).items() if times > 1
    ]
    if twice:
        raise ValueError(
            f"{path} must list each image once. Received: {counted(len(twice), 'image')} more than "
            f"once, the first {twice[0]}."
        )
    return sorted(rows, key=lambda pair: pair[::-1])


def _rows(path) -> Iterator[tuple[str, str]]:
    """Yields the file and the class of each row."""
    try:
        yield from _read_rows(path)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path} cannot be read: {reason(error)}. Save it as a CSV file in UTF-8."
        ) from None


def _read_rows(path) -> Iterator[tuple[str, str]]:
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        columns = [(name or "").strip() for name in rows.fieldnames or ()]
        rows.fieldnames = columns
        header = next((names for names in HEADERS if set(names) <= set(columns)), None)
        if header is None:
            raise ValueError(
                f"{path} must have the header filename,label or class_name,image_name. "
                f"Received: {columns}."
            )
        for row in rows:
            yield row[header[0]], row[header[1]]


def _locate(folder: Path, path: Path, split: str, filename: str, label: str) -> Path:
    """Returns the file of a row: in images/ or beside it, or in a folder of the split or class."""
    if not filename or not label:
        raise ValueError(f"{path} has a row without a filename or a label: {filename},{label}.")
    splits = dict.fromkeys((split, SHORT_NAMES[split]))
    inner = ("", label, *splits, *(f"{name}/{label}" for name in splits))
    for parent in (folder / above / name for above in ("images", "") for name in inner):
        if (parent / filename).is_file():
            return parent / filename
    raise ValueError(
        f"{path} lists {filename} with the label {label}. This file is not in {folder}/images, "
        f"not in {folder}, and not in their folders {label}, {' or '.join(splits)}."
    )


def _check_split(folder: Path, split: str, counts: Counter) -> None:
    if len(counts) != CLASSES[split]:
        raise ValueError(
            f"miniImageNet's {split} split must have {CLASSES[split]} classes. Received: "
            f"{counted(len(counts), 'class', 'classes')} with images for it in {folder}."
        )
    for label, count in counts.items():
        if count != IMAGES_PER_CLASS:
            raise ValueError(
                f"miniImageNet must have {IMAGES_PER_CLASS} images of each class. Received: "
                f"{count} of the class {label} in the {split} split in {folder}."
            )


def _check_disjoint(folder: Path, found: dict) -> None:
    labels = Counter(label for images in found.values() for label in {name for _, name in images})
    for label, splits in labels.items():
        if splits > 1:
            raise ValueError(
                f"A class must be in one split only. Received: the class {label} in {splits} "
                f"splits of {folder}."
            )
