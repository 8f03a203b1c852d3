"""A program of bin/ that is killed, or fails, at a given moment of its work.

Arguments: JSON of the moment, the program's name and its flags. A moment is one of

    ["kill", event, n]       SIGKILL at the n-th event of this name
    ["kill", "random", f]    SIGKILL at a time that the fraction f chooses out of some five steps
    ["SIGINT", event, n]     this signal, or another, at the n-th event, and again at once, as of
                             someone who does not wait
    [errno, event, n]        the n-th event of this name fails with this error of the system
    ["memory", event, n]     and so with a `MemoryError`
    ["tensor", event, n]     a tensor is asked for that no memory holds
    []                       nothing happens

Events are `step`, `validation` and `test`, the end of a batch of each, and what happens to files:
`open`, `sync`, `rename`, `remove` or `mkdir` and a file's name, as in `rename log.csv`. Who is
killed as it syncs a file leaves half of it. The names of all events are kept in the file `events`.

TensorFlow's functions run eagerly, and as they are written: each process would spend seconds on
tracing them.
"""

import json
import os
import re
import runpy
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

import tensorflow as tf
from keras.callbacks import Callback
from tensorflow.python.autograph.impl import api

from keras_reptile import distribution
from keras_reptile.reptile_model import ReptileModel
from keras_reptile.runs.callbacks import StopOnDivergence

BIN = Path(__file__).resolve().parents[2] / "bin"
WRITES = os.O_WRONLY | os.O_RDWR
OURS = re.compile(r"checkpoints?|best|.*\.(json|csv|png|pb)|model|network|exported")


def eagerly():
    api.converted_call = lambda f, args, kwargs, *_, **__: f(*args, **(kwargs or {}))
    tf.config.run_functions_eagerly(True)
    warnings.filterwarnings("ignore", message="Even though the .* option is set")


class Disturbance:
    """Counts events, and does at one of them what was asked for."""

    def __init__(self, what=None, event=None, n=None):
        self.what, self.event, self.n = what, event, n
        self.seen, self.steps, self.dying = 0, [], False
        self.events = os.open("events", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)

    def happens(self, event, file=None):
        if self.dying:
            return
        os.write(self.events, f"{event}\n".encode())
        if event == "step" and self.event == "random":
            self.choose_a_time()
        self.seen += event == self.event
        if event == self.event and self.seen == self.n:
            self.strike(file)

    def strike(self, file):
        if self.what == "kill":
            if file is not None:
                os.truncate(file, os.fstat(file).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        if hasattr(signal, str(self.what)):
            for _ in range(2):
                os.kill(os.getpid(), getattr(signal, self.what))
            return
        self.dying = True
        if self.what == "memory":
            raise MemoryError
        if self.what == "tensor":
            tf.zeros([2**20, 2**30])
        raise OSError(self.what, os.strerror(self.what))

    def choose_a_time(self):
        self.steps.append(time.monotonic())
        if len(self.steps) == 2:
            seconds = self.n * 5 * (self.steps[1] - self.steps[0])
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()


def kind_of(path):
    """What a file is called, without what tells one process or meta-iteration from another."""
    name = re.sub(r"^\.(partial|replaced)-\d+-", "", os.path.basename(os.fsdecode(path)))
    name = re.sub(r"iteration-\d+", "checkpoint", name).removesuffix(".keras")
    return name if OURS.fullmatch(name) else None


def watch_files(disturbance):
    def audit(event, arguments):
        if event == "open" and isinstance(arguments[0], str | bytes) and arguments[2] & WRITES:
            found = "open", arguments[0]
        elif event in ("os.rename", "os.remove", "os.mkdir"):
            # A rename is called after where it leads.
            found = event[3:], arguments[1 if event == "os.rename" else 0]
        else:
            return
        if kind_of(found[1]):
            disturbance.happens(f"{found[0]} {kind_of(found[1])}")

    def fsync(file):
        path = os.readlink(f"/proc/self/fd/{file}")
        if os.path.isfile(path) and kind_of(path):
            # Opened for reading; truncated by its name.
            disturbance.happens(f"sync {kind_of(path)}", os.open(path, os.O_RDWR))
        plain(file)

    plain, os.fsync = os.fsync, fsync
    sys.addaudithook(audit)


def watch_batches(disturbance):
    def after_step(self, batch, logs=None):
        plain(self, batch, logs)
        disturbance.happens("step")

    def values_by_task(*arguments):
        for values in plain_values(*arguments):
            disturbance.happens("test")
            yield values

    def evaluate(*arguments, **named):
        callback = Callback()
        callback.on_test_batch_end = lambda batch, logs=None: disturbance.happens("validation")
        return plain_evaluate(*arguments, callbacks=[callback], **named)

    plain, StopOnDivergence.on_train_batch_end = StopOnDivergence.on_train_batch_end, after_step
    plain_evaluate, ReptileModel.evaluate = ReptileModel.evaluate, evaluate
    plain_values, distribution.values_by_task = distribution.values_by_task, values_by_task


if __name__ == "__main__":
    moment, name, *flags = sys.argv[1:]
    if name in ("train", "sweep"):
        eagerly()
    disturbance = Disturbance(*json.loads(moment))
    watch_batches(disturbance)
    watch_files(disturbance)
    sys.path.insert(0, str(BIN))
    sys.argv = [str(BIN / name), *flags]
    runpy.run_path(sys.argv[0], run_name="__main__")
