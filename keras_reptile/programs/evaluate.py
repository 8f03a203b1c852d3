"""Measures a trained network's accuracy on tasks of unseen classes."""

import json
import sys

from absl import flags

from keras_reptile import distribution
from keras_reptile.files.atomic_file import finite
from keras_reptile.programs import device_flags, recipe_flags
from keras_reptile.recipes import building
from keras_reptile.recipes.recipe import OF_EVALUATION, Recipe
from keras_reptile.runs import compilation
from keras_reptile.runs.divergence import in_words
from keras_reptile.runs.evaluating import evaluate_run
from keras_reptile.runs.run_directory import RunDirectory

FLAGS = flags.FLAGS


def overrides() -> dict:
    return recipe_flags.given_fields(Recipe, only=OF_EVALUATION)


def threads() -> dict:
    """Returns the arguments of `one_task_per_core`; none on hosts that do not have the run."""
    run = RunDirectory(FLAGS.checkpoint).read_run() if FLAGS.checkpoint else None
    if run is None:
        return {}
    recipe = Recipe(**run["settings"] | overrides())
    tasks = FLAGS.tasks * FLAGS.orientations
    at_once = min(building.EVALUATION_BATCH, tasks)
    return compilation.threads(compilation.of_evaluation(recipe, tasks), at_once)


def main() -> None:
    if FLAGS.checkpoint is None:
        raise ValueError("--checkpoint is missing: give an output directory of bin/train.")
    strategy = device_flags.strategy()
    results = evaluate_run(
        FLAGS.checkpoint,
        which=FLAGS.which,
        split=FLAGS.split,
        tasks=FLAGS.tasks,
        seed=FLAGS.seed,
        both=FLAGS.both,
        orientations=FLAGS.orientations,
        record=FLAGS.record,
        data_dir=FLAGS.data_dir,
        strategy=strategy,
        **overrides(),
    )
    if distribution.Workers(strategy).is_chief:
        for result in results:
            if diverged := in_words(result):
                print(f"evaluate: {diverged}", file=sys.stderr)
            print(json.dumps(finite(result)))
