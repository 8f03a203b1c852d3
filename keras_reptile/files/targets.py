"""Where a path leads that is to be written: to a file, which is replaced, or to a stream."""

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
    """The file behind a path and its symbolic links, whether it is there or not.

    Raises:
        OSError: If something else is there, which must not be replaced, or a protected file.
    """
    target = Path(os.path.realpath(path))
    try:
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        return target
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, KINDS.get(kind, "it is no file"), str(path))
    _check_permission(target)
    return target


def is_stream(path: Path) -> bool:
    """Whether a path leads to a pipe, a device that takes text, or what this process prints to."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    kind = stat.S_IFMT(status.st_mode)
    return kind in (stat.S_IFIFO, stat.S_IFCHR) or _printed_to(status) is not None


def write_stream(path: Path, text: str) -> None:
    """Writes text to where `is_stream` says that a path leads.

    A pipe is waited for until someone reads it.
    """
    printed_to = _printed_to(os.stat(path))
    if printed_to is None:
        descriptor = os.open(path, os.O_WRONLY)
    else:
        # Opened anew, a file would begin at its start, over what was printed.
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
    """Gives what is to replace a file or folder its permissions, and its owner where it may."""
    try:
        before = os.stat(earlier)
    except FileNotFoundError:
        return
    with contextlib.suppress(OSError):
        os.chown(made, before.st_uid, before.st_gid)
    # Some file systems have no modes.
    with contextlib.suppress(OSError):
        os.chmod(made, before.st_mode & 0o777)


def _printed_to(status: os.stat_result) -> int | None:
    """The standard output's or error's descriptor, if this is what it writes to."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(status, os.fstat(descriptor)):
                return descriptor
    return None


def _check_permission(path: Path) -> None:
    if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
