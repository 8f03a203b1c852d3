"""Draws the accuracy of several runs against seconds of training."""

from pathlib import Path

from absl import flags

from keras_reptile.checks import check_number, local_path
from keras_reptile.experiments.comparison import (
    comparison,
    in_words,
    other_tasks,
    read_log,
    read_tasks,
)
from keras_reptile.files.atomic_file import check_writable
from keras_reptile.pictures.style import save
from keras_reptile.runs.run_files import check_no_file_of_a_run

FLAGS = flags.FLAGS


def named() -> dict:
    """Returns the runs by name.

    Raises:
        ValueError: If there are no runs, or names are missing or equal.
    """
    if not FLAGS.runs:
        raise ValueError("--runs is missing: output directories of bin/train, separated by commas.")
    names = FLAGS.names or FLAGS.runs
    if not len(set(names)) == len(names) == len(FLAGS.runs):
        raise ValueError(
            f"Each run needs its own name. Received: {len(FLAGS.runs)} --runs, and the names "
            f"{', '.join(names)}. Use --names, with one name for each run."
        )
    return dict(zip(names, FLAGS.runs, strict=True))


def check_reference(reference: float | None) -> None:
    """Raises `ValueError` if a reference is given that is no accuracy in percent."""
    if reference is None:
        return
    check_number("reference", reference)
    if not 0 <= reference <= 100:
        raise ValueError(
            "`reference` must be an accuracy in percent, from 0 to 100. Received: "
            f"reference={reference}. Give a number such as 95.4, or leave it out."
        )


def main() -> None:
    check_reference(FLAGS.reference)
    paths = {name: local_path(path) for name, path in named().items()}
    runs = {name: read_log(path) for name, path in paths.items()}
    unlike = other_tasks({name: read_tasks(path) for name, path in paths.items()})
    check_no_file_of_a_run("output", FLAGS.output)
    check_writable(FLAGS.output)
    save(comparison(runs, FLAGS.reference), Path(FLAGS.output))
    for name, rows in runs.items():
        print(in_words(name, rows))
    if unlike:
        print(unlike)
    print(f"In {FLAGS.output}.")
