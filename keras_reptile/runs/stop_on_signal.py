"""Stops a run after a signal, between two meta-iterations, and saves its state."""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

import keras

# Ctrl-C, `kill`, a closed terminal, and Slurm's warning before the time limit.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
SIGNALS = tuple(getattr(signal, name) for name in NAMES if hasattr(signal, name))
MESSAGES = {
    1: "{}: stopping after this meta-iteration, and saving. This takes some seconds.",
    2: "{}: still saving. A third signal ends at once, without saving.",
}
LAST = 3
# Seconds until the process is killed if Python does not run, as in a long operation.
GRACE = 1.0
POLL = 0.01


class Interrupted(Exception):
    """Raised when a run was asked to stop, between two meta-iterations."""


class Flag:
    """Is set once, also by a signal's handler.

    A second signal may come within the handler of the first. A `threading.Event` has a lock, for
    which the second handler would wait without end.

    Example:

    >>> flag = Flag()
    >>> flag.set()
    >>> flag.is_set()
    True
    """

    def __init__(self):
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, seconds: float) -> bool:
        """Returns whether it is set, after this time at the latest."""
        deadline = time.monotonic() + seconds
        while not self._is_set and time.monotonic() < deadline:
            time.sleep(POLL)
        return self._is_set


class StopOnSignal(keras.callbacks.Callback):
    """Raises `Interrupted` after a signal, between two meta-iterations.

    As a context manager it handles the signals that are not ignored. The first signal prints a
    message at once, also while TensorFlow computes: a thread reads the bytes that Python's C
    handlers write. The second signal has no effect. The third raises `KeyboardInterrupt`, or kills
    the process. Only the main thread can handle signals: in other threads, none is handled.

    Args:
        heard: `Flag` that is set by the first signal. Defaults to `None`, one of its own. Several
            runs stop together if the one in the main thread shares its flag with the others.
    """

    def __init__(self, heard: Flag | None = None):
        super().__init__()
        self.heard, self.count = heard or Flag(), 0
        self.before: dict[int, Any] = {}
        self._raised = Flag()

    @property
    def asked(self) -> bool:
        """Whether a signal has asked the run to stop."""
        return self.heard.is_set()

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        if threading.current_thread() is threading.main_thread():
            self._handle_signals()
        return self

    def __exit__(self, *error):
        self._stack.close()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        # After the last batch of an epoch, its validation, row and checkpoint are still made.
        if self.asked and batch + 1 < self.params["steps"]:
            raise Interrupted

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.asked:
            raise Interrupted

    def _handle_signals(self) -> None:
        handlers = {s: signal.getsignal(s) for s in SIGNALS}
        # `nohup` makes a program ignore SIGHUP. A handler in C is shown as `None`.
        self.before = {s: h for s, h in handlers.items() if h not in (signal.SIG_IGN, None)}
        reading, writing = socket.socketpair()
        writing.setblocking(False)
        listener = threading.Thread(target=self._listen, args=(reading,), daemon=True)
        listener.start()
        # The listener returns when the other end is closed.
        for undo in (reading.close, listener.join, writing.close):
            self._stack.callback(undo)
        wakeup = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        self._stack.callback(signal.set_wakeup_fd, wakeup)
        for number, handler in self.before.items():
            signal.signal(number, self._handle)
            self._stack.callback(signal.signal, number, handler)

    def _handle(self, number: int, frame: Any) -> None:
        self.heard.set()
        if self.count >= LAST and not self._raised.is_set():
            self._raised.set()
            raise KeyboardInterrupt

    def _listen(self, reading: socket.socket) -> None:
        while received := reading.recv(1):
            if received[0] in self.before:
                self.count += 1
                self._answer(signal.Signals(received[0]))

    def _answer(self, number: signal.Signals) -> None:
        if hasattr(signal, "SIGHUP") and number == signal.SIGHUP:
            leave_closed_terminal()
        if self.count in MESSAGES:
            # A progress bar may not have ended its line.
            start = "\n" if sys.stderr.isatty() else ""
            with contextlib.suppress(OSError):
                print(start + MESSAGES[self.count].format(number.name), file=sys.stderr, flush=True)
        if self.count == LAST:
            # The handler of this signal may have run before the signal was counted.
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            if not self._raised.wait(GRACE):
                os._exit(128 + number)


def leave_closed_terminal() -> None:
    """Redirects output from a closed terminal to /dev/null. Writing to the terminal would fail."""
    if not hasattr(select, "poll"):
        return
    for number in (1, 2):
        poll = select.poll()
        poll.register(number, 0)
        if poll.poll(0):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, number)
            os.close(nowhere)
