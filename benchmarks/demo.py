#!/usr/bin/env python3
"""Times what the demo's page does after a stroke: adapt to all drawings, predict the new one.

  python benchmarks/demo.py
  python benchmarks/demo.py --ways=20 --steps=50

The network is Omniglot's, with its initial weights: the arithmetic does not depend on them. Each
time is the median of the rounds, with the fastest and the slowest. Run it on a quiet machine.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from absl import flags
from benchmark import run

import keras_reptile as kr
from keras_reptile.demo.drawings import prepare
from keras_reptile.demo.drawn_task import SHOTS, DrawnTask
from keras_reptile.recipes import building, named

FLAGS = flags.FLAGS
flags.DEFINE_integer("ways", 5, "Characters.")
flags.DEFINE_integer("steps", 50, "Inner steps.")
flags.DEFINE_integer("rounds", 30, "Times that each is done.")


def milliseconds(function) -> str:
    times = []
    for _ in range(FLAGS.rounds):
        start = time.perf_counter()
        function()
        times.append(1000 * (time.perf_counter() - start))
    return f"{np.median(times):.1f} ms ({min(times):.1f} to {max(times):.1f})"


def main():
    print(f"cores: {kr.one_task_per_core()}, inner steps: {FLAGS.steps}")
    recipe = named.get("omniglot_5way", ways=FLAGS.ways)
    task = DrawnTask(building.build_model(recipe, (28, 28, 1)), steps=FLAGS.steps)
    canvas = np.zeros((280, 280), np.float32)
    canvas[40:240, 130:143] = 1
    print(f"prepare one drawing: {milliseconds(lambda: prepare(canvas))}")
    drawings = np.random.RandomState(0).rand(FLAGS.ways, SHOTS, 28, 28, 1).astype(np.float32)
    for shots in range(1, SHOTS + 1):
        examples = drawings[:, :shots]
        learned = task.adapt(examples)
        print(
            f"{FLAGS.ways} characters x {shots}: "
            f"adapt from both weights {milliseconds(lambda: task.adapt(examples))}, "  # noqa: B023
            f"predict {milliseconds(lambda: task.predict(learned, examples[0, 0]))}"  # noqa: B023
        )


if __name__ == "__main__":
    run(main)
