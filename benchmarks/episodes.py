#!/usr/bin/env python3
"""Counts episodes a second from the input pipeline alone: 5 ways, 10 shots, meta-batch 5.

python benchmarks/episodes.py
"""

import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import numpy as np
from absl import app, flags

import keras_reptile as kr

FLAGS = flags.FLAGS
flags.DEFINE_list("classes", ["50", "4800", "50000"], "Pool sizes, in classes of 20 images.")
flags.DEFINE_integer("meta_batches", 2000, "Meta-batches to draw.")


def episodes_per_second(classes: int) -> float:
    images = np.zeros((20 * classes, 28, 28, 1), np.uint8)
    pool = kr.ClassPool(images, [20] * classes)
    dataset = kr.episode_dataset(pool, ways=5, shots=10, meta_batch_size=5)
    elements = iter(dataset)
    for _ in range(50):
        next(elements)
    start = time.perf_counter()
    for _ in range(FLAGS.meta_batches):
        next(elements)
    return 5 * FLAGS.meta_batches / (time.perf_counter() - start)


def main(argv):
    del argv
    print(f"cores: {kr.one_task_per_core()}")
    for classes in map(int, FLAGS.classes):
        rate = episodes_per_second(classes)
        print(f"{20 * classes:>9,} images: {rate:>7,.0f} episodes a second")


if __name__ == "__main__":
    app.run(main)
