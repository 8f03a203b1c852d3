"""A program and what its compiler says of it: launches, modelled times, CUDA graphs, memory."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from accelerators import cuda_graphs, hlo, launches, plugins, rival_steps, steps

HERE = Path(__file__).resolve().parent
PROGRAMS = (*steps.STEPS, *rival_steps.STEPS)
MORE = (*steps.TOGETHER, *steps.AT_ONCE)
ALL = (*PROGRAMS, *MORE)


class ProgramError(Exception):
    """A program was not traced or not compiled."""


def measure(name: str, device: str) -> dict[str, Any]:
    """Compiles a program for a device, and returns the numbers of `counted` and its host bytes.

    Args:
        name: String, one of `ALL`.
        device: String, `"gpu"` for an NVIDIA H200 or `"tpu"` for a core of a TPU v5e.

    Raises:
        ProgramError: If the compiler is not installed, or the program does not compile.
    """
    if reason := plugins.missing(device):
        raise ProgramError(reason)
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "step.pb", Path(folder)
        source = rival_steps if name in rival_steps.STEPS else steps
        given = json.loads(output_of(source.__file__, name, device, str(file)).splitlines()[-1])
        output_of(HERE / "compiler.py", str(file), device, folder)
        return {"program": name, **counted(out, device), **given}


def counted(folder: Path, device: str) -> dict[str, Any]:
    """The numbers of the files that compiler.py leaves in a folder."""
    program = hlo.parse((folder / "compiled.txt").read_text())
    each_launch = launches.launches(program)
    found = {
        **launches.summary(each_launch),
        "memory_bytes": json.loads((folder / "memory.json").read_text()),
    }
    if device == "tpu":
        return {**found, "cycles": sum(each.turns * each.cycles for each in each_launch)}
    thunks = cuda_graphs.parse((folder / "thunks.txt").read_text())
    return {
        **found,
        "loops_without_count": hlo.loops_without_count(program),
        "model_microseconds": sum(each.turns * each.microseconds for each in each_launch),
        "cuda_graphs": cuda_graphs.summary(thunks, hlo.trip_counts(program)),
    }


def output_of(program: str | Path, *arguments: str, **environment: str) -> str:
    """What a program prints, in a process of its own: TensorFlow and JAX share none.

    Args:
        program: Path of a Python file.
        *arguments: Its arguments.
        **environment: Environment variables to set for it.

    Raises:
        ProgramError: With the last line of its errors, if it fails.
    """
    command = [sys.executable, str(program), *arguments]
    own = {**os.environ, **environment}
    ended = subprocess.run(command, capture_output=True, text=True, env=own)
    if ended.returncode:
        lines = ended.stderr.strip().splitlines() or [f"exit status {ended.returncode}"]
        raise ProgramError(f"{Path(program).name} {' '.join(arguments[:2])} failed: {lines[-1]}")
    return ended.stdout
