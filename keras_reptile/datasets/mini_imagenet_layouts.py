"""Where miniImageNet's images lie: the layouts in which it is passed around."""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from keras_reptile.datasets.class_folders import class_folders

# Ravi and Larochelle's split, by TFDS's names of its parts.
CLASSES = {"train": 64, "validation": 16, "test": 20}
IMAGES_PER_CLASS = 600
SHORT_NAMES = {"train": "train", "validation": "val", "test": "test"}

INSTRUCTIONS = """\
miniImageNet consists of images of ImageNet, which its licence does not let us pass on. Put it into
the manual directory in one of these layouts; images may be PNG or JPEG, of any size:

1. train/, val/ (or validation/) and test/, each with one folder of 600 images for each class;
2. train.csv, val.csv and test.csv, with the header filename,label, and the folder images/ with all
   images in it;
3. the same three files, and the images in folders in images/, each named after a split, a class, or
   a split with its classes in it.

The split is that of Ravi and Larochelle: 64 training, 16 validation and 20 test classes.
"""


def find_images(folder: str | os.PathLike) -> dict[str, list[tuple[Path, str]]]:
    """Every image of each split with its class, class by class.

    Args:
        folder: String or path, the folder that `INSTRUCTIONS` tells to fill.

    Returns:
        Dict of lists of (path, label), both sorted, by `"train"`, `"validation"` and `"test"`.

    Raises:
        ValueError: If a split, a file or a class is missing or too small, or a class is in two
            splits; it names the file or folder.
    """
    folder = Path(folder)
    in_files = any(_csv(folder, split).exists() for split in CLASSES)
    find = _from_csv if in_files else _from_folders
    found = {split: sorted(find(folder, split), key=lambda pair: pair[::-1]) for split in CLASSES}
    for split, images in found.items():
        _check_split(folder, split, Counter(label for _, label in images))
    _check_disjoint(folder, found)
    return found


def _csv(folder, split):
    return folder / f"{SHORT_NAMES[split]}.csv"


def _from_folders(folder: Path, split: str) -> list[tuple[Path, str]]:
    for name in (split, SHORT_NAMES[split]):
        if (folder / name).is_dir():
            folders = class_folders(folder / name)
            return [(path, label) for label, paths in folders.items() for path in paths]
    raise ValueError(
        f"miniImageNet's {split} images are missing: {folder / SHORT_NAMES[split]} is not there, "
        f"nor is {_csv(folder, split)}. {INSTRUCTIONS}"
    )


def _from_csv(folder: Path, split: str) -> Iterator[tuple[Path, str]]:
    path = _csv(folder, split)
    if not path.exists():
        raise ValueError(f"miniImageNet's {split} images are missing: {path} is not there.")
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file, skipinitialspace=True)
        columns = [(name or "").strip() for name in rows.fieldnames or ()]
        rows.fieldnames = columns
        if not {"filename", "label"} <= set(columns):
            raise ValueError(f"{path} needs the header filename,label. Received: {columns}.")
        for row in rows:
            yield _locate(path, split, row["filename"], row["label"]), row["label"]


def _locate(path: Path, split: str, filename: str, label: str) -> Path:
    """The file of a row, in images/ or in the folders there that may hold it."""
    if not filename or not label:
        raise ValueError(f"{path} has a row with no filename or no label: {filename},{label}.")
    splits = dict.fromkeys((split, SHORT_NAMES[split]))
    for inner in ("", label, *splits, *(f"{name}/{label}" for name in splits)):
        image = path.parent / "images" / inner / filename
        if image.is_file():
            return image
    raise ValueError(
        f"{filename}, which {path} lists with the label {label}, is not in {path.parent}/images, "
        f"nor in its folders {label}, {' or '.join(splits)}."
    )


def _check_split(folder: Path, split: str, counts: Counter) -> None:
    if len(counts) != CLASSES[split]:
        raise ValueError(
            f"miniImageNet's {split} split has {CLASSES[split]} classes. Received: {len(counts)} "
            f"classes with PNG or JPEG images for it in {folder}."
        )
    for label, count in counts.items():
        if count != IMAGES_PER_CLASS:
            raise ValueError(
                f"miniImageNet has {IMAGES_PER_CLASS} images of each class. Received: {count} of "
                f"the class {label} in the {split} split in {folder}."
            )


def _check_disjoint(folder: Path, found: dict) -> None:
    labels = Counter(label for images in found.values() for label in {name for _, name in images})
    for label, splits in labels.items():
        if splits > 1:
            raise ValueError(f"The class {label} is in {splits} splits of {folder}, not in one.")
