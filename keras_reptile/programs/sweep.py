"""Trains the runs of one of the paper's figures, and draws it."""

import math
import os

from absl import flags

from keras_reptile.checks import counted
from keras_reptile.experiments import figures
from keras_reptile.experiments.sweep import choose, sweep
from keras_reptile.programs import recipe_flags
from keras_reptile.programs.streams import fail
from keras_reptile.recipes.recipe import NOTES, Recipe
from keras_reptile.runs import compilation
from keras_reptile.runs.stop_on_signal import Interrupted

FLAGS = flags.FLAGS


def list_runs(overrides: dict) -> None:
    for name, each in choose(figures.runs_of(FLAGS.figure, **overrides), FLAGS.only).items():
        r = each.recipe
        print(
            f"{name}: {r.method}, {counted(r.inner_steps, 'step')} of "
            f"{counted(r.inner_batch_size, 'image')}, "
            f"{r.minibatches}, tail_shots={r.tail_shots}, meta_step_size={r.meta_step_size:g}; "
            + ", ".join(f"{k}={v}" for k, v in each.columns.items())
        )


def overrides() -> dict:
    return recipe_flags.given_fields(Recipe, without=NOTES)


def threads() -> dict:
    """Returns the arguments of `one_task_per_core` that suit the long runs of the sweep."""
    if FLAGS.figure is None or FLAGS.list or FLAGS.draw_only:
        return {}
    runs = choose(figures.runs_of(FLAGS.figure, **overrides()), FLAGS.only).values()
    long = [
        each.recipe for each in runs if compilation.of_training(each.recipe).jit_compile is True
    ]
    at_once = min(map(compilation.tasks_at_once, long), default=0)
    return compilation.threads(bool(long), at_once)


def main() -> None:
    if FLAGS.figure is None:
        raise ValueError(f"--figure is missing: one of {', '.join(sorted(figures.FIGURES))}.")
    if FLAGS.list:
        return list_runs(overrides())
    if FLAGS.draw_only and FLAGS.only:
        raise ValueError(
            "--only chooses the runs to train, and --draw_only trains none. Received: "
            f"--only={','.join(FLAGS.only)}. Leave one of the two out."
        )
    output_dir = FLAGS.output_dir or os.path.join("runs", FLAGS.figure)
    try:
        rows = sweep(
            FLAGS.figure,
            output_dir,
            only=tuple(FLAGS.only),
            draw_only=FLAGS.draw_only,
            seeds_at_once=FLAGS.seeds_at_once,
            data_dir=FLAGS.data_dir,
            **overrides(),
        )
    except Interrupted:
        fail(f"stopped and saved in {output_dir}. The same command resumes from there.", 130)
    report(rows, output_dir)


def report(rows: list, output_dir: str) -> None:
    final = [row for row in rows if row["measured"] == "final"]
    print()
    for row in final:
        accuracy, half = 100 * row["accuracy"], 100 * row["confidence_95"]
        spread = f" ± {half:.2f}" if math.isfinite(half) else ""
        print(f"{row['run']}: {accuracy:.2f} %{spread} ({row['seconds']:.0f} s)")
    seconds = sum(row["seconds"] for row in final)
    print(f"{counted(len(final), 'run')} done, {seconds:,.0f} s of training.")
    # The runs' directories may have been removed. The CSV is enough to resume.
    directories = ", runs/" if os.path.isdir(os.path.join(output_dir, "runs")) else ""
    print(f"In {output_dir}: {FLAGS.figure}.csv, {FLAGS.figure}.png{directories}.")
