"""Runs a packed program on the device that JAX finds, and times it: a program of its own, with JAX.

  python running.py FOLDER SECONDS

prints as JSON the milliseconds of a meta-step. Variables that an execution returns go into the next
one, as in `fit`. Nothing is read before the end of a turn.
"""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from accelerators import compiler

ROUNDS, WARM_UP = 5, 3


class Program:
    """A packed program on a device. `run()` executes it and returns its outputs."""

    def __init__(self, folder: Path):
        import jax
        from jaxlib import xla_client

        jax.config.update("jax_enable_x64", True)
        self.device = jax.devices()[0]
        self.known = json.loads((folder / "known.json").read_text())
        text = compiler.text_of((folder / "program.pb").read_bytes())
        alias = r"parameter_number = (\d+) : i64\}, output_index = array<i64: (\d+)>"
        self.returned = [(int(i), int(out)) for i, out in re.findall(alias, text)]
        start, options = time.perf_counter(), compiler.options_for(self.device)
        devices = xla_client.DeviceList((self.device,))
        module = compiler.module_of(text)
        self.executable = self.device.client.compile_and_load(module, devices, options)
        self.compile_seconds = time.perf_counter() - start
        self.inputs = [
            jax.device_put(array, self.device) for array in inputs_of(folder, self.known)
        ]

    def run(self) -> list:
        out = self.executable.execute_sharded(self.inputs)
        arrays = [each[0] for each in out.disassemble_into_single_device_arrays()]
        for i, output in self.returned:
            self.inputs[i] = arrays[output]
        return arrays


def inputs_of(folder: Path, known: dict[str, Any]) -> list:
    """The packed inputs in order, with made-up images: products of zeros can be faster."""
    import numpy as np

    kept, random = np.load(folder / "inputs.npz"), np.random.RandomState(0)
    images = {i: random.randint(0, 256, shape, np.uint8) for i, shape in known["images"].items()}
    found = {**{i: kept[i] for i in kept.files}, **images}
    return [found[f"{i}"] for i in range(len(found))]


def measured(program: Program, seconds: float) -> dict[str, Any]:
    """The milliseconds of a meta-step: median, fastest and slowest of some turns."""
    steps = program.known.get("meta_steps", 1)
    for _ in range(WARM_UP):
        out = program.run()
    out[0].block_until_ready()
    once = _turn(program, 1)
    calls = max(3, int(seconds / ROUNDS / once))
    found = sorted(1000 * _turn(program, calls) / calls / steps for _ in range(ROUNDS))
    return {
        "median_ms": found[ROUNDS // 2],
        "fastest_ms": found[0],
        "slowest_ms": found[-1],
        "calls": calls,
        "turns": ROUNDS,
        "meta_steps": steps,
        "compile_seconds": program.compile_seconds,
    }


def _turn(program, calls) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        out = program.run()
    out[0].block_until_ready()
    return time.perf_counter() - start


def main(folder: str, seconds: str) -> None:
    import jax

    program = Program(Path(folder))
    how = {"device": program.device.device_kind, "jax": jax.__version__}
    how["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "")
    print(json.dumps({**measured(program, float(seconds)), **how}))


if __name__ == "__main__":
    main(*sys.argv[1:])
