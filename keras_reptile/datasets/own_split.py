"""Given splits of classes: a folder for each split, or a file of class names for each."""

import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from absl import logging

from keras_reptile.checks import shown
from keras_reptile.datasets.class_folders import class_folders, listed
from keras_reptile.datasets.published_split import PUBLISHED, name_of
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.errors import reason

# The names of each split's folder or file.
SPLITS = {"train": ("train",), "validation": ("val", "validation"), "test": ("test",)}


def split_folders(folder: str | os.PathLike) -> dict[str, Path]:
    """Returns the folder of each split, if a folder contains splits and not classes.

    It contains splits if `train` in it contains class folders and no images, and so does `val`,
    `validation` or `test`. Otherwise the result is empty.

    Args:
        folder: String or path of an existing folder.
    """
    found = {
        split: path
        for split, names in SPLITS.items()
        for path in (Path(folder) / name for name in names)
        if path.is_dir() and path.name not in class_folders(folder) and class_folders(path)
    }
    return found if "train" in found and len(found) > 1 else {}


def named_classes(split_dir: str | os.PathLike) -> dict[str, list[str]]:
    """Returns the class names in train.txt, val.txt or validation.txt, and test.txt of a folder.

    Each line is a name; empty lines are skipped. Only train.txt must be there.

    Raises:
        ValueError: If train.txt is missing, or a file cannot be read.
    """
    if not isinstance(split_dir, str | os.PathLike) or not os.path.isdir(split_dir):
        given = os.fspath(split_dir) if isinstance(split_dir, os.PathLike) else split_dir
        raise ValueError(
            f"split_dir={given!r} is not a directory. Give a folder with "
            "train.txt, val.txt and test.txt, with a class name on each line."
        )
    files = {
        split: [path for name in names if (path := Path(split_dir) / f"{name}.txt").is_file()]
        for split, names in SPLITS.items()
    }
    if not files["train"]:
        raise ValueError(
            f"split_dir={os.fspath(split_dir)!r} has no train.txt. Write the training classes "
            "there, a name on each line, and those of the test to test.txt."
        )
    return {
        split: [name for path in paths for name in _lines(path)] for split, paths in files.items()
    }


def _lines(path: Path) -> list[str]:
    try:
        # Some editors write a byte order mark. It is not part of a name.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"The file {shown(path)} cannot be read: {reason(error)}. Write names as UTF-8 text."
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def as_given(split_dir: str | os.PathLike) -> str:
    """Returns a split as the user gave it: the name of a published one, or a folder.

    Example:

    >>> as_given("lists")
    "split_dir='lists'"
    """
    name = name_of(split_dir)
    return f"published_split={name!r}" if name else f"split_dir={os.fspath(split_dir)!r}"


def split_by_names(names: Sequence, split_dir: str | os.PathLike) -> list[list[int]]:
    """Returns the positions of the classes of each split, as the files of a folder name them.

    Classes that no file names are left out, with a warning. A name in a file may differ from the
    class in spaces around it, and in its form of Unicode: some systems write an accent as a
    character of its own.

    Args:
        names: Sequence, the names of all classes.
        split_dir: String or path, see `named_classes`.

    Raises:
        ValueError: If a name is of no class, or stands in two places, or a file cannot be read.
    """
    position = {str(name): i for i, name in enumerate(names)}
    named = _as_spelled(named_classes(split_dir), list(position))
    every = [name for names in named.values() for name in names]
    unknown = [name for name in every if name not in position]
    if unknown:
        raise ValueError(
            f"{as_given(split_dir)} names classes that are not there: {listed(unknown)}. "
            f"The classes: {listed(list(position))}. {_remedy(split_dir)}"
        )
    check_disjoint(named)
    left = [name for name in position if name not in set(every)]
    if left:
        logging.warning(
            "Left out %d of %d classes, which no file in %s names: %s.",
            *(len(left), len(names), as_given(split_dir), listed(left)),
        )
    return [[position[name] for name in named[split]] for split in Pools._fields]


def _as_spelled(named: Mapping[str, list[str]], classes: list[str]) -> dict[str, list[str]]:
    """Returns the names in the spelling of the classes. Those of no class, or several, stay."""
    spellings: dict[str, list[str]] = {}
    for each in classes:
        spellings.setdefault(_spelling(each), []).append(each)

    def spelled(name):
        found = spellings.get(_spelling(name), [])
        return found[0] if len(found) == 1 else name

    return {split: [spelled(name) for name in names] for split, names in named.items()}


def _spelling(name: str) -> str:
    return unicodedata.normalize("NFC", name).strip()


def _remedy(split_dir) -> str:
    if name := name_of(split_dir):
        return f"It is a split of {PUBLISHED[name].data}: give these images, or another split."
    return "Name only these."


def check_disjoint(named: Mapping[str, Sequence[str]]) -> None:
    """Raises `ValueError` for classes that are in two splits, or twice in one.

    Example:

    >>> check_disjoint({"train": ["cat", "dog"], "test": ["cat"]})
    Traceback (most recent call last):
    ValueError: A class must be in one split only. Received: cat (train, test). Remove it ...
    """
    if twice := in_several_places(named):
        raise ValueError(
            f"A class must be in one split only. Received: {listed(twice)}. Remove it from the "
            "others. If folders of splits have the same classes, give one split's folder: its "
            "classes are divided."
        )


def in_several_places(named: Mapping[str, Iterable[str]]) -> list[str]:
    """Returns the classes that are in two splits, or twice in one, with the names of the splits.

    Example:

    >>> in_several_places({"train": ["cat", "dog"], "test": ["cat"]})
    ['cat (train, test)']
    """
    splits: dict[str, list[str]] = {}
    for split, names in named.items():
        for name in names:
            splits.setdefault(name, []).append(split)
    return [f"{name} ({', '.join(where)})" for name, where in splits.items() if len(where) > 1]


def check_no_choice(validation_classes: int, test_classes: int | None, split_seed: int) -> None:
    """Raises `ValueError` for numbers of classes where the classes of each split are given."""
    given = {
        "validation_classes": validation_classes,
        "test_classes": test_classes or 0,
        "split_seed": split_seed,
    }
    chosen = [f"{name}={value}" for name, value in given.items() if value]
    if chosen:
        raise ValueError(
            "The classes of each split are given, by folders, by `split_dir` or by "
            f"`published_split`. Received with it: {', '.join(chosen)}. Leave these out."
        )
