"""A directory that is written whole, or not at all."""

import contextlib
import fnmatch
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from keras_reptile.checks import local_path
from keras_reptile.files.atomic_file import (
    explained,
    leftovers,
    made_and_held,
    partial_name,
    remove_partial,
)
from keras_reptile.files.disk import sync
from keras_reptile.files.locks import Taken, held
from keras_reptile.files.targets import keep_mode_and_owner

# How many files a message names.
NAMED = 10


@contextlib.contextmanager
def whole_directory(
    path: str | os.PathLike, overwrite: bool, marks: Sequence[str], own: Sequence[str] = ("*",)
) -> Iterator[Path]:
    """Yields an empty directory beside `path`, and gives it that name once it is complete.

    What earlier calls left that were killed is put in order: half a directory is removed, and one
    that was just being replaced is back under its name.

    Args:
        path: String or path of the directory to be. Of a symbolic link the directory to which it
            leads is written.
        overwrite: Boolean, whether an earlier one may be replaced.
        marks: Names of files that every such directory has. Only what has them all is ever
            replaced.
        own: Patterns of paths, as in `fnmatch`, of all files that such a directory may have. One
            with other files is never replaced. Defaults to `("*",)`, any.

    Raises:
        ValueError: If `path` exists and may not be replaced, or cannot be written.
        RunError: If the disk fills up, or fails otherwise, while it is written.
    """
    path = Path(os.path.realpath(local_path(path)))
    _put_in_order(path)
    _refuse_existing(path, overwrite, marks, own)
    temporary = partial_name(path)
    with explained(path), made_and_held(temporary, lambda: _create(temporary)):
        try:
            yield temporary
            # Someone may have put a file there meanwhile.
            _refuse_existing(path, overwrite, marks, own)
            keep_mode_and_owner(temporary, path)
            _sync(temporary)
            _rename(temporary, path)
            sync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _put_in_order(path: Path) -> None:
    name = re.escape(path.name)
    if not os.path.lexists(path):
        for earlier in leftovers(path.parent, "replaced", name)[:1]:
            with contextlib.suppress(OSError, Taken), held(earlier):
                os.rename(earlier, path)
    for kind in ("partial", "replaced"):
        remove_partial(path.parent, kind, name)


def _refuse_existing(path: Path, overwrite: bool, marks: Sequence[str], own: Sequence[str]) -> None:
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise ValueError(
            f"{path} exists already. Choose another path, or replace it: overwrite=True, or "
            "--overwrite."
        )
    if path.is_symlink() or not all((path / mark).is_file() for mark in marks):
        raise ValueError(
            f"{path} is no earlier export, with {' and '.join(marks)} in it, and is not "
            "overwritten. Choose another path, or remove it yourself."
        )
    if others := _others(path, own):
        raise ValueError(
            f"{path} holds what no export has written: {', '.join(others[:NAMED])}"
            f"{f' and {len(others) - NAMED} more' if len(others) > NAMED else ''}. It would be "
            "deleted. Move it elsewhere, or choose another path."
        )


def _others(path: Path, own: Sequence[str]) -> list[str]:
    """The files in a directory, links among them, whose paths fit no pattern."""
    files = [p for p in path.rglob("*") if p.is_symlink() or not p.is_dir()]
    names = sorted(p.relative_to(path).as_posix() for p in files)
    return [name for name in names if not any(fnmatch.fnmatchcase(name, each) for each in own)]


def _create(directory: Path) -> None:
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise ValueError(
            f"{directory.parent} cannot be written: {error.strerror}. Choose another path."
        ) from None


def _sync(directory: Path) -> None:
    for file in directory.rglob("*"):
        sync(file)


def _rename(temporary: Path, path: Path) -> None:
    """At no moment is there half an export under `path`; for a moment there may be none."""
    if not path.exists():
        os.rename(temporary, path)
        return
    earlier = path.with_name(f".replaced-{os.getpid()}-{path.name}")
    # Locked so that nobody puts it back, or removes it, meanwhile.
    with held(path, wait=True):
        os.rename(path, earlier)
        try:
            os.rename(temporary, path)
        except OSError:
            os.rename(earlier, path)
            raise
        shutil.rmtree(earlier, ignore_errors=True)
