"""A directory that is written whole, or not at all."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def whole_directory(
    path: str | os.PathLike, overwrite: bool, marks: Sequence[str]
) -> Iterator[Path]:
    """Yields an empty directory beside `path`, and gives it that name once it is complete.

    Args:
        path: String or path of the directory to be.
        overwrite: Boolean, whether an earlier one may be replaced.
        marks: Names of files that every such directory has. Only what has them all is ever
            replaced.

    Raises:
        ValueError: If `path` exists and may not be replaced, or cannot be written.
    """
    path = Path(os.path.abspath(path))
    _refuse_existing(path, overwrite, marks)
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        _create(temporary)
        yield temporary
        _sync(temporary)
        _rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _refuse_existing(path: Path, overwrite: bool, marks: Sequence[str]) -> None:
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


def _create(directory: Path) -> None:
    try:
        directory.mkdir(parents=True)
    except OSError as error:
        raise ValueError(
            f"{directory.parent} cannot be written: {error.strerror}. Choose another path."
        ) from None


def _sync(directory: Path) -> None:
    for file in directory.rglob("*"):
        if file.is_file():
            with open(file, "rb") as opened:
                os.fsync(opened.fileno())


def _rename(temporary: Path, path: Path) -> None:
    """At no moment is there half an export under `path`; for a moment there may be none."""
    earlier = path.with_name(f".replaced-{os.getpid()}-{path.name}")
    replaces = path.exists()
    if replaces:
        os.rename(path, earlier)
    try:
        os.rename(temporary, path)
    except OSError:
        if replaces:
            os.rename(earlier, path)
        raise
    shutil.rmtree(earlier, ignore_errors=True)
