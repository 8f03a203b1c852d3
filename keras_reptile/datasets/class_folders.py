"""A folder of class folders: which files are images of which class, and which are not used."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_reptile.datasets.image_decoding import SUFFIXES, shown
from keras_reptile.errors import reason

# How many bad files or classes a message names, and how many of those that are not used.
NAMED = 10
EXAMPLES = 3


def class_folders(folder: str | os.PathLike) -> dict[str, list[Path]]:
    """The image files of each folder in a folder, sorted; folders without any are left out.

    A file is an image by the end of its name. What begins with a dot is not looked at.

    Raises:
        ValueError: If a folder cannot be read; it names the folder.
    """
    files = {
        path.name: [p for p in _entries(path) if _is_image(p.name) and not p.is_dir()]
        for path in _entries(folder)
        if path.is_dir()
    }
    return {name: paths for name, paths in files.items() if paths}


def _entries(folder) -> list[Path]:
    try:
        return sorted(path for path in Path(folder).iterdir() if path.name[0] != ".")
    except OSError as error:
        raise ValueError(
            f"The folder {shown(folder)} cannot be read: {reason(error)}. Make it readable, or "
            "take it out."
        ) from None


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


class Unused(NamedTuple):
    """Names, below the folder of class folders, of what no class has."""

    beside: list[str]
    deeper: list[str]
    others: list[str]
    folders: list[str]

    def __str__(self) -> str:
        told = {
            "images beside the class folders": self.beside,
            "images in folders of class folders": self.deeper,
            "files whose names do not end as images' do": self.others,
            "folders without images": self.folders,
        }
        parts = [f"{len(n)} {what} ({listed(n, EXAMPLES)})" for what, n in told.items() if n]
        return "; ".join(parts)


def unused(folder: str | os.PathLike, classes: Mapping[str, Sequence[Path]]) -> Unused:
    """What a folder holds besides the images of `class_folders`.

    Args:
        folder: String or path, the folder of class folders.
        classes: What `class_folders` found in it.
    """
    found = Unused([], [], [], [])
    for path in _entries(folder):
        if path.is_dir():
            if path.name not in classes:
                found.folders.append(path.name)
            for place in _files_in(path):
                if not _is_image(place):
                    found.others.append(os.path.join(path.name, place))
                elif os.sep in place:
                    found.deeper.append(os.path.join(path.name, place))
        else:
            (found.beside if _is_image(path.name) else found.others).append(path.name)
    return found


def _files_in(folder) -> Iterator[str]:
    """The names of all files below a folder, from there."""
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        above = os.path.relpath(directory, folder)
        for name in sorted(files):
            if name[0] != ".":
                yield name if above == "." else os.path.join(above, name)


def listed(names: Sequence, number: int = NAMED) -> str:
    """The first names, and how many there are beyond them.

    Example:

    >>> listed(range(12))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return ", ".join(map(shown, names[:number])) + more
