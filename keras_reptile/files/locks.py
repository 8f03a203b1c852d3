"""Locks on files and folders. The system releases them when their process ends or is killed."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from keras_reptile.errors import RunError, unwritable

# The errors of file systems without locks.
WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class Taken(Exception):
    """Raised when the lock is held elsewhere, in another process or in this one."""


@contextlib.contextmanager
def held(path: Path, wait: bool = False) -> Iterator[bool]:
    """Holds the lock on an existing file or folder. Yields whether the file system has locks.

    Some network file systems have none.

    Raises:
        Taken: If the lock is held elsewhere and `wait` is false.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        yield _lock(descriptor, wait)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator["FolderLock"]:
    """Locks a folder for the only process that may write there. Yields the lock.

    The file `.lock` in the folder names the process, and is removed at the end. A killed process
    leaves this file, but not the lock.

    Raises:
        RunError: If another process holds the lock, or the folder cannot be written.
    """
    lock = FolderLock(folder)
    try:
        yield lock
    finally:
        lock.release()


class FolderLock:
    """The lock on a folder, which can be checked again while it is held.

    Args:
        folder: Path of an existing folder.

    Raises:
        RunError: If another process holds the lock, or the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / ".lock"
        self.descriptor = self._taken()
        self.identity = os.stat(folder)

    def check(self) -> None:
        """Raises an error unless the path still leads to the folder that was locked.

        If the file `.lock` was removed, the folder is locked again.

        Raises:
            RunError: If the folder was renamed or removed, or another process has locked it.
        """
        if not _is(self.identity, self.folder):
            raise RunError(
                f"{self.folder} was renamed or removed during the run. Nothing more is written "
                "there. If it still exists, restore its name and start again: the run resumes from "
                "its newest checkpoint."
            )
        if not _is_named(self.descriptor, self.path):
            before, self.descriptor = self.descriptor, self._taken()
            os.close(before)
            print(f"{self.path} was removed during the run, and is locked again.", flush=True)

    def release(self) -> None:
        # Removed before it is unlocked. A process that has opened it finds it without a name.
        if _is_named(self.descriptor, self.path):
            self.path.unlink(missing_ok=True)
        os.close(self.descriptor)

    def _taken(self) -> int:
        try:
            return _lock_file(self.path)
        except Taken:
            raise RunError(
                f"{self.folder} is being written by another run (process {_holder(self.path)}). "
                "Wait for it to end or stop it, or choose another --output_dir."
            ) from None
        except OSError as error:
            raise unwritable(self.path, error) from None


def _lock_file(path: Path) -> int:
    # A `filelock.FileLock` does not check whether its file still has its name.
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor)
            if _is_named(descriptor, path):
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()} on {socket.gethostname()}".encode())
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, wait: bool = False) -> bool:
    try:
        taken = filelock.lock_descriptor(descriptor, blocking=wait)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        return False
    if not taken:
        raise Taken
    return True


def _is_named(descriptor: int, path: Path) -> bool:
    return _is(os.fstat(descriptor), path)


def _is(identity: os.stat_result, path: Path) -> bool:
    try:
        return os.path.samestat(identity, os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace") or "unknown"
    except OSError:
        return "unknown"
