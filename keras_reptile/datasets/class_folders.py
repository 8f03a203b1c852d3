"""A folder with one folder of image files for each class, and the files in it without a class."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from keras_reptile.checks import counted, shown
from keras_reptile.datasets.image_decoding import SUFFIXES
from keras_reptile.errors import reason

# A message names at most this many bad files or classes, and this many unused files.
NAMED = 10
EXAMPLES = 3


def class_folders(folder: str | os.PathLike) -> dict[str, list[Path]]:
    """Returns the image files of each class folder, sorted. Folders without images are left out.

    The suffix of a file's name decides whether it is an image. Names that begin with a dot are
    ignored.

    Raises:
        ValueError: If a folder cannot be read. The error names the folder.
    """
    files = {
        path.name: [Path(p) for p in _entries(path) if _is_image(p.name) and not _is_dir(p)]
        for path in _entries(folder)
        if _is_dir(path)
    }
    return {name: paths for name, paths in files.items() if paths}


def check_own_folders(classes: Mapping[str, Sequence[Path]]) -> None:
    """Raises `ValueError` if links give one folder the names of several classes.

    Its images would have several labels, and could be in several splits.

    Args:
        classes: The result of `class_folders`.
    """
    names: dict[str, list[str]] = {}
    for name, files in classes.items():
        names.setdefault(os.path.realpath(files[0].parent), []).append(name)
    linked = [" and ".join(map(shown, each)) for each in names.values() if len(each) > 1]
    if linked:
        raise ValueError(
            f"Each class must have its own folder. Received: {', '.join(linked[:NAMED])}, which "
            "links make the same folder. Remove all but one of these names."
        )


def _entries(folder) -> list[os.DirEntry]:
    """Returns the entries of a folder, sorted by name. Each entry knows its kind."""
    try:
        with os.scandir(folder) as entries:
            return sorted((e for e in entries if e.name[0] != "."), key=lambda entry: entry.name)
    except OSError as error:
        raise ValueError(
            f"The folder {shown(os.fspath(folder))} cannot be read: {reason(error)}. Make it "
            "readable, or remove it."
        ) from None


def _is_dir(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself.
        return False


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES


class Unused(NamedTuple):
    """Paths, relative to the folder of class folders, of files and folders without a class."""

    beside: list[str]
    deeper: list[str]
    others: list[str]
    folders: list[str]

    def __str__(self) -> str:
        kinds = {
            ("image", "beside the class folders"): self.beside,
            ("image", "in folders of class folders"): self.deeper,
            ("file", "without the suffix of an image"): self.others,
            ("folder", "without images"): self.folders,
        }
        parts = [
            f"{counted(len(n), noun)} {where} ({listed(n, EXAMPLES)})"
            for (noun, where), n in kinds.items()
            if n
        ]
        return "; ".join(parts)


def unused(folder: str | os.PathLike, classes: Mapping[str, Sequence[Path]]) -> Unused:
    """Returns the contents of a folder that `class_folders` leaves out.

    Args:
        folder: String or path, the folder of class folders.
        classes: The result of `class_folders` for this folder.
    """
    result = Unused([], [], [], [])
    for path in _entries(folder):
        if _is_dir(path):
            if path.name not in classes:
                result.folders.append(path.name)
            for file in _files_in(path):
                if not _is_image(file):
                    result.others.append(os.path.join(path.name, file))
                elif os.sep in file:
                    result.deeper.append(os.path.join(path.name, file))
        else:
            (result.beside if _is_image(path.name) else result.others).append(path.name)
    return result


def _files_in(folder) -> Iterator[str]:
    """Yields the paths of all files below a folder, relative to it."""
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        above = os.path.relpath(directory, folder)
        for name in sorted(files):
            if name[0] != ".":
                yield name if above == "." else os.path.join(above, name)


def listed(names: Sequence, number: int = NAMED) -> str:
    """Returns the first names, and the number of the others, as text.

    Example:

    >>> listed(range(12))
    '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more'
    """
    more = f" and {len(names) - number} more" if len(names) > number else ""
    return ", ".join(map(shown, names[:number])) + more
