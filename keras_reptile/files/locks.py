"""Locks on files and folders, which end with the process that holds them, even if it is killed."""

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from keras_reptile.errors import RunError, unwritable

# What file systems say that have no locks.
WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class Taken(Exception):
    """Someone else, in another process or in this one, holds the lock."""


@contextlib.contextmanager
def held(path: Path, wait: bool = False) -> Iterator[bool]:
    """Holds the lock on a file or folder that is there; yields whether there are locks here.

    Some network file systems have none.

    Raises:
        Taken: If someone else holds it, unless told to wait.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        yield _lock(descriptor, wait)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator["FolderLock"]:
    """Refuses a folder in which another process is at work already; yields the lock.

    The file `.lock` in it names the process. It goes when the work is done; what a killed process
    leaves of it locks nothing.

    Raises:
        RunError: If the folder is taken or cannot be written.
    """
    lock = FolderLock(folder)
    try:
        yield lock
    finally:
        lock.release()


class FolderLock:
    """The lock on a folder, and what has become of both since it was taken.

    Args:
        folder: Path of a folder that is there.

    Raises:
        RunError: If the folder is taken or cannot be written.
    """

    def __init__(self, folder: Path):
        self.folder, self.path = folder, folder / ".lock"
        self.descriptor = self._taken()
        self.identity = os.stat(folder)

    def check(self) -> None:
        """Makes sure that the folder is the one that was locked, and that nobody else writes there.

        A lock that someone removed is taken again.

        Raises:
            RunError: If the folder was renamed or removed, or another process has it now.
        """
        if not _is(self.identity, self.folder):
            raise RunError(
                f"{self.folder} was renamed or removed meanwhile. Nothing more is written there. "
                "If it still exists, give it its name back and start again: the run goes on from "
                "its newest checkpoint."
            )
        if not _is_named(self.descriptor, self.path):
            before, self.descriptor = self.descriptor, self._taken()
            os.close(before)
            print(f"{self.path} was removed meanwhile, and is locked again.", flush=True)

    def release(self) -> None:
        # While it is still locked: who opened it meanwhile finds that it has no name any more.
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
    # Not a `filelock.FileLock`, which does not tell whether its file still has its name.
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
        return path.read_text() or "unknown"
    except OSError:
        return "unknown"
