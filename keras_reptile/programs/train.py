"""Meta-trains a network with Reptile."""

import os
import shlex

from absl import flags

from keras_reptile import distribution
from keras_reptile.checks import counted
from keras_reptile.programs import device_flags
from keras_reptile.programs.help import as_typed
from keras_reptile.programs.recipe_listing import chosen, output_dir
from keras_reptile.programs.streams import fail
from keras_reptile.recipes.recipe import SINUSOID
from keras_reptile.runs import compilation
from keras_reptile.runs.divergence import in_words
from keras_reptile.runs.run_checks import check_settings
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.stop_on_signal import Interrupted
from keras_reptile.runs.training import train

FLAGS = flags.FLAGS


def threads() -> dict:
    recipe = chosen()
    kernels = compilation.of_training(recipe, RunDirectory(output_dir()).read_run())
    return compilation.threads(kernels.jit_compile, compilation.tasks_at_once(recipe))


def main() -> None:
    recipe = chosen()
    folder = output_dir()
    check_settings(recipe)
    strategy = device_flags.strategy(recipe.meta_batch_size)
    is_chief = distribution.Workers(strategy).is_chief
    try:
        summary = train(recipe, folder, data_dir=FLAGS.data_dir, strategy=strategy)
    except Interrupted:
        if not is_chief:
            fail("stopped. The chief keeps the checkpoints.", 130)
        fail(f"stopped and saved in {folder}. The same command resumes from there.", 130)
    if is_chief:
        report(summary, folder)


def report(summary: dict, folder: str) -> None:
    result = summary["result"]
    rate = summary["meta_iterations_per_second"]
    times = ""
    if rate is not None:
        times = f" in {summary['seconds']:.0f} s ({rate:.1f} a second, validation included)"
    iterations = summary["settings"]["meta_iterations"]
    print(f"\nTrained {counted(iterations, 'meta-iteration')}{times}.")
    if result:
        print(result_line(result))
        if diverged := in_words(result):
            print(diverged)
    names = ("curve.png", "tasks.png", "predictions.png")
    pictures = ", ".join(n for n in names if os.path.exists(os.path.join(folder, n)))
    print(f"In {folder}: checkpoints/, log.csv, {pictures}, summary.json.")
    for line in next_steps(folder, summary["settings"]["dataset"], FLAGS.data_dir):
        print(line)


def next_steps(output_dir: str, dataset: str, data_dir: str | None) -> list[str]:
    """Returns commands for the next steps with a finished run.

    Example:

    >>> next_steps("runs/my glyphs", "glyphs", None)[0]
    "Evaluate: bin/evaluate --checkpoint='runs/my glyphs' --both"
    >>> next_steps("runs/a", "omniglot", "my data")[0]
    "Evaluate: bin/evaluate --checkpoint=runs/a --data_dir='my data' --both"
    """
    run = shlex.quote(output_dir)
    data = f" --data_dir={shlex.quote(data_dir)}" if data_dir else ""
    both = "" if dataset == SINUSOID else " --both"
    export = shlex.quote(os.path.join("exported", os.path.basename(os.path.abspath(output_dir))))
    return [
        as_typed(f"Evaluate: bin/evaluate --checkpoint={run}{data}{both}"),
        as_typed(f"Export:   bin/export --checkpoint={run} --output={export}"),
    ]


def spread(half: float | None, scale: int, digits: int) -> str:
    """Returns the interval's half width as text. A single task has no interval."""
    return "" if half is None else f" ± {scale * half:.{digits}f}"


def result_line(result: dict) -> str:
    half = result["confidence_95"]
    tasks = counted(result["tasks"], "task")
    if "loss" in result:
        loss = "not finite" if result["loss"] is None else f"{result['loss']:.4f}"
        return (
            f"Test loss {loss}{spread(half, 1, 4)} (mean squared error "
            f"after {counted(result['inner_steps'], 'step')} on "
            f"{counted(result['shots'], 'point')}, {tasks})."
        )
    kind = "transductive" if result["transductive"] else "inductive"
    return (
        f"Test accuracy {100 * result['accuracy']:.2f} %{spread(half, 100, 2)} "
        f"({result['ways']}-way {result['shots']}-shot, {kind}, {tasks})."
    )
