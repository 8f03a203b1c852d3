#!/usr/bin/env python3
"""How far an accuracy would move if other characters had been kept for the test.

  python examples/other_test_classes.py --data_dir=DIR --output=docs/results/other_test_classes.json

Evaluates the initialization that ships with the package on Omniglot's 5-way 1-shot test tasks, and
gives two intervals: over tasks, as everywhere, and over the choice of the 423 test classes, which
any number of tasks leaves as it is.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import json
from pathlib import Path

import numpy as np
from absl import app, flags

import keras_reptile as kr
from keras_reptile.files import provenance
from keras_reptile.metrics.confidence import confidence_95_over_classes

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "TFDS's data directory.")
flags.DEFINE_string("output", "other_test_classes.json", "The JSON file to write.")
flags.DEFINE_string("model", "omniglot_5way", "A name that kr.pretrained knows, or its directory.")
flags.DEFINE_integer("tasks", 10000, "Test tasks.")
flags.DEFINE_integer("shots", 1, "Images of each class to learn from.")
flags.DEFINE_integer("seed", 0, "Decides the tasks.")
WAYS = 5
META_BATCH_SIZE = 10


def tasks_of(pool: kr.ClassPool):
    return kr.episode_dataset(
        pool,
        WAYS,
        FLAGS.shots,
        inner_batch_size=5,
        inner_steps=50,
        meta_batch_size=META_BATCH_SIZE,
        seed=FLAGS.seed,
        tasks=FLAGS.tasks,
    )


def classes_of_tasks(pool: kr.ClassPool) -> np.ndarray:
    """The classes `(tasks, ways)` of the tasks drawn from a pool.

    Draws depend on the pool's counts alone: the same ones from numbers in place of images.
    """
    numbers = np.repeat(np.arange(len(pool.counts)), pool.counts)
    numbered = kr.ClassPool(numbers[:, np.newaxis], pool.counts)
    found = [episode["query"][0][..., 0] for episode in tasks_of(numbered)]
    return np.concatenate(found)


def figures(found: kr.Evaluation, classes: np.ndarray) -> dict:
    return {
        "accuracy": found.accuracy,
        "confidence_95_over_tasks": found.confidence_95,
        "confidence_95_over_classes": confidence_95_over_classes(found.accuracies, classes),
    }


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"Only flags are accepted. Received: {argv[1:]}.")
    Path(FLAGS.output).parent.mkdir(parents=True, exist_ok=True)
    kr.one_task_per_core(jit_compile=True)
    try:
        test = kr.datasets.load("omniglot", data_dir=FLAGS.data_dir).test
    except (ValueError, kr.RunError) as error:
        sys.exit(f"other_test_classes.py: {error}")
    model = kr.pretrained(FLAGS.model)
    # With the loss it was trained by: the inner optimizer's moments go with it.
    model.compile("sgd", loss=model.task_loss, jit_compile=True)
    classes, both = classes_of_tasks(test), kr.evaluate_both(model, tasks_of(test), verbose=2)
    results = {
        name: figures(found, classes)
        for name, found in zip(("inductive", "transductive"), both, strict=True)
    }
    for name, result in results.items():
        print(name, *(f"{key}: {100 * value:.2f} %" for key, value in result.items()), sep="  ")
    content = {"classes": len(test.counts), "tasks": FLAGS.tasks, "shots": FLAGS.shots, **results}
    with open(FLAGS.output, "w") as file:
        json.dump({**content, **provenance.facts()}, file, indent=1)


if __name__ == "__main__":
    app.run(main)
