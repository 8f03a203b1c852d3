#!/usr/bin/env python3
"""Measures all that this project says of its speed, and prints it as one table.

  pip install ".[benchmarks]"     PyTorch and JAX, to compare with
  python benchmarks/table.py --json=speed.json
  python benchmarks/table.py --only=meta_step,evaluation

The meta-step of each recipe on images, and the share of the machine's matrix-product rate that it
reaches; evaluation; the input pipeline; from the shell's prompt to the first step and back; the
same meta-step in other libraries. At the settings that `bin/train` uses, each part in processes of
its own, one after another. Run it on a quiet machine.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GIVEN = dict(os.environ)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from absl import flags
from benchmark import define_json, figures, run
from only import define_only

HERE = Path(__file__).resolve().parent
# miniImageNet's other recipe trains by the same step.
RECIPES = "omniglot_5way,omniglot_20way,mini_imagenet_5way_1shot"


def from_json(program: str, *arguments: str) -> dict:
    """What one of the benchmarks here writes as JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figures.json"
        command = [sys.executable, str(HERE / program), *arguments, f"--json={path}"]
        finish(command)
        return json.loads(path.read_text())


def finish(command: list[str]) -> None:
    """Runs a program to its end as if by itself, and ends with its errors if it fails."""
    # Each chooses TensorFlow's settings, which must not be this program's.
    ended = subprocess.run(command, capture_output=True, text=True, env=GIVEN)
    if ended.returncode:
        sys.exit(f"table.py: {' '.join(command)} failed:\n{ended.stderr[-2000:]}")


def meta_step() -> dict:
    return from_json("meta_step.py", f"--recipes={RECIPES}", f"--steps={FLAGS.steps}")


def show_meta_step(found: dict) -> list[tuple[str, str]]:
    lines = []
    for each in found["recipes"]:
        gflop, rate = each["operations_per_meta_step"] / 1e9, each["matrix_product_gflops"]
        share = each["fraction_of_matrix_product_rate"]
        by_xla = ", compiled by XLA" if each["jit_compile"] is True else ""
        step, fit = each["meta_step_ms"], each["meta_step_in_fit_ms"]
        lines += [
            (f"{each['recipe']}: meta-step{by_xla}", f"{step:.1f} ms"),
            ("in `fit`", f"{fit:.1f} ms"),
            ("arithmetic", f"{gflop:.2f} GFLOP: {share:.0%} of {rate:.0f} GFLOP/s"),
        ]
    return lines


def evaluation() -> dict:
    return from_json("evaluation.py")


def show_evaluation(found: dict) -> list[tuple[str, str]]:
    times = found["ms_per_task"]
    return [(f"evaluation of a task, {name}", f"{ms:.1f} ms") for name, ms in times.items()]


def episodes() -> dict:
    return from_json("episodes.py")


def show_episodes(found: dict) -> list[tuple[str, str]]:
    return [
        (f"episodes a second from {each['images']:,} images", f"{each['episodes_per_second']:,.0f}")
        for each in found["pools"]
    ]


def start_up() -> dict:
    """Seconds of a whole `bin/train` of one meta-iteration, the fastest of three."""
    train = str(HERE.parent / "bin" / "train")
    flags_given = ["--meta_iterations=1", "--validation_tasks=0", "--test_tasks=0"]
    seconds = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, train, *flags_given, f"--output_dir={folder}/run"]
            start = time.perf_counter()
            finish(command)
            seconds.append(time.perf_counter() - start)
    return {"seconds": seconds}


def show_start_up(found: dict) -> list[tuple[str, str]]:
    return [("`bin/train` of one meta-iteration", f"{min(found['seconds']):.1f} s")]


def compare() -> dict:
    return from_json("compare.py")


def show_compare(found: dict) -> list[tuple[str, str]]:
    own = found["rows"][0]["meta_step_ms"]
    return [
        (
            f"omniglot_5way's meta-step, {row['name']}",
            f"{row['meta_step_ms']:.1f} ms ({row['meta_step_ms'] / own:.2f}); first step after "
            f"{row['first_step_seconds']:.1f} s; {row['memory_mb']:,.0f} MB",
        )
        for row in found["rows"]
    ]


PARTS = {
    "meta_step": (meta_step, show_meta_step),
    "evaluation": (evaluation, show_evaluation),
    "episodes": (episodes, show_episodes),
    "start_up": (start_up, show_start_up),
    "compare": (compare, show_compare),
}

FLAGS = flags.FLAGS
define_only(PARTS, "What to measure.")
flags.DEFINE_integer("steps", 40, "Timed meta-steps of each recipe, bare and in `fit`.")
define_json("File to write all figures to.")


def main():
    print("| | |\n| --- | --- |")
    with figures() as found:
        for name in FLAGS.only:
            measure, show = PARTS[name]
            found[name] = measure()
            for line in show(found[name]):
                print("| {} | {} |".format(*line), flush=True)


if __name__ == "__main__":
    run(main)
