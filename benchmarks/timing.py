"""How the benchmarks time things."""

import time
from collections.abc import Callable

import keras
import tensorflow as tf

import keras_reptile as kr


def train_step(model: kr.ReptileModel) -> Callable:
    """A function of episodes: the model's training step, compiled as `fit` compiles it."""
    model.make_train_function()
    return tf.function(model.train_step, jit_compile=model.jit_compile, autograph=False)


def seconds_of(
    call: Callable, times: int, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """The seconds that each of so many calls takes, by a clock such as `time.process_time`."""
    found = []
    for _ in range(times):
        start = clock()
        call()
        found.append(clock() - start)
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
