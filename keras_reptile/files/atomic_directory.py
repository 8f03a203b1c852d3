"""Writes a directory completely, or not at all."""

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

# The number of files that a message names.
MAX_NAMED = 10


@contextlib.contextmanager
def whole_directory(
    path: str | os.PathLike, overwrite: bool, marks: Sequence[str], own: Sequence[str] = ("*",)
) -> Iterator[Path]:
    """Yields an empty temporary directory, and renames it to `path` when it is complete.

    If an earlier process was killed, its partial directory is removed. A directory that it was
    replacing gets its name back.

    Args:
        path: String or path of the directory. If it is a symbolic link, its target is written.
        overwrite: Boolean, whether an existing directory may be replaced.
        marks: Names of files. An existing directory is replaced only if it has all of them.
        own: Patterns of paths, as in `fnmatch`. An existing directory is replaced only if each of
            its files matches one of them. Defaults to `("*",)`, any file.

    Raises:
        ValueError: If `path` exists and may not be replaced, or cannot be written.
        RunError: If the disk becomes full or fails.
    """
    path = Path(os.path.realpath(local_path(path)))
    _put_in_order(path)
    _refuse_existing(path, overwrite, marks, own)
    temporary = partial_name(path)
    with explained(path), made_and_held(temporary, lambda: _create(temporary)):
        try:
            yield temporary
            # Another process may have written to `path` in the meantime.
            _refuse_existing(path, overwrite, marks, own)
            keep_mode_and_owner(temporary, path)
            _sync(temporary)
            _rename(temporary, path)
            sync(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _put_in_order(path: Path) -> None:
    """Restores the directory that a killed process was replacing, and removes its partial ones."""
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
            f"{path} is not an earlier export, which has {' and '.join(marks)} in it. It is not "
            "overwritten. Choose another path, or remove it yourself."
        )
    if others := _others(path, own):
        more = len(others) - MAX_NAMED
        raise ValueError(
            f"{path} contains files that are not part of an export: "
            f"{', '.join(others[:MAX_NAMED])}{f' and {more} more' if more > 0 else ''}. They would "
            "be deleted. Move them elsewhere, or choose another path."
        )


def _others(path: Path, own: Sequence[str]) -> list[str]:
    """Returns the paths of the files and links in a directory that match no pattern."""
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
    """Renames the temporary directory to `path`, and removes the one that was there.

    Between two renames, `path` does not exist for a moment. It is never incomplete.
    """
    if not path.exists():
        os.rename(temporary, path)
        return
    earlier = path.with_name(f".replaced-{os.getpid()}-{path.name}")
    # The lock keeps other processes from restoring or removing it.
    with held(path, wait=True):
        os.rename(path, earlier)
        try:
            os.rename(temporary, path)
        except OSError:
            os.rename(earlier, path)
            raise
        shutil.rmtree(earlier, ignore_errors=True)
