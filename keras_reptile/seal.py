"""A checksum inside a .keras file, which remains one that Keras loads.

The file is a zip archive, whose own checksums cover what is in it and not its directory. An archive
may end with a comment: here it is the SHA-256 of all bytes before it.
"""

import hashlib
import io
import zipfile
from pathlib import Path

MARK = b"sha256 "
DIGITS = 64
# The last record of an archive, its length, and how it ends where there is no comment.
END, END_LENGTH, NO_COMMENT = b"PK\x05\x06", 22, b"\0\0"


def seal(path: Path) -> None:
    """Writes the checksum into a .keras file, which remains one."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = MARK + b"0" * DIGITS
    with open(path, "r+b") as file:
        digest = _digest(file.read()[:-DIGITS])
        file.seek(-DIGITS, io.SEEK_END)
        file.write(digest)


def check_seal(path: Path) -> None:
    """Checks every byte of a sealed file; of one without a seal, what its archive can tell.

    Raises:
        ValueError: If it is damaged.
        OSError: If it cannot be read.
    """
    content = path.read_bytes()
    body, digest = content[:-DIGITS], content[-DIGITS:]
    if body.endswith(MARK):
        whole = _digest(body) == digest
    else:
        whole = _ends_as_keras_ends_it(content) and _is_whole_archive(content)
    if not whole:
        raise ValueError("it is damaged: its checksum is wrong")


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def _ends_as_keras_ends_it(content: bytes) -> bool:
    """False where there is half a seal."""
    return content[-END_LENGTH:].startswith(END) and content.endswith(NO_COMMENT)


def _is_whole_archive(content: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, OSError, EOFError):
        return False
