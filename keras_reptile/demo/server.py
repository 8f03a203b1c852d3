"""Serves the page on this machine until it is interrupted, and leaves no files behind."""

import contextlib
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from keras_reptile.demo.guard import Application
from keras_reptile.errors import RunError

HOST = "127.0.0.1"
# Connections at a time. A page takes up to six.
MOST_CONNECTIONS = 200


def listen(port: int) -> socket.socket:
    """Returns a socket that listens at a port of this machine alone.

    Raises:
        RunError: If the port cannot be used.
    """
    listener = socket.socket()
    # A program that has just ended may have left connections on the port.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen()
    except OSError:
        listener.close()
        raise RunError(f"--port={port} cannot be used. Give another.") from None
    return listener


def server(application: Application) -> Any:
    """Returns a server whose `run(sockets=[listener])` answers until a signal ends the program."""
    import uvicorn

    config = uvicorn.Config(
        application,
        # Its headers are bounded: 64 KiB.
        http="h11",
        ws="none",
        log_level="critical",
        limit_concurrency=MOST_CONNECTIONS,
        # An open page keeps two connections for ever.
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(config)


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Makes the one folder of Gradio's temporary files, and removes it at the end.

    Gradio reads its name when it is imported.
    """
    with tempfile.TemporaryDirectory(prefix="keras_reptile_demo_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        yield folder


@contextlib.contextmanager
def cleaned_up_at_signals() -> Iterator[None]:
    """Makes a termination signal and a closed terminal raise `SystemExit` in the block."""
    names = ("SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    # Windows has no SIGHUP. A signal that is ignored, as by nohup, stays ignored.
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {each: signal.getsignal(each) for each in numbers}
    for each in numbers:
        if before[each] is not signal.SIG_IGN:
            signal.signal(each, _end)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _end(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)
