"""A model in a file that tells whether it is damaged."""

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

# Keras does not compress .keras files. An archive that inflates to more than so many times its size
# is no model, and would fill the memory.
INFLATION = 20

# The last record of an archive, its length, and how it ends where there is no comment.
END, END_LENGTH, NO_COMMENT = b"PK\x05\x06", 22, b"\0\0"


def save_checkpoint(model: ReptileModel, path: Path, score: dict[str, Any] | None = None) -> None:
    """Writes a .keras file, which `keras.models.load_model` reads too, with a checksum in it.

    Args:
        model: A `ReptileModel`.
        path: Path of the file.
        score: Dict, what its validation gave, which `read_score` reads. Defaults to `None`.
    """
    model.save(path)
    seal(path, b"" if score is None else json.dumps(score).encode() + b" ")


def read_score(path: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` was told of a checkpoint; `None` if nothing.

    Raises:
        RunError: If the file cannot be read or is damaged.
    """
    try:
        check_seal(path)
        with zipfile.ZipFile(path) as archive:
            text = archive.comment[: -len(MARK) - DIGITS]
        return json.loads(text) if text else None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise unreadable(path, error) from None


def load_checkpoint(path: Path) -> ReptileModel:
    """A model from a checkpoint file, whole, or a `RunError`."""
    try:
        check_seal(path)
        model = keras.models.load_model(path, safe_mode=True)
    except Exception as error:
        raise unreadable(path, error) from None
    if not isinstance(model, ReptileModel):
        raise RunError(f"Checkpoint {path} holds a {type(model).__name__}, not a ReptileModel.")
    return model


def unreadable(path: Path, error: Exception) -> RunError:
    return RunError(f"Checkpoint {path} cannot be read ({type(error).__name__}: {reason(error)}).")


def seal(path: Path, score: bytes = b"") -> None:
    """Writes the score and the checksum into a .keras file, which remains one."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = score + MARK + b"0" * DIGITS
    with open(path, "r+b") as file:
        digest = _digest(file.read()[:-DIGITS])
        file.seek(-DIGITS, io.SEEK_END)
        file.write(digest)


def check_seal(path: Path) -> None:
    """Checks every byte of a sealed file; of one without a seal, what its archive can tell.

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
    """False where there is half a seal."""
    return content[-END_LENGTH:].startswith(END) and content.endswith(NO_COMMENT)


def _is_archive(content: bytes, check: Callable = lambda archive: True) -> bool:
    """Returns whether bytes are an archive of a plausible size that passes a check."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            declared = sum(member.file_size for member in archive.infolist())
            if declared <= INFLATION * len(content):
                return check(archive)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError):
        return False
    raise ValueError(
        f"its {len(content):,} bytes would inflate to {declared:,}, and models are not compressed"
    )


def _is_whole(archive: zipfile.ZipFile) -> bool:
    return archive.testzip() is None
