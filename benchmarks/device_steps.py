#!/usr/bin/env python3
"""Times training steps on an accelerator of a machine that has JAX and no TensorFlow.

  python benchmarks/device_steps.py --pack=packed             here, with this project and JAX
  python benchmarks/device_steps.py --packed=packed --json=device.json      there, with JAX alone

The first command writes TensorFlow's programs, as on a GPU, and JAX's own step beside them. The
second runs each of them with several flags of XLA, one after the other, each in its own process.
"""

import json
import os
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from absl import flags
from accelerators import packing, programs, rival_steps, running, steps
from benchmark import define_json, figures, run
from only import define_only

NO_TRIALS = "--xla_gpu_autotune_level=0 --xla_gpu_enable_triton_gemm=false"
# The first ones are those that the programs in bin/ set.
SETTINGS = {
    "no trials": NO_TRIALS,
    "no trials, loops in CUDA graphs": f"{NO_TRIALS} --xla_gpu_enable_command_buffer=+WHILE",
    "no trials, no CUDA graphs": f"{NO_TRIALS} --xla_gpu_enable_command_buffer=",
    "trials of cuBLAS": "--xla_gpu_autotune_level=4 --xla_gpu_enable_triton_gemm=false",
    "trials": "--xla_gpu_autotune_level=4",
}
PROGRAMS = (*steps.TOGETHER, *rival_steps.STEPS)

FLAGS = flags.FLAGS
define_only(PROGRAMS, "Programs to pack or to time.")
flags.DEFINE_string("pack", None, "Folder to write the programs to.")
flags.DEFINE_string("packed", None, "Folder of packed programs to time.")
flags.DEFINE_float("seconds", 2, "Timed seconds of each program with each setting.")
define_json("File to write the times of --packed to.")


def folder_of(packed: str, program: str) -> Path:
    return Path(packed) / program.replace("/", "_")


def pack(packed: str) -> None:
    for name in FLAGS.only:
        folder = folder_of(packed, name)
        programs.output_of(packing.__file__, name, "gpu", str(folder))
        print(f"{name}: {folder}")


def settings_of(program: str) -> dict[str, str]:
    """JAX's step runs with XLA's defaults, as its users run it."""
    return {"trials": ""} if program in rival_steps.STEPS else SETTINGS


def time_all(packed: str, rows: list[dict]) -> None:
    """Adds a row for each program with each setting."""
    for name in FLAGS.only:
        folder, seconds = str(folder_of(packed, name)), str(FLAGS.seconds)
        for setting, given in settings_of(name).items():
            output = programs.output_of(running.__file__, folder, seconds, XLA_FLAGS=given)
            found = json.loads(output.splitlines()[-1])
            rows.append({"program": name, "setting": setting, **found})
            print(f"{name:34s}{setting:34s}{found['median_ms']:8.3f} ms", flush=True)


def about() -> dict:
    return {"command": sys.argv, "cores": os.cpu_count()}


def main():
    if bool(FLAGS.pack) == bool(FLAGS.packed):
        sys.exit("device_steps.py: give one of --pack=FOLDER and --packed=FOLDER.")
    if FLAGS.pack and FLAGS.json:
        sys.exit("device_steps.py: --pack times nothing. Give --json beside --packed=FOLDER.")
    try:
        if FLAGS.pack:
            return pack(FLAGS.pack)
        with figures(about) as found:
            time_all(FLAGS.packed, found.setdefault("rows", []))
    except programs.ProgramError as error:
        sys.exit(f"device_steps.py: {error}")


if __name__ == "__main__":
    run(main)
