"""How the benchmarks time things."""

import time
from collections.abc import Callable

import keras


def seconds_of(call: Callable, times: int) -> list[float]:
    """The seconds that each of so many calls takes."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return found


class StepTimes(keras.callbacks.Callback):
    """Seconds between the ends of consecutive steps of `fit`, in `found`."""

    def __init__(self):
        super().__init__()
        self.found = []

    def on_epoch_begin(self, epoch, logs=None):
        self.last = None

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.last is not None:
            self.found.append(now - self.last)
        self.last = now
