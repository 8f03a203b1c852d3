"""Standard output and error of a program. They may be closed, broken or full."""

import codecs
import contextlib
import errno
import os
import select
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import NoReturn

# Errors of a write to a stream.
OF_WRITING = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# Characters outside ASCII that the programs print.
IN_ASCII = {"±": "+-", "θ": "theta", "²": "^2", "→": "->", "━": "="}


def called() -> str:
    """Returns the name by which the user has called the program: `train`, or `reptile train`."""
    folder, name = os.path.split(sys.argv[0])
    # With `python -m keras_reptile`, it is the path of `__main__.py`.
    as_module = name == "__main__.py" and os.path.basename(folder) == "keras_reptile"
    if name != "reptile" and not as_module:
        return name
    return " ".join(["reptile", *sys.argv[1:2]])


def fail(message: str, status: int = 1) -> NoReturn:
    """Ends the program with one line on standard error."""
    # Standard error may have no reader any more.
    with contextlib.suppress(OSError):
        print(f"{called()}: {message}", file=sys.stderr, flush=True)
    sys.exit(status)


def prepare() -> None:
    """Opens streams that are closed, and makes the others accept any text."""
    # If a stream is closed when the program starts, Python sets it to None.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for number in (1, 2):
        # Otherwise a pipe that is full for a moment would raise an error.
        with contextlib.suppress(OSError):
            os.set_blocking(number, True)
    codecs.register_error("in_ascii", in_ascii)
    for stream in (sys.stdout, sys.stderr):
        # The streams of tests and notebooks do not have it.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="in_ascii")


def in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replaces characters that a stream's encoding lacks. It is a handler of encoding errors.

    Example:

    >>> codecs.register_error("in_ascii", in_ascii)
    >>> "89 % ± 1".encode("ascii", "in_ascii"), "caf\\u00e9".encode("ascii", "in_ascii")
    (b'89 % +- 1', b'caf\\\\xe9')
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    # Bytes of a file name that are not text.
    if all("\udc80" <= character <= "\udcff" for character in text):
        return text.encode("utf-8", "surrogateescape"), error.end
    return "".join(IN_ASCII.get(c) or ascii(c)[1:-1] for c in text), error.end


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """Ends the program when standard output cannot be written.

    If its reader is gone, the program ends silently, as Unix filters do. If the disk is full, it
    ends with one line.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in OF_WRITING:
            raise
        # Otherwise Python would write again when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            end_by_broken_pipe()
        fail(f"the standard output cannot be written: {error.strerror}.")


def nobody_reads() -> bool:
    """Returns whether standard output or error is a pipe without a reader."""
    if not hasattr(select, "poll"):
        return False
    pipes = select.poll()
    for number in (1, 2):
        pipes.register(number, 0)
    return any(event & select.POLLERR for _, event in pipes.poll(0))


def end_by_broken_pipe() -> NoReturn:
    """Ends the program silently, by the signal SIGPIPE if the system has it."""
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)
    sys.exit(0)


@contextlib.contextmanager
def shown_if_it_fails() -> Iterator[None]:
    """Hides what is written to standard error, and shows it only after an exception."""
    log = _memory()
    if log is None:
        yield
        return
    stderr = os.dup(2)
    os.dup2(log, 2)
    try:
        yield
    except Exception:
        os.lseek(log, 0, os.SEEK_SET)
        os.write(stderr, os.read(log, 1 << 20))
        raise
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(log)


def _memory() -> int | None:
    """Returns the descriptor of a file without a name, or `None` if none can be created."""
    try:
        if hasattr(os, "memfd_create"):
            return os.memfd_create("log")
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())
    except OSError:
        return None
