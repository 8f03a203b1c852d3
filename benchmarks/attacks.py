#!/usr/bin/env python3
"""Attacks the files of runs by kills, mutations, failing disks and jumping clocks.

  python benchmarks/attacks.py
  python benchmarks/attacks.py --only=mutations,tfrecords --share=0.1
  python benchmarks/attacks.py --json=attacks.json

Exits with status 1 if an attack ends in a traceback, or in another result than it should. Runs are
tiny. The time that all of them take is in the JSON file. `full_disk` and `other_file_systems` mount
file systems, which needs root. `tensorboard` needs gcc. What cannot be tried has failed.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = ""
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]

import tensorflow_datasets as tfds
from absl import flags, logging
from attacking import ATTACKS
from attacking.verdicts import Verdicts
from benchmark import define_json, facts, figures, run
from only import define_only

FLAGS = flags.FLAGS
define_only(ATTACKS, "Which attacks.")
flags.DEFINE_float("share", 1, "Which share of the usual number of tries.")
define_json("File to write the verdicts to.")


def try_attack(name: str) -> dict:
    attack = ATTACKS[name]
    number, started = max(1, round(FLAGS.share * attack.number)), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            verdicts = attack.run(number, Path(folder))
        except subprocess.CalledProcessError as error:
            verdicts = Verdicts.none()
            verdicts.failures.append(f"not tried: {error}")
    return {
        "attack": name,
        "what": attack.what,
        "tries": verdicts.counts.total(),
        "verdicts": dict(verdicts.counts),
        "failures": verdicts.failures,
        "seconds": time.perf_counter() - started,
    }


def main():
    logging.set_verbosity(logging.ERROR)
    tfds.disable_progress_bar()
    with figures(lambda: {"what": __doc__.splitlines()[0], **facts()}) as found:
        rows = found["rows"] = []
        for name in FLAGS.only:
            rows.append(row := try_attack(name))
            show(row)
    sys.exit(int(any(row["failures"] for row in rows)))


def show(row: dict) -> None:
    tries, verdicts, seconds = row["tries"], row["verdicts"], row["seconds"]
    print(f"{row['attack']}: {tries} tries, {verdicts}, {seconds:.0f} s", flush=True)
    for failure in row["failures"]:
        print(f"  {failure}", flush=True)


if __name__ == "__main__":
    run(main)
