"""The target of a path that is written: a file, which is replaced, or a stream."""

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path

KINDS = {
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFBLK: "it is a block device",
    stat.S_IFCHR: "it is a device",
    stat.S_IFIFO: "it is a pipe",
}


def file_to_replace(path: Path) -> Path:
    """Returns the file that a path and its symbolic links lead to. It need not exist.

    Raises:
        OSError: If it is not a regular file, or a file that may not be written.
    """
    target = Path(os.path.realpath(path))
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        return target
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, KINDS.get(kind, "it is not a file"), str(path))
    _check_permission(target)
    return target


def is_stream(path: Path) -> bool:
    """Returns whether a path leads to a pipe, a character device, or this process's own output."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    kind = stat.S_IFMT(status.st_mode)
    return kind in (stat.S_IFIFO, stat.S_IFCHR) or _printed_to(status) is not None


def write_stream(path: Path, text: str) -> None:
    """Writes text to a stream, see `is_stream`. It waits until a pipe has a reader."""
    printed_to = _printed_to(os.stat(path))
    if printed_to is None:
        descriptor = os.open(path, os.O_WRONLY)
    else:
        # If it were opened again, the text would overwrite what was printed to it.
        descriptor = os.dup(printed_to)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def check_stream(path: Path) -> None:
    """Raises `OSError` for a stream that may not be written."""
    if _printed_to(os.stat(path)) is None:
        _check_permission(path)


def keep_mode_and_owner(made: Path, earlier: Path) -> None:
    """Gives a new file or folder the mode of the one it replaces, and its owner if permitted."""
    try:
        before = os.stat(earlier)
    except FileNotFoundError:
        return
    with contextlib.suppress(OSError):
        os.chown(made, before.st_uid, before.st_gid)
    # Some file systems do not have modes.
    with contextlib.suppress(OSError):
        os.chmod(made, before.st_mode & 0o777)


def _printed_to(status: os.stat_result) -> int | None:
    """Returns the descriptor of standard output or error, if it writes to this file."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(status, os.fstat(descriptor)):
                return descriptor
    return None


def _check_permission(path: Path) -> None:
    if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
