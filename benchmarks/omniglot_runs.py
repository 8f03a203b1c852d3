#!/usr/bin/env python3
"""Measures a run's initialization on the 20 fixed one-shot tasks of Omniglot's authors.

  python benchmarks/omniglot_runs.py --checkpoint=runs/background --runs=FOLDER \\
    --orientations=1,4 --json=docs/results/omniglot_runs.json

FOLDER has the content of all_runs.zip in https://github.com/brendenlake/omniglot. The run must be
trained on the background alphabets. The inner steps are those of its tests. To show that the runs
are read as their authors do, it also measures their baseline: the nearest training image by the
modified Hausdorff distance, with an error of 38.8 %.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import dataclasses

import numpy as np
from absl import flags
from benchmark import define_json, define_orientations, figures, run

import keras_reptile as kr
from keras_reptile.recipes import building
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs.evaluating import load_chosen, read_run
from keras_reptile.runs.other_ways import with_ways
from keras_reptile.runs.results import measure_both
from keras_reptile.runs.run_checks import check_checkpoint, check_outputs
from keras_reptile.runs.run_directory import RunDirectory

RUNS, WAYS = 20, 20
# Height and width of the authors' images.
ORIGINAL_SIZE = 105

FLAGS = flags.FLAGS
flags.DEFINE_string("checkpoint", None, "The output directory of bin/train.", required=True)
flags.DEFINE_string("runs", None, "The folder with run01 to run20.", required=True)
define_orientations()
define_json("File to write the accuracies to.")


def check_split(trained: Recipe) -> None:
    """Raises `ValueError` if a run may be trained on the characters of the tasks."""
    if (trained.dataset, trained.dataset_split) != ("omniglot", "background"):
        raise ValueError(
            "The runs have characters of Omniglot's evaluation alphabets. Received: a checkpoint "
            f"with dataset={trained.dataset!r}, dataset_split={trained.dataset_split!r}, which may "
            "be trained on them. Train with --dataset=omniglot --dataset_split=background."
        )


def of_tasks(trained: Recipe) -> Recipe:
    """Returns the recipe of the tasks."""
    tasks = dict(ways=WAYS, shots=1, queries=1, eval_classes="within_alphabet")
    return dataclasses.replace(trained, **tasks, train_ways=trained.ways_in_training)


def baseline_error(runs: str) -> float:
    """Returns the error of nearest neighbours by the modified Hausdorff distance, over all runs."""
    (element,) = kr.omniglot_runs(runs, image_size=ORIGINAL_SIZE)
    (known, _), (queries, answers) = element["support"], element["query"]
    wrong = []
    for images, others, labels in zip(known.numpy(), queries.numpy(), answers.numpy(), strict=True):
        distances = [[distance(a, b) for a in map(ink, images)] for b in map(ink, others)]
        wrong.append(np.argmin(distances, axis=1) != labels)
    return float(np.mean(wrong))


def ink(image: np.ndarray) -> np.ndarray:
    """Returns the positions `(pixels, 2)` of an image's ink, with their mean at the origin."""
    found = np.argwhere(image[..., 0] == 0).astype(np.float64)
    return found - found.mean(axis=0)


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the modified Hausdorff distance of two sets of points (Dubuisson, Jain 1994)."""
    between = np.sqrt(np.square(a[:, None] - b[None]).sum(axis=-1))
    return max(between.min(axis=1).mean(), between.min(axis=0).mean())


def main():
    kr.one_task_per_core()
    directory = RunDirectory(FLAGS.checkpoint)
    trained = Recipe(**read_run(directory)["settings"])
    check_split(trained)
    building.prepare(trained)
    recipe = of_tasks(trained)
    tasks = kr.omniglot_runs(
        FLAGS.runs,
        image_size=recipe.image_size,
        inner_batch_size=recipe.eval_inner_batch_size,
        inner_steps=recipe.eval_inner_steps,
    )
    if (number := tasks.element_spec["order"].shape[0]) != RUNS:
        raise ValueError(f"--runs must have {RUNS} runs. Received: {number}.")
    saved = load_chosen(directory, "last")
    check_checkpoint(trained, saved, directory.checkpoints)
    check_outputs(recipe, saved)
    model = with_ways(saved, WAYS)
    with figures() as found:
        found["baseline_error"] = baseline_error(FLAGS.runs)
        found["meta_iteration"] = model.meta_iteration
        found["settings"], found["rows"] = dataclasses.asdict(recipe), []
        for number in map(int, FLAGS.orientations):
            results = measure_both(recipe, model, tasks, orientations=number)
            found["rows"].append({"orientations": number, "results": results})
            print(found["rows"][-1], flush=True)


if __name__ == "__main__":
    run(main)
