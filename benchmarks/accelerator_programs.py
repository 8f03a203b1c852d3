#!/usr/bin/env python3
"""Compiles training and evaluation steps for a GPU and a TPU that are not there, and counts.

  pip install ".[accelerators]"     and the compilers: docs/experiments/accelerators.md
  python benchmarks/accelerator_programs.py --json=docs/results/accelerators.json
  python benchmarks/accelerator_programs.py --only=omniglot_5way/train,jax_vmap --device=gpu

Nothing is run: the table says how many operations an NVIDIA H200 or a core of a TPU v5e would be
given, what their compilers' models say of the time, and how much memory a step takes.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from absl import flags
from accelerators import plugins, programs, table
from benchmark import define_json, facts, figures, run
from only import define_only

FLAGS = flags.FLAGS
define_only(programs.PROGRAMS, "Programs to compile.", programs.MORE)
flags.DEFINE_multi_enum("device", list(plugins.DEVICES), plugins.DEVICES, "What to compile for.")
flags.DEFINE_string("plugins", None, f"Folder of the compilers, instead of {plugins.VARIABLE}.")
define_json("File to write all numbers to.")


def compile_for(device: str, rows: list[dict]) -> None:
    """Adds a row for every program for a device, and prints its line as it is compiled."""

    def compile_each():
        for name in FLAGS.only:
            rows.append(programs.measure(name, device))
            yield rows[-1]

    for line in table.lines(device, compile_each()):
        print(line, flush=True)
    print()


def about() -> dict:
    """What the numbers were made by."""
    compilers = {device: plugins.versions(device) for device in FLAGS.device}
    return {"compilers": compilers, "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""), **facts()}


def main():
    if FLAGS.plugins:
        os.environ[plugins.VARIABLE] = FLAGS.plugins
    lacking = [f"{device}: {why}" for device in FLAGS.device if (why := plugins.missing(device))]
    if lacking:
        sys.exit("\n".join(f"accelerator_programs.py: {each}" for each in lacking))
    try:
        with figures(about) as found:
            for device in FLAGS.device:
                compile_for(device, found.setdefault(device, []))
    except programs.ProgramError as error:
        sys.exit(f"accelerator_programs.py: {error}")


if __name__ == "__main__":
    run(main)
