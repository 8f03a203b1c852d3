#!/usr/bin/env python3
"""Measures a shipped model on test tasks, each solved in one and in several orientations.

  python benchmarks/orientations.py --data_dir=DIR --model=omniglot_5way --tasks=10000 \\
    --orientations=1,4 --json=docs/results/omniglot_5way_orientations.json

The tasks and settings are those of the model's run. All orientations have the same tasks.
"""

import json
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from absl import flags
from benchmark import define_json, define_orientations, figures, run

import keras_reptile as kr
from keras_reptile.export.layout import METADATA
from keras_reptile.pretrained import MODELS
from keras_reptile.recipes import building
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs import compilation
from keras_reptile.runs.results import measure_both

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "TFDS's data directory.")
flags.DEFINE_enum("model", "omniglot_5way", kr.pretrained_names(), "The shipped model.")
flags.DEFINE_integer("tasks", 10_000, "Test tasks.", lower_bound=2)
define_orientations()
define_json("File to write the accuracies to.")


def main():
    settings = json.loads((MODELS / FLAGS.model / METADATA).read_text())["settings"]
    recipe = Recipe(**settings)
    numbers = [*map(int, FLAGS.orientations)]
    jit_compile = compilation.of_evaluation(recipe, FLAGS.tasks * max(numbers))
    kr.one_task_per_core(**compilation.threads(jit_compile, building.EVALUATION_BATCH))
    test = building.load_pools(recipe, FLAGS.data_dir, ("test",)).test
    tasks = building.evaluation_episodes(recipe, test, FLAGS.tasks)
    model = kr.pretrained(FLAGS.model)
    model.set_execution(jit_compile=jit_compile)
    with figures() as found:
        found["model"], found["settings"], found["rows"] = FLAGS.model, settings, []
        for number in numbers:
            start = time.perf_counter()
            results = measure_both(recipe, model, tasks, orientations=number)
            seconds = time.perf_counter() - start
            found["rows"].append({"orientations": number, "results": results, "seconds": seconds})
            print(found["rows"][-1], flush=True)


if __name__ == "__main__":
    run(main)
