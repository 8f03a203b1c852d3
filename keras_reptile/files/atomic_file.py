"""Files that are written whole, or not at all."""

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

# A full disk, a read-only one, and errors that TensorFlow has no name for.
OF_THE_DISK = (
    tf.errors.ResourceExhaustedError,
    tf.errors.PermissionDeniedError,
    tf.errors.UnknownError,
)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside a file, and gives it the file's own name once complete.

    Of a symbolic link the file to which it leads is replaced. An earlier file's mode is kept, and
    its owner where the system lets us.

    Raises:
        RunError: If it cannot be written; what was there before is as it was.
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
    """Raises `RunError` for a file that `write_text` could not write; its folder is made."""
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
    """Makes a file or folder and locks it, so that nobody takes it for what a killed process left.

    Who did so before it was locked has removed it; then it is made anew.
    """
    while True:
        make()
        with contextlib.ExitStack() as stack, contextlib.suppress(FileNotFoundError):
            stack.enter_context(held(temporary, wait=True))
            if temporary.exists():
                return stack.pop_all()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turns the system's errors about writing into a `RunError` that names the file or folder.

    So too what TensorFlow makes of them, but not that it lacks memory.
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
    """What a file or folder is called until it is complete."""
    return path.with_name(f".partial-{os.getpid()}-{path.name}")


def remove_partial(folder: Path, kind: str = "partial", name: str = ".*") -> None:
    """Removes what killed processes left half-written, and nothing that is being written now."""
    for path in leftovers(folder, kind, name):
        with contextlib.suppress(OSError, Taken), held(path) as locks:
            if locks:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def leftovers(folder: Path, kind: str, name: str) -> list[Path]:
    """Files and folders in a folder that a process named for the time of its work."""
    pattern = re.compile(rf"\.{kind}-\d+-{name}")
    return sorted(path for path in folder.glob(f".{kind}-*") if pattern.fullmatch(path.name))


def write_text(path: Path, text: str) -> None:
    """Writes a file whole, or text to a pipe, to a device or among what this process prints."""
    if is_stream(path):
        with explained(path):
            return write_stream(path, text)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes JSON, which has null for what is no finite number."""
    write_text(path, json.dumps(finite(content), indent=2, allow_nan=False) + "\n")


def read_json(path: Path, advice: str) -> dict[str, Any]:
    """The JSON object in a file; NaN, which is no JSON, is read as null.

    Args:
        path: Path.
        advice: String, what to do about a file that cannot be read.

    Raises:
        RunError: If it cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=lambda name: None)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}. {advice}") from None
    except RecursionError:
        raise RunError(f"{path} cannot be read: it is nested too deep. {advice}") from None
    if not isinstance(content, dict):
        raise RunError(
            f"{path} cannot be used: a JSON object was expected. Received: "
            f"{type(content).__name__}. {advice}"
        )
    return content


def finite(content: Any) -> Any:
    """Dicts, lists and what is in them, with `None` for numbers that JSON has no word for.

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
    """The rows of a CSV as they were written, none if there is no such file.

    Args:
        path: Path.
        kinds: Dict of functions, columns that every row must have and what reads each.
        advice: String, what to do about a file that cannot be read.
        optional: The same of columns that may be missing or have empty cells.

    Raises:
        RunError: If it cannot be read, a row lacks one of these columns, has a value that its
            function refuses, or has another number of cells than the header.
    """
    if not os.path.exists(path):
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
        names = reader.fieldnames or []
        if len({*names}) < len(names) or any(None in (*row, *row.values()) for row in rows):
            raise ValueError("its rows and its header do not fit")
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
    """Writes rows with the columns that any of them has."""
    with (
        replacing(path) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        columns = list(dict.fromkeys(key for row in rows for key in row))
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
