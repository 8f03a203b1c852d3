"""Functions that run in turn, and wait for answers in between.

Each function has its own thread, so that it can ask while other code calls it, such as Keras's
`fit`. Only one of them runs at a time.
"""

import threading
from collections.abc import Callable
from typing import Any


class Cancelled(BaseException):
    """Raised in a function that waits for an answer and gets none."""


class Turn:
    """A function that runs until it asks for something, and continues with the answer.

    Args:
        function: Function of the `Turn` itself, whose method `ask` it may call.

    `request` is what the function has asked for, or `None`. Once it has ended, `done` is true,
    `result` is what it returned, and `error` what it raised, or `None`.
    """

    def __init__(self, function: Callable[["Turn"], Any]):
        self.request: Any = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = False
        self._function = function
        self._answered, self._asked = threading.Semaphore(0), threading.Semaphore(0)
        # A function that is not waiting cannot be cancelled. It does not keep the process alive.
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Runs the function until it asks, or ends."""
        self._thread.start()
        self._asked.acquire()

    def answer(self, value: Any) -> None:
        """Answers the request, and runs the function until it asks again, or ends."""
        self._answer, self.request = value, None
        self._answered.release()
        self._asked.acquire()

    def cancel(self) -> None:
        """Ends a function that waits for an answer. Nothing else is cancelled."""
        if self.request is not None:
            self.answer(Cancelled())

    def ask(self, request: Any) -> Any:
        """Returns the answer to a request. The function calls it, and waits."""
        self.request = request
        self._asked.release()
        self._answered.acquire()
        if isinstance(self._answer, Cancelled):
            raise self._answer
        return self._answer

    def _run(self) -> None:
        try:
            self.result = self._function(self)
        except BaseException as error:
            self.error = error
        finally:
            self.done = True
            self._asked.release()
