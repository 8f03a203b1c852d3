#!/usr/bin/env python3
"""Times one meta-step here and as users of other libraries would write it.

  pip install ".[benchmarks]"     PyTorch and JAX
  python benchmarks/compare.py
  python benchmarks/compare.py --only=keras_reptile,jax_vmap --json=compare.json

The paper's 5-way Omniglot meta-step: 5 tasks of 5 inner steps of 10 images, inner Adam. All compute
it from the same weights and images, on all cores; the program fails if their first losses differ.
Each is timed in processes of its own, in turns. Run it on a quiet machine.
"""

import importlib.metadata
import importlib.util
import json
import os
import resource
import subprocess
import sys
import time

STARTED = time.perf_counter()
sys.path[:0] = [os.path.dirname(os.path.abspath(__file__))]
sys.path.insert(1, os.path.dirname(sys.path[0]))

from absl import flags
from benchmark import define_json, facts, figures, run
from only import define_only

MODULES = {
    "keras_reptile": "keras_reptile_step",
    "jax_vmap": "jax_step",
    "jax_scan": "jax_step",
    "jax_patches_vmap": "jax_step",
    "jax_patches_scan": "jax_step",
    "pytorch_loop": "pytorch",
    "pytorch_vmap": "pytorch",
    "tensorflow_1": "sessions",
    "keras_eager": "keras_loop",
}
# The packages of some modules.
PACKAGES = {"jax_step": "jax", "pytorch": "torch"}

FLAGS = flags.FLAGS
define_only(MODULES, "What to time.")
flags.DEFINE_integer("rounds", 3, "Turns in which they are timed.")
flags.DEFINE_float("seconds", 8, "Timed seconds in a turn.")
define_json("File to write the figures to.")
flags.DEFINE_string("measure", None, "For the processes started: what to time.")


def main():
    if FLAGS.measure:
        return print(json.dumps(measure(FLAGS.measure)))
    check_installed(FLAGS.only)
    rounds = [{name: in_process(name) for name in FLAGS.only} for _ in range(FLAGS.rounds)]
    rows = [summary(name, [r[name] for r in rounds]) for name in FLAGS.only]
    check_alike(rows)
    show(rows)
    with figures(lambda: {"others": versions(), **facts()}) as found:
        found["rows"] = rows


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def check_installed(names: list[str]) -> None:
    """Ends the program if a package of one of the programs to time is not installed."""
    needed = {PACKAGES[MODULES[name]] for name in names if MODULES[name] in PACKAGES}
    if lacking := sorted(package for package in needed if not is_installed(package)):
        sys.exit(
            f"compare.py: {', '.join(lacking)} not installed. Install: "
            "pip install '.[benchmarks]'. Or choose other programs: --only=keras_reptile."
        )


def versions() -> dict[str, str]:
    found = filter(is_installed, ("torch", "jax"))
    return {package: importlib.metadata.version(package) for package in found}


def in_process(name: str) -> dict:
    command = [sys.executable, __file__, f"--measure={name}", f"--seconds={FLAGS.seconds}"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if ended.returncode:
        sys.exit(f"compare.py: {name} failed; its errors stand above.")
    return json.loads(ended.stdout.splitlines()[-1])


def measure(name: str) -> dict:
    """In a process of its own: seconds of meta-steps, and to the end of the first."""
    from rivals import problem

    step = importlib.import_module(f"rivals.{MODULES[name]}").prepare(
        problem.make(), name, len(os.sched_getaffinity(0))
    )
    first_loss = step()
    first_step_seconds = time.perf_counter() - STARTED
    found, end = [], time.perf_counter() + FLAGS.seconds
    while time.perf_counter() < end or len(found) < 3:
        start = time.perf_counter()
        step()
        found.append(time.perf_counter() - start)
    return {
        "first_loss": first_loss,
        "first_step_seconds": first_step_seconds,
        "seconds": found[1:],
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def summary(name: str, rounds: list[dict]) -> dict:
    seconds = sorted(s for r in rounds for s in r["seconds"])
    return {
        "name": name,
        "meta_step_ms": 1e3 * seconds[len(seconds) // 2],
        "meta_step_ms_fastest": 1e3 * seconds[0],
        "first_step_seconds": min(r["first_step_seconds"] for r in rounds),
        "memory_mb": max(r["memory_mb"] for r in rounds),
        "first_loss": rounds[0]["first_loss"],
        "meta_steps_timed": len(seconds),
    }


def check_alike(rows: list[dict]) -> None:
    losses = {row["name"]: row["first_loss"] for row in rows}
    if max(losses.values()) - min(losses.values()) > 1e-3:
        sys.exit(f"compare.py: these do not compute the same thing; their first losses: {losses}.")


def show(rows: list[dict]) -> None:
    print(
        f"{'':>16} {'ms':>8} {'fastest':>8} {'times':>6} {'first step, s':>14} {'memory, MB':>11}"
    )
    for row in rows:
        print(
            f"{row['name']:>16} {row['meta_step_ms']:8.1f} {row['meta_step_ms_fastest']:8.1f} "
            f"{row['meta_step_ms'] / rows[0]['meta_step_ms']:6.2f} "
            f"{row['first_step_seconds']:14.1f} {row['memory_mb']:11,.0f}"
        )


if __name__ == "__main__":
    run(main)
