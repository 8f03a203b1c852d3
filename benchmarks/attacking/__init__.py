"""Attacks on the files of runs, see benchmarks/attacks.py."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from attacking import data, disks, kills, mutations
from attacking.verdicts import Verdicts


class Attack(NamedTuple):
    """An attack: what it does, how often, and the function that tries so often in a folder."""

    what: str
    number: int
    run: Callable[[int, Path], Verdicts]


ATTACKS = {
    "train": Attack("SIGKILL of `bin/train`", 24, kills.train),
    "train_float16": Attack("the same of a run in mixed_float16", 6, kills.train_float16),
    "evaluate": Attack("SIGKILL of `bin/evaluate`", 8, kills.evaluate),
    "export": Attack("SIGKILL of `bin/export --overwrite`", 10, kills.export),
    "sweep": Attack("SIGKILL of `bin/sweep`", 6, kills.sweep),
    "workers": Attack("SIGKILL of one worker of two", 2, kills.workers),
    "mutations": Attack(
        "mutated run.json, log.csv, summary.json, classes.json, checkpoints, CSV of a sweep and "
        "metadata.json of an export",
        20_000,
        mutations.attack,
    ),
    "tfrecords": Attack("a flipped bit in a TFRecord", 100, data.tfrecords),
    "zip_bombs": Attack("a small .keras file that inflates to 50 MB", 12, data.zip_bombs),
    "many_files": Attack("100,000 image files", 100_000, data.many_files),
    "clocks": Attack("a clock that jumps by years", 3, disks.clocks),
    "full_disk": Attack("a full disk (ENOSPC), a small tmpfs", 8, disks.full_disk),
    "tensorboard": Attack("EIO in TensorBoard's files", 3, disks.tensorboard),
    "other_file_systems": Attack(
        "a run and temporary files on other file systems (EXDEV)", 2, disks.other_file_systems
    ),
}
