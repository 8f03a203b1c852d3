"""Checkpoints: .keras files with a checksum, so that a damaged one is detected."""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from keras_reptile.errors import RunError, reason
from keras_reptile.reptile_model import ReptileModel

MARK = b"sha256 "

DIGITS = 64

# Keras does not compress .keras files. An archive that becomes more than this many times larger is
# not a model, and would fill the memory.
MAX_INFLATION = 20

# The last record of an archive: its signature, its length, and its end without a comment.
END, END_LENGTH, NO_COMMENT = b"PK\x05\x06", 22, b"\0\0"


def save_checkpoint(model: ReptileModel, path: Path, score: dict[str, Any] | None = None) -> None:
    """Writes a .keras file with a checksum, which `keras.models.load_model` can also read.

    Args:
        model: A `ReptileModel`.
        path: Path of the file.
        score: Dict, the results of the model's validation, see `read_score`. Defaults to `None`.
    """
    model.save(path)
    write_checksum(path, b"" if score is None else json.dumps(score).encode() + b" ")


def read_score(path: Path) -> dict[str, Any] | None:
    """Returns the `score` that `save_checkpoint` has written, or `None`.

    Raises:
        RunError: If the file cannot be read or is damaged.
    """
    try:
        check_checksum(path)
        with zipfile.ZipFile(path) as archive:
            text = archive.comment[: -len(MARK) - DIGITS]
        return json.loads(text) if text else None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise unreadable(path, error) from None


def load_checkpoint(path: Path) -> ReptileModel:
    """Returns the model of a checkpoint.

    Raises:
        RunError: If the file cannot be read, is damaged, or contains another kind of model.
    """
    try:
        check_checksum(path)
        model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        raise unreadable(path, error) from None
    if not isinstance(model, ReptileModel):
        raise RunError(f"Checkpoint {path} holds a {type(model).__name__}, not a ReptileModel.")
    return model


def unreadable(path: Path, error: Exception) -> RunError:
    return RunError(f"Checkpoint {path} cannot be read ({type(error).__name__}: {reason(error)}).")


def write_checksum(path: Path, score: bytes = b"") -> None:
    """Writes the score and a checksum into the archive's comment. It remains a .keras file."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = score + MARK + b"0" * DIGITS
    with open(path, "r+b") as file:
        digest = _digest(file.read()[:-DIGITS])
        file.seek(-DIGITS, io.SEEK_END)
        file.write(digest)


def check_checksum(path: Path) -> None:
    """Checks every byte of a file by its checksum, or by those of its archive if it has none.

    Raises:
        ValueError: If it is damaged, or would inflate to many times its size.
        OSError: If it cannot be read.
    """
    content = path.read_bytes()
    body, digest = content[:-DIGITS], content[-DIGITS:]
    if body.endswith(MARK):
        whole = _digest(body) == digest and _is_archive(content)
    else:
        whole = _ends_as_keras_ends_it(content) and _is_archive(content, _is_whole)
    if not whole:
        raise ValueError("it is damaged: its checksum is wrong")


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _ends_as_keras_ends_it(content: bytes) -> bool:
    """Returns whether the archive has no comment. A damaged checksum would be a comment."""
    return content[-END_LENGTH:].startswith(END) and content.endswith(NO_COMMENT)


def _is_archive(content: bytes, check: Callable = lambda archive: True) -> bool:
    """Returns whether bytes are an archive of plausible size for which `check` returns true."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            declared = sum(member.file_size for member in archive.infolist())
            if declared <= MAX_INFLATION * len(content):
                return check(archive)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError):
        return False
    raise ValueError(
        f"its {len(content):,} bytes would inflate to {declared:,}, and models are not compressed"
    )


def _is_whole(archive: zipfile.ZipFile) -> bool:
    return archive.testzip() is None
