"""`bin/train` on a few classes, without pictures but with PICTURES=1.

With KILL_AT=n, this worker is killed after meta-iteration n. With PROGRAM=evaluate, `bin/evaluate`
of what it trained.
"""

import os
import runpy
import signal
import sys
from pathlib import Path

import tensorflow as tf
from helpers import one_layer

from keras_reptile import datasets
from keras_reptile.recipes import building
from keras_reptile.runs import finishing
from keras_reptile.runs.callbacks import StopOnDivergence

BIN = Path(__file__).resolve().parents[2] / "bin"

SETTINGS = dict(
    meta_iterations=6,
    checkpoint_every=2,
    meta_batch_size=4,
    inner_steps=2,
    eval_inner_steps=2,
    validation_tasks=3,
    test_tasks=5,
)


def few_classes(*_):
    return datasets.load("glyphs", classes=40, validation_classes=8, test_classes=8)


def kill_at(iteration):
    plain = StopOnDivergence.on_train_batch_end

    def on_train_batch_end(self, batch, logs=None):
        plain(self, batch, logs)
        if self.model.meta_iteration == iteration:
            os.kill(os.getpid(), signal.SIGKILL)

    StopOnDivergence.on_train_batch_end = on_train_batch_end


if __name__ == "__main__":
    building.load_pools = few_classes
    building.build_network = one_layer
    if "PICTURES" not in os.environ:
        finishing._draw = lambda *_: None
    # TensorFlow's own optimizer of graphs takes a sixth of so short a run.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    if "KILL_AT" in os.environ:
        kill_at(int(os.environ["KILL_AT"]))
    name = os.environ.get("PROGRAM", "train")
    program = str(BIN / name)
    sys.path.insert(0, str(BIN))
    flags = [f"--{field}={value}" for field, value in SETTINGS.items()] if name == "train" else []
    sys.argv = [program, *flags, *sys.argv[1:]]
    runpy.run_path(program, run_name="__main__")
