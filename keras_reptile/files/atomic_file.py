"""Writes files completely, or not at all."""

import contextlib
import csv
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import tensorflow as tf

from keras_reptile.errors import RunError, cause, unwritable
from keras_reptile.files.disk import sync
from keras_reptile.files.locks import Taken, held
from keras_reptile.files.targets import (
    check_stream,
    file_to_replace,
    is_stream,
    keep_mode_and_owner,
    write_stream,
)

# TensorFlow's errors for a full disk, for a read-only disk, and for unknown causes.
OF_THE_DISK = (
    tf.errors.ResourceExhaustedError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnknownError,
)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields the path of a temporary file, and renames it to `path` when it is complete.

    If `path` is a symbolic link, its target is replaced. The new file has the mode of an existing
    one, and its owner if the system permits that.

    Raises:
        RunError: If the file cannot be written. An existing file is then unchanged.
    """
    with explained(path):
        target = file_to_replace(path)
        remove_partial(target.parent, name=re.escape(target.name))
        temporary = partial_name(target)
        with _removed_in_the_end(temporary):
            with made_and_held(temporary, temporary.touch):
                keep_mode_and_owner(temporary, target)
                yield temporary
                sync(temporary)
                os.replace(temporary, target)
            sync(target.parent)


def check_writable(path: str | os.PathLike) -> None:
    """Raises `RunError` for a file that `write_text` could not write. It creates the folder."""
    path = Path(path)
    with explained(path):
        if is_stream(path):
            return check_stream(path)
        target = file_to_replace(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = partial_name(target)
        with _removed_in_the_end(temporary):
            temporary.touch()


def made_and_held(temporary: Path, make: Callable[[], Any]) -> contextlib.ExitStack:
    """Creates a file or folder and locks it.

    Without the lock, other processes would remove it as the leftover of a killed process. One of
    them may do so before the lock is taken. Then it is created again.
    """
    while True:
        make()
        with contextlib.ExitStack() as stack, contextlib.suppress(FileNotFoundError):
            stack.enter_context(held(temporary, wait=True))
            if temporary.exists():
                return stack.pop_all()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Raises errors of writing as a `RunError` that names the file or folder.

    They are errors of the system or of TensorFlow. An error for lack of memory stays as it is.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error
    except OF_THE_DISK as error:
        if error.message.startswith("OOM"):
            raise
        raise unwritable(path, error) from error


@contextlib.contextmanager
def _removed_in_the_end(temporary: Path) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def partial_name(path: Path) -> Path:
    """Returns the temporary path of a file or folder that is not yet complete."""
    return path.with_name(f".partial-{os.getpid()}-{path.name}")


def remove_partial(folder: Path, kind: str = "partial", name: str = ".*") -> None:
    """Removes partial files and folders of killed processes. Those in use are locked, and stay."""
    for path in leftovers(folder, kind, name):
        with contextlib.suppress(OSError, Taken), held(path) as locks:
            if locks:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def leftovers(folder: Path, kind: str, name: str) -> list[Path]:
    """Returns the temporary files and folders in a folder, see `partial_name`."""
    pattern = re.compile(rf"\.{kind}-\d+-{name}")
    return sorted(path for path in folder.glob(f".{kind}-*") if pattern.fullmatch(path.name))


def write_text(path: Path, text: str) -> None:
    """Writes text to a file as a whole, or to a stream, see `is_stream`."""
    if is_stream(path):
        with explained(path):
            return write_stream(path, text)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file. NaN and infinity become null."""
    write_text(path, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")


def is_missing(path: str | os.PathLike) -> bool:
    """Returns whether a path leads to nothing. If its folder may not be searched, that is false."""
    try:
        os.stat(path)
    except PermissionError:
        return False
    # A name that no file can have is a `ValueError`.
    except (OSError, ValueError):
        return True
    return False


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """Returns the JSON object in a file. NaN and infinity, which are not JSON, become `None`.

    Args:
        path: Path.
        advice: String, the end of the error's message: what the user can do.

    Raises:
        RunError: If the file cannot be read, or does not contain a JSON object.
    """
    try:
        # Some editors write a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
        content = json.loads(text, parse_constant=lambda name: None)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}. {advice}") from None
    except RecursionError:
        raise RunError(f"{path} cannot be read: it is nested too deeply. {advice}") from None
    if not isinstance(content, dict):
        raise RunError(
            f"{path} cannot be used: a JSON object was expected. Received: "
            f"{type(content).__name__}. {advice}"
        )
    return content


def finite(content: Any) -> Any:
    """Returns dicts and lists with `None` for NaN and infinity, which JSON cannot express.

    Example:

    >>> finite({"accuracy": 0.5, "losses": [1.0, float("nan")]})
    {'accuracy': 0.5, 'losses': [1.0, None]}
    """
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_csv(
    path: Path,
    kinds: Mapping[str, Callable],
    advice: str,
    optional: Mapping[str, Callable] = MappingProxyType({}),
) -> list[dict[str, str]]:
    """Returns the rows of a CSV file as text, or an empty list if there is no such file.

    Args:
        path: Path.
        kinds: Dict from each required column to a function. The function reads a cell, and raises
            an error if its value is wrong.
        advice: String, the end of the error's message: what the user can do.
        optional: Dict like `kinds`, for columns that may be missing or have empty cells.

    Raises:
        RunError: If the file cannot be read, a row lacks a required column or has a wrong value,
            or a row and the header have different numbers of cells.
    """
    if is_missing(path):
        return []
    try:
        # Spreadsheets write a byte order mark. It is not part of the first column's name.
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        names = reader.fieldnames or []
        if len({*names}) < len(names) or any(None in (*row, *row.values()) for row in rows):
            raise ValueError("its rows do not match its header")
        for row in rows:
            for column, kind in kinds.items():
                kind(row[column])
            for column, kind in optional.items():
                if row.get(column):
                    kind(row[column])
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        needed = ", a ".join(kinds)
        raise RunError(
            f"{path} cannot be read ({cause(error)}). Every row needs a {needed}. {advice}"
        ) from None
    return rows


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes a CSV file. Its columns are those of all rows."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        columns = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
