"""Locks on files and folders, which end with the process that holds them, even if it is killed."""

import contextlib
import importlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_reptile.errors import RunError, unwritable

fcntl: Any = None
with contextlib.suppress(ImportError):  # Windows
    fcntl = importlib.import_module("fcntl")


class Taken(Exception):
    """Someone else, in another process or in this one, holds the lock."""


@contextlib.contextmanager
def held(path: Path, wait: bool = False) -> Iterator[bool]:
    """Holds the lock on a file or folder that is there; yields whether there are locks here.

    Windows and some network file systems have none.

    Raises:
        Taken: If someone else holds it, unless told to wait.
    """
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        yield _lock(descriptor, wait)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Refuses a folder in which another process is at work already.

    The file `.lock` in it names the process. It goes when the work is done; what a killed process
    leaves of it locks nothing.

    Raises:
        RunError: If the folder is taken or cannot be written.
    """
    path = folder / ".lock"
    try:
        descriptor = _lock_file(path)
    except Taken:
        raise RunError(
            f"{folder} is being written by another run (process {_holder(path)}). Wait for it to "
            "end or stop it, or choose another --output_dir."
        ) from None
    except OSError as error:
        raise unwritable(path, error) from None
    try:
        yield
    finally:
        # While it is still locked: who opened it meanwhile finds that it has no name any more.
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock_file(path: Path) -> int:
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
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise Taken from None
    except OSError:
        return False
    return True


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _holder(path: Path) -> str:
    try:
        return path.read_text() or "unknown"
    except OSError:
        return "unknown"
