#!/usr/bin/env python3
"""The paper's figure 1: sine waves from ten points, by every method, and by a random network.

  python examples/sinusoid.py --output=docs/results/sinusoid

Trains each recipe for sine waves as `bin/train --recipe=NAME` does, or goes on where an earlier
start of this program stopped; then adapts every initialization to the same test waves. Prints the
mean squared error, and writes it as JSON and the predictions as a picture.
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
from matplotlib.figure import Figure

import keras_reptile as kr
from keras_reptile.files import provenance
from keras_reptile.metrics.confidence import confidence_95
from keras_reptile.pictures.style import save, styled
from keras_reptile.recipes import building, named
from keras_reptile.recipes.recipe import NOTES, Recipe
from keras_reptile.runs import training
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.wave_plot import draw_wave, predictions_after, shown_steps

FLAGS = flags.FLAGS
flags.DEFINE_string("runs", "runs", "The folder of the runs' directories.")
flags.DEFINE_string("output", "sinusoid", "Path of the picture and the JSON, without ending.")
flags.DEFINE_integer("meta_iterations", None, "Meta-iterations. Default: the recipes'.")
flags.DEFINE_integer("tasks", 1000, "Test waves.", 2)
flags.DEFINE_integer("shown", 2, "Test waves in the picture, the first ones.", 1)

METHODS = {
    "Reptile": "sinusoid",
    "FOMAML": "sinusoid_fomaml",
    "MAML": "sinusoid_maml",
    "joint training": "sinusoid_joint",
}
RANDOM = "random initialization"


def recipe_of(name: str) -> Recipe:
    return named.get(name, meta_iterations=FLAGS.meta_iterations, test_tasks=FLAGS.tasks)


def trained(name: str) -> tuple[kr.ReptileModel, dict]:
    """A recipe's model at the end of its run, and the run's summary."""
    path = os.path.join(FLAGS.runs, name)
    summary = training.train(recipe_of(name), path)
    return RunDirectory(path).restore(), summary


def facts_of(summary: dict) -> dict:
    settings = {k: v for k, v in summary["settings"].items() if k not in NOTES}
    return {"settings": settings, "seconds": summary["seconds"], "bin_train": summary["result"]}


def test_waves() -> list[dict]:
    recipe = recipe_of("sinusoid")
    pool = building.load_pools(recipe, None).test
    return list(building.evaluation_episodes(recipe, pool, FLAGS.tasks))


def errors(model: kr.ReptileModel, episodes: list[dict], steps: tuple) -> dict[int, dict]:
    """Mean squared error and its interval over all tasks, after each number of steps."""
    found = {number: [] for number in steps}
    for episode in episodes:
        y = episode["query"][1].numpy()[..., 0]
        for number, predictions in predictions_after(model, episode, steps).items():
            found[number].extend(np.mean((predictions - y) ** 2, axis=1, dtype=np.float64))
    return {
        number: {"loss": float(np.mean(values)), "confidence_95": confidence_95(values)}
        for number, values in found.items()
    }


@styled()
def draw(models: dict[str, kr.ReptileModel], episode: dict, steps: tuple, path: str) -> None:
    """A column for each method, a row for each wave."""
    shown = min(FLAGS.shown, len(episode["order"]))
    figure = Figure(figsize=(3.6 * len(models), 3.0 * shown + 0.6), layout="constrained")
    grid = figure.subplots(shown, len(models), sharex=True, sharey="row", squeeze=False)
    for column, (name, model) in zip(grid.T, models.items(), strict=True):
        predictions = predictions_after(model, episode, steps)
        column[0].set_title(name)
        for task, axes in enumerate(column):
            draw_wave(axes, episode, predictions, task)
        column[-1].set_xlabel("x")
    for row in grid:
        row[0].set_ylabel("f(x)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    save(figure, Path(path))


def print_table(results: dict[str, dict], steps: tuple) -> None:
    print(f"\nMean squared error over {FLAGS.tasks:,} test waves, after so many inner steps:")
    print(f"{'':24}" + "".join(f"{number:>18}" for number in steps))
    for name, result in results.items():
        cells = (f"{e['loss']:.3f} ± {e['confidence_95']:.3f}" for e in result["errors"].values())
        print(f"{name:24}" + "".join(f"{cell:>18}" for cell in cells))


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"Only flags are accepted. Received: {argv[1:]}.")
    Path(FLAGS.output).parent.mkdir(parents=True, exist_ok=True)
    kr.one_task_per_core()
    recipe, episodes = recipe_of("sinusoid"), test_waves()
    steps = shown_steps(recipe.eval_inner_steps)
    models, results = {}, {}
    for method, name in METHODS.items():
        models[method], summary = trained(name)
        results[method] = facts_of(summary)
    models[RANDOM], results[RANDOM] = building.build_model(recipe, (1,)), {}
    for method, model in models.items():
        results[method]["errors"] = errors(model, episodes, steps)
    print_table(results, steps)
    draw(models, episodes[0], steps, FLAGS.output + ".png")
    content = {"tasks": FLAGS.tasks, "methods": results, **provenance.facts()}
    with open(FLAGS.output + ".json", "w") as file:
        json.dump(content, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    app.run(main)
