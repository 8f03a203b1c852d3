#!/usr/bin/env python3
"""Counts episodes a second from the input pipeline alone: 5 ways, meta-batch 5.

python benchmarks/episodes.py                       Omniglot's images, 10 shots
python benchmarks/episodes.py --image_shape=84,84,3 --classes=64 --images_per_class=600 \\
  --shots=15 --inner_steps=8                        miniImageNet's, as in the paper's runs
"""

import os
import resource
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from absl import flags
from benchmark import define_json, facts, figures, run

import keras_reptile as kr

FLAGS = flags.FLAGS
flags.DEFINE_list("classes", ["50", "4800", "50000"], "Pool sizes, in classes.")
flags.DEFINE_integer("images_per_class", 20, "Images of each class.")
flags.DEFINE_list("image_shape", ["28", "28", "1"], "Height, width and channels.")
flags.DEFINE_integer("shots", 10, "Support images of each class.")
flags.DEFINE_integer("inner_steps", 5, "Inner steps of a task, 10 images each.")
flags.DEFINE_bool(
    "scale", False, "Scale the images to float32, which `bin/train` leaves to the model."
)
flags.DEFINE_integer("meta_batches", 2000, "Meta-batches to draw.")
define_json("File to write the figures to.")


def made_up_pool(classes: int) -> kr.ClassPool:
    shape = tuple(map(int, FLAGS.image_shape))
    images = np.empty((FLAGS.images_per_class * classes, *shape), np.uint8)
    images.fill(7)  # Written, so that it takes up memory.
    return kr.ClassPool(images, [FLAGS.images_per_class] * classes)


def episodes_per_second(pool: kr.ClassPool) -> float:
    dataset = kr.episode_dataset(
        pool,
        ways=5,
        shots=FLAGS.shots,
        inner_steps=FLAGS.inner_steps,
        meta_batch_size=5,
        scale=FLAGS.scale,
    )
    elements = iter(dataset)
    for _ in range(50):
        next(elements)
    start = time.perf_counter()
    for _ in range(FLAGS.meta_batches):
        next(elements)
    return 5 * FLAGS.meta_batches / (time.perf_counter() - start)


def memory_peak() -> float:
    """The most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def main():
    cores = kr.one_task_per_core()
    print(f"cores: {cores}")
    with figures(lambda: {"cores": cores, **facts()}) as found:
        pools = found["pools"] = []
        for classes in map(int, FLAGS.classes):
            pools.append(measure(classes))


def measure(classes: int) -> dict:
    before = memory_peak()
    pool = made_up_pool(classes)
    rate = episodes_per_second(pool)
    higher = memory_peak() - before
    print(
        f"{len(pool.images):>9,} images of {pool.images.nbytes / 1e6:,.0f} MB: "
        f"{rate:>7,.0f} episodes a second, memory peak {higher:,.0f} MB higher",
        flush=True,
    )
    return {"images": len(pool.images), "episodes_per_second": rate, "memory_mb_more": higher}


if __name__ == "__main__":
    run(main)
