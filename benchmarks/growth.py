#!/usr/bin/env python3
"""How the meta-step's time grows with the work, and that memory does not grow with time.

  python benchmarks/growth.py
  python benchmarks/growth.py --only=ways,memory --json=growth.json --plot=growth.png

Time of the recipe omniglot_5way's meta-step against the meta-batch, inner steps, ways and the
number of images in the pool, each alone (a minibatch holds two images of each class, as in the
recipe); and memory over meta-steps and over calls of `adapt`, with a small network. Images are made
up. Run it on a quiet machine.
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import gc
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import timing
from absl import flags
from benchmark import define_json, figures, run
from matplotlib.figure import Figure
from only import define_only

import keras_reptile as kr
from keras_reptile.pictures.style import COLOURS, save, styled
from keras_reptile.recipes import building, named
from keras_reptile.runs import compilation

SIZES = {
    "meta-batch": (1, 2, 4, 8, 16, 32, 64),
    "inner steps": (1, 2, 4, 8, 16, 32, 64),
    "ways": (5, 10, 20, 50, 100),
    "images": (1_000, 10_000, 100_000, 1_000_000),
}
MEMORY = {"meta-steps": 20_000, "adapt": 1_000}
POINTS, ROUNDS = 20, 4

FLAGS = flags.FLAGS
define_only([*SIZES, "memory"], "What to measure.")
flags.DEFINE_float("seconds", 4, "Timed seconds of each size.")
define_json("File to write the figures to.")
flags.DEFINE_string("plot", None, "PNG to draw them in.")


def pool(images: int = 4_000) -> kr.ClassPool:
    some = np.random.RandomState(0).randint(0, 256, (1000, 28, 28, 1)).astype(np.uint8)
    pixels = np.resize(some, (images, 28, 28, 1))
    return kr.ClassPool(pixels, [20] * (images // 20))


def meta_step(images: int = 4_000, **fields) -> Callable:
    """A meta-step with its input, as `fit` would take them, compiled."""
    recipe = named.get("omniglot_5way", **fields)
    model = building.build_model(recipe, (28, 28, 1))
    model.set_execution(jit_compile=compilation.of_training(recipe).jit_compile)
    elements = iter(building.training_episodes(recipe, pool(images)))
    step = timing.train_step(model)
    step_once = lambda: float(step(next(elements))["loss_before"])  # noqa: E731
    step_once()
    return step_once


def seconds_in_turns(steps: list[Callable]) -> list[float]:
    """Median time of each, measured in turns: a neighbour who takes a core then slows all."""
    found: list[list] = [[] for _ in steps]
    for _ in range(ROUNDS):
        for step, seconds in zip(steps, found, strict=True):
            step()  # Not timed: the caches are the others', and input is ready.
            end = time.perf_counter() + FLAGS.seconds / ROUNDS
            while time.perf_counter() < end:
                seconds += timing.seconds_of(step, 1)
    return [float(np.median(each)) for each in found]


FIELDS = {
    "meta-batch": lambda n: {"meta_batch_size": n},
    "inner steps": lambda n: {"inner_steps": n},
    "ways": lambda n: {"ways": n, "inner_batch_size": 2 * n},
    "images": lambda n: {"images": n},
}


def resident_mb() -> float:
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def small_model():
    network = keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(5)]
    )
    model = kr.ReptileModel(network, inner_optimizer="sgd")
    model.compile(keras.optimizers.SGD(0.1))
    return model


def memory_over_meta_steps() -> list:
    model, steps = small_model(), MEMORY["meta-steps"] // POINTS
    episodes = kr.episode_dataset(pool(), ways=5, shots=1, inner_batch_size=5, inner_steps=2)
    found = []
    for i in range(POINTS):
        model.fit(episodes, steps_per_epoch=steps, verbose=0)
        found.append(((i + 1) * steps, resident_mb()))
    return found


def memory_over_adaptations() -> list:
    model, calls = small_model(), MEMORY["adapt"] // POINTS
    x, y = np.random.RandomState(0).rand(5, 28, 28, 1).astype(np.float32), np.arange(5)
    found = []
    for i in range(POINTS):
        for _ in range(calls):
            model.adapt(x, y, steps=2)
        found.append(((i + 1) * calls, resident_mb()))
    return found


def measure(found: dict) -> None:
    """Adds the points of each curve that is to be measured."""
    # Memory first: later the process keeps what the largest pool took.
    if "memory" in FLAGS.only:
        runs = {"meta-steps": memory_over_meta_steps, "adapt": memory_over_adaptations}
        for name, measure_one in runs.items():
            found[name] = measure_one()
            (_, first), (last_at, last) = found[name][1], found[name][-1]
            print(f"{name:>12}: {first:.0f} MB early, {last:.0f} MB after {last_at:,}", flush=True)
    for name in (n for n in SIZES if n in FLAGS.only):
        seconds = seconds_in_turns([meta_step(**FIELDS[name](n)) for n in SIZES[name]])
        found[name] = [(n, 1e3 * s) for n, s in zip(SIZES[name], seconds, strict=True)]
        print(f"{name:>12}: " + "  ".join(f"{n:,}: {ms:.1f} ms" for n, ms in found[name]))


@styled()
def draw(found: dict) -> Figure:
    columns = 2 if len(found) in (2, 4) else min(3, len(found))
    rows = -(-len(found) // columns)
    figure = Figure(figsize=(4 * columns, 3.5 * rows), layout="constrained")
    plots = figure.subplots(rows, columns, squeeze=False).flat
    for axes, (name, points) in zip(plots, found.items(), strict=False):
        x, y = zip(*points, strict=True)
        axes.plot(x, y, "o-", color=COLOURS[0])
        axes.set(xlabel={"adapt": "calls of adapt"}.get(name, name), ylim=(0, 1.1 * max(y)))
        axes.set_ylabel("memory (MB)" if name in MEMORY else "meta-step (ms)")
        if name == "images":
            axes.set_xscale("log")
        elif name in ("meta-batch", "inner steps", "ways"):
            slope = sum(a * b for a, b in points) / sum(a * a for a, _ in points)
            axes.plot(x, [slope * n for n in x], ":", color="grey", label="in proportion")
            axes.legend()
        axes.grid(True)
    return figure


def main():
    kr.one_task_per_core(jit_compile=True)
    tf.get_logger().setLevel("ERROR")  # It warns of a step for each size.
    with figures() as content:
        found = content["figures"] = {}
        measure(found)
    if FLAGS.plot:
        save(draw(found), Path(FLAGS.plot))


if __name__ == "__main__":
    run(main)
