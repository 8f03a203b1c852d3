"""Writes the system's buffers to the disk."""

import errno
import os
from pathlib import Path

# The errors of file systems that cannot sync folders or files, such as FUSE and SMB.
CANNOT_SYNC = {
    getattr(errno, name)
    for name in ("EINVAL", "EBADF", "ENOTSUP", "EOPNOTSUPP", "ENOSYS")
    if hasattr(errno, name)
}


def sync(path: Path) -> None:
    """Waits until a file's content, or a folder's list of files, is on the disk.

    File systems that cannot sync are ignored. There the system writes its buffers later.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        # A folder may be writable but not readable.
        if path.is_dir():
            return
        raise
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in CANNOT_SYNC:
            raise
    finally:
        os.close(descriptor)
