#!/usr/bin/env python3
"""Searches a recipe for 1-shot tasks by successive halving, on validation classes only.

  python benchmarks/recipe_search.py --data_dir=DIR --output_dir=runs/recipe_search
  python benchmarks/recipe_search.py --data_dir=DIR --only=batch_5,meta_batch_2 --budgets=1600
  python benchmarks/recipe_search.py --data_dir=DIR --recipe=omniglot_20way --tasks=150

Every rung trains its candidates from scratch, and the best of them go to the next rung. All
candidates of a rung compute about as many images in their inner steps: a rung's budget is given as
meta-iterations of the paper's run, each of 5 tasks. A candidate is as good as the mean of its
inductive and transductive accuracy, at its better number of inner steps.

The results are recipe_search.csv and recipe_search.png in runs/recipe_search. Those of other
recipes have the folder and the names recipe_search_20way and recipe_search_mini_imagenet. A search
that was killed continues with the same command: it reads finished trials from the CSV, and the last
one from its checkpoint. The images of miniImageNet must be in DIR: bin/train puts them there.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from keras_reptile.programs.start import onednn

# Before TensorFlow's import, as the programs do.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", onednn(sys.argv[1:]))

from pathlib import Path

import keras
from absl import flags
from benchmark import run
from matplotlib.figure import Figure
from search_candidates import SEARCHES, Search, images_of, recipe_of, settings_of
from search_rows import best_rows, ranked, score

import keras_reptile as kr
from keras_reptile.files.atomic_file import read_csv, write_csv
from keras_reptile.pictures.style import COLOURS, MARKERS, save, styled
from keras_reptile.recipes import named
from keras_reptile.runs import compilation
from keras_reptile.runs.divergence import Diverged
from keras_reptile.runs.evaluating import evaluate_run
from keras_reptile.runs.training import train

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", None, "TFDS's data directory.")
flags.DEFINE_string("output_dir", "", "The folder of the CSV and of all runs; by default in runs/.")
flags.DEFINE_enum("recipe", "omniglot_5way", [*SEARCHES], "The run of the paper that is changed.")
flags.DEFINE_list("budgets", ["800", "1600"], "Meta-iterations of the paper's size, by rung.")
flags.DEFINE_list("only", [], "The candidates of the first rung. By default all.")
flags.DEFINE_integer("keep", 2, "Candidates that go to the next rung.")
flags.DEFINE_integer("tasks", 300, "Validation tasks.")
flags.DEFINE_list("eval_inner_steps", ["10", "30"], "Numbers of inner steps in evaluation.")

flags.register_multi_flags_validator(
    ["recipe", "only"],
    lambda given: {*given["only"]} <= {*SEARCHES[given["recipe"]].candidates},
    "--only must name candidates of --recipe's search, in benchmarks/search_candidates.py.",
)

COLUMNS = {"candidate": str, "budget": int, "eval_inner_steps": int}
MEASURED = {"inductive": float, "transductive": float, "seconds": float}


def search() -> Search:
    return SEARCHES[FLAGS.recipe]


def results_file() -> Path:
    """Returns the path of the CSV: each search has another one."""
    name = search().results
    return Path(FLAGS.output_dir or f"runs/{name}") / f"{name}.csv"


def trial(candidate: str, budget: int) -> list[dict]:
    """Trains a candidate and returns its rows, one for each number of evaluation steps."""
    recipe = recipe_of(search(), candidate, budget)
    steps = [*map(int, FLAGS.eval_inner_steps)]
    directory = results_file().parent / "runs" / f"{candidate}_{budget}"
    about = {
        "candidate": candidate,
        "settings": settings_of(search(), candidate),
        "budget": budget,
        "meta_iterations": recipe.meta_iterations,
        "images": recipe.meta_iterations * images_of(recipe),
        "seed": recipe.seed,
    }
    try:
        seconds = train(recipe, directory, data_dir=FLAGS.data_dir, verbose=0)["seconds"]
    except Diverged:
        # A run that diverges is worse than all others.
        zero = {"inductive": 0.0, "inductive_95": 0.0, "transductive": 0.0, "transductive_95": 0.0}
        row = {"eval_inner_steps": steps[0], "tasks": 0, **zero, "seconds": 0.0}
        return [about | row]
    return [
        about | {"eval_inner_steps": n, **accuracies(directory, n), "seconds": round(seconds, 1)}
        for n in steps
    ]


def accuracies(directory: Path, steps: int) -> dict:
    """Returns the accuracies of a run on validation tasks, after a number of inner steps."""
    ways = named.get(FLAGS.recipe).ways
    results = evaluate_run(
        directory,
        split="validation",
        tasks=FLAGS.tasks,
        both=True,
        data_dir=FLAGS.data_dir,
        verbose=0,
        ways=ways,
        eval_inner_batch_size=ways,
        eval_inner_steps=steps,
    )
    found: dict = {"tasks": FLAGS.tasks}
    for name, result in zip(("inductive", "transductive"), results, strict=True):
        found[name] = round(result["accuracy"], 5)
        found[f"{name}_95"] = round(result["confidence_95"], 5)
    return found


def rung(results: Path, rows: list[dict], budget: int, candidates: list[str]) -> list[str]:
    """Runs the missing trials of a rung, adds their rows, and returns the candidates by rank."""
    of_rung = [row for row in rows if int(row["budget"]) == budget]
    # A candidate whose settings were changed is not done, and its directory refuses them.
    done = {
        r["candidate"] for r in of_rung if r["settings"] == settings_of(search(), r["candidate"])
    }
    for candidate in candidates:
        if candidate not in done:
            rows += trial(candidate, budget)
            write_csv(results, rows)
            keras.utils.clear_session()
            save(picture(rows), results.with_suffix(".png"))
            print(", ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    return ranked(rows, budget, candidates)


@styled()
def picture(rows: list[dict]) -> Figure:
    """Draws the accuracy of each candidate on validation tasks, the best candidate on top."""
    best = best_rows(rows)
    names = list(dict.fromkeys(row["candidate"] for row in sorted(best, key=score)))
    budgets = sorted({int(row["budget"]) for row in best})
    figure = Figure(figsize=(10, 1.5 + 0.3 * len(names)), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, mode in zip(panels, ("inductive", "transductive"), strict=True):
        for i, budget in enumerate(budgets):
            own = [row for row in best if int(row["budget"]) == budget]
            x, half = ([100 * float(row[c]) for row in own] for c in (mode, f"{mode}_95"))
            y = [names.index(row["candidate"]) for row in own]
            look = {"color": COLOURS[i], "marker": MARKERS[i], "linestyle": "", "capsize": 2}
            axes.errorbar(x, y, xerr=half, label=f"budget {budget:,}", **look)
        axes.set(xlabel=f"{mode} accuracy (%)", yticks=range(len(names)), yticklabels=names)
        axes.grid(True)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=len(budgets))
    return figure


def main():
    paper = named.get(FLAGS.recipe)
    kernels = compilation.of_training(paper)
    kr.one_task_per_core(**compilation.threads(kernels.jit_compile, paper.meta_batch_size))
    results = results_file()
    results.parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict] = [*read_csv(results, COLUMNS | MEASURED, "Repair or remove it.")]
    candidates = FLAGS.only or list(search().candidates)
    for budget in map(int, FLAGS.budgets):
        candidates = rung(results, rows, budget, candidates)
        print(f"Budget {budget:,}: {', '.join(candidates)}", flush=True)
        candidates = candidates[: FLAGS.keep]


if __name__ == "__main__":
    run(main)
