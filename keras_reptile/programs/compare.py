"""Draws the accuracy of several runs against seconds of training."""

from pathlib import Path

from absl import flags

from keras_reptile.checks import check_number, local_path
from keras_reptile.experiments.comparison import comparison, in_words, read_log
from keras_reptile.pictures.style import save

FLAGS = flags.FLAGS


def named() -> dict:
    """The runs by their names, and checks of both."""
    if not FLAGS.runs:
        raise ValueError("--runs is missing: output directories of bin/train, between commas.")
    names = FLAGS.names or FLAGS.runs
    if not len(set(names)) == len(names) == len(FLAGS.runs):
        raise ValueError(
            f"Every run needs a name of its own. Received: {len(FLAGS.runs)} --runs, and the names "
            f"{', '.join(names)}. Use --names, with one for each run."
        )
    return dict(zip(names, FLAGS.runs, strict=True))


def main() -> None:
    if FLAGS.reference is not None:
        check_number("reference", FLAGS.reference)
    runs = {name: read_log(local_path(path)) for name, path in named().items()}
    save(comparison(runs, FLAGS.reference), Path(FLAGS.output))
    for name, rows in runs.items():
        print(in_words(name, rows))
    print(f"In {FLAGS.output}.")
