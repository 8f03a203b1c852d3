"""Bringing to the disk what was written."""

import errno
import os
from pathlib import Path

# What file systems say that cannot sync folders, or anything: FUSE, SMB and others.
CANNOT_SYNC = {
    getattr(errno, name)
    for name in ("EINVAL", "EBADF", "ENOTSUP", "EOPNOTSUPP", "ENOSYS")
    if hasattr(errno, name)
}


def sync(path: Path) -> None:
    """Has the disk hold what was written to a file, or which files a folder has.

    Where the file system cannot, the system does so in its own time.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        # A folder may be written and not read.
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
