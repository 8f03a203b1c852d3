"""The output of a run during training: a row for each epoch, in 80 columns, and the progress."""

import contextlib
import shutil
import sys
import textwrap
import time
from typing import Any

import keras
import tensorflow as tf

from keras_reptile.reptile_model import ReptileModel

# The columns, in this order. Queries, validation and the loss decide which of them a run has.
COLUMNS = (
    "accuracy",
    "loss_before",
    "loss_after",
    "val_accuracy",
    "val_loss_after",
    "test_accuracy",
)
# Columns that are left out if a run has the other one, to fit into 80 columns.
INSTEAD = {"val_loss_after": "val_accuracy", "loss_before": "test_accuracy"}
ITERATION = len("100,000/100,000")
SECONDS = len("  seconds")
# Seconds between two updates of the progress.
PAUSE = 0.2


class Progress(keras.callbacks.Callback):
    """Prints a table with a row for each epoch, and in a terminal the progress of the epoch.

    Args:
        total: Integer, the run's meta-iterations.
        verbose: Integer. 0 prints nothing, 1 prints all, and 2 prints the rows only.
    """

    def __init__(self, total: int, verbose: int):
        super().__init__()
        self.total, self.verbose = total, verbose
        self.columns: list[str] = []
        self.live = verbose == 1 and sys.stdout.isatty()
        self.width, self.shown_at = 0, 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.started = time.monotonic()
        self.first = self.model.meta_iteration

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        now = time.monotonic()
        if self.live and now - self.shown_at >= PAUSE:
            # An execution of several meta-iterations may end beyond the epoch.
            done = min(batch + 1, self.params["steps"])
            left = (now - self.started) / done * (self.params["steps"] - done)
            self.shown_at = now
            self._show(f"{self.first + done:,}/{self.total:,}, checkpoint in {left:.0f} s")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.verbose:
            return
        found = logs or {}
        self._show("")
        if not self.columns:
            self.columns = [name for name in COLUMNS if _has(found, name)]
            print(header(self.columns))
        seconds = time.monotonic() - self.started
        print(row(self.model.meta_iteration, self.total, seconds, self.columns, found), flush=True)

    def _show(self, text: str) -> None:
        """Replaces the text of the current line."""
        if self.live:
            sys.stdout.write(f"\r{text:<{self.width}}" + ("" if text else "\r"))
            sys.stdout.flush()
            self.width = len(text)


def header(columns: list[str]) -> str:
    """Returns the names of the columns. The first column is the meta-iteration.

    Example:

    >>> header(["accuracy", "val_accuracy"])
    ' meta-iteration  seconds  accuracy  val_accuracy'
    """
    return f"{'meta-iteration':>{ITERATION}}{'seconds':>{SECONDS}}" + "".join(
        f"  {name}" for name in columns
    )


def row(done: int, total: int, seconds: float, columns: list[str], found: dict[str, Any]) -> str:
    """Returns an epoch's numbers, aligned with the names of the columns.

    Example:

    >>> row(30, 60, 8.2, ["accuracy", "val_accuracy"], {"accuracy": 0.5, "val_accuracy": 0.75})
    '          30/60      8.2    0.5000        0.7500'
    """
    cells = [f"  {float(found[name]):>{len(name)}.4f}" for name in columns if name in found]
    return f"{f'{done:,}/{total:,}':>{ITERATION}}{seconds:>{SECONDS}.1f}" + "".join(cells)


def say(verbose: int, text: str) -> None:
    """Prints a sentence, if there is one. In a terminal, lines break between words."""
    if not verbose or not text:
        return
    # `get_terminal_size` asks the terminal behind standard output.
    with contextlib.suppress(ValueError):
        if sys.stdout.isatty():
            text = textwrap.fill(text, shutil.get_terminal_size().columns, break_on_hyphens=False)
    print(text, flush=True)


def _has(found, name) -> bool:
    return name in found and INSTEAD.get(name) not in found


def say_evaluation_batch(
    model: ReptileModel, episodes: tf.data.Dataset, verbose: int, copies: int = 1
) -> None:
    """Prints how many tasks of an evaluation a GPU or TPU computes at once.

    Each task is computed in so many copies.
    """
    batch = model._evaluation_batch(episodes.element_spec, copies)
    say(verbose if batch else 0, str(batch))


def bar_verbosity(verbose: int) -> int:
    """Returns 1 if a progress bar is wanted and the output is a terminal, else 0."""
    return int(verbose == 1 and sys.stdout.isatty())
