"""Errors that are not bugs. The programs in `bin/` show them as one line."""

import errno
import os
import re

import tensorflow as tf


class RunError(Exception):
    """Raised when a run cannot continue. The message gives the reason and advice, in one line."""


# Advice for errors of the system.
FREE_SPACE = "Free some space, and give the same command again"
ANOTHER_PLACE = "Make it writable, or choose another place"
MOUNTED = "It is a mount point, or lies in the image of a container: choose another place"
ADVICE = {
    errno.EISDIR: "Move that directory elsewhere, or choose another place",
    errno.ENOTDIR: "A part of the path is a file: choose another place",
    errno.ENOENT: "Check that its folder exists, or choose another place",
    errno.ENAMETOOLONG: "Choose a shorter name",
    errno.EINVAL: "Choose another place",
    errno.ENOSPC: FREE_SPACE,
    errno.EDQUOT: FREE_SPACE,
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f), or choose another place",
    errno.EMFILE: "Raise the limit on open files (ulimit -n)",
    errno.EXDEV: MOUNTED,
    errno.EBUSY: MOUNTED,
    errno.EIO: "The disk may be failing: choose another place",
}


def unwritable(path: str | os.PathLike, error: Exception) -> RunError:
    """Returns the error for a file or folder that could not be written.

    Example:

    >>> str(unwritable("log.csv", OSError(errno.EACCES, "Permission denied")))[:70]
    'log.csv cannot be written: Permission denied. Make it writable, or cho'
    """
    return RunError(
        f"{path} cannot be written: {reason(error)}. {advice(error)}. Files that were written "
        "earlier are complete."
    )


def advice(error: Exception) -> str:
    """Returns advice for an error of the system, or of TensorFlow when it writes a file."""
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return FREE_SPACE
    return ADVICE.get(getattr(error, "errno", None) or 0, ANOTHER_PLACE)


def cause(error: BaseException) -> str:
    """Returns an error's type and message on one line.

    Example:

    >>> cause(ValueError("a\\nb"))
    'ValueError: a'
    """
    return f"{type(error).__name__}: {reason(error)[:200]}"


def reason(error: BaseException) -> str:
    """Returns an error's message on one line, without the name of TensorFlow's operation.

    Example:

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.png"))
    'No such file or directory'
    >>> reason(ValueError("a\\nb"))
    'a'
    >>> reason(ValueError("{{node x}} a/b; No space left on device [Op:Write] name: "))
    'a/b; No space left on device'
    """
    message = getattr(error, "strerror", None) or str(error)
    line = (message.strip().splitlines() or [type(error).__name__])[0]
    return re.sub(r"^\{\{.*?\}\} | \[Op:.*$", "", line)
