"""A program with its inputs, for a machine with the device and without TensorFlow.

  python packing.py omniglot_5way/together gpu FOLDER

writes into the folder what running.py reads: the serialized HLO as program.pb, the inputs in order
as inputs.npz, and what is known of the program as known.json. Images are not written: only their
shape is, and running.py makes them up. A program of JAX's has no device of its own.
"""

import json
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from accelerators import rival_steps, steps


def of_tensorflow(name: str, device: str) -> tuple[bytes, list, dict]:
    """A program, its inputs, and what is known of it. Inputs are arguments, then variables."""
    import tensorflow as tf

    with steps.as_on(device):
        run, arguments, known = steps.made(name)
        hlo = steps.hlo_of(run, arguments)
        captured = run.get_concrete_function(*arguments).captured_inputs
    given = [t for t in tf.nest.flatten(arguments) if t is not None]
    return hlo, [*(t.numpy() for t in given), *map(_value, captured)], known


def _value(captured):
    """The value of a captured tensor, or of the variable of a captured handle."""
    import tensorflow as tf

    if captured.dtype != tf.resource:
        return captured.numpy()
    dtype = captured._handle_data.shape_and_type[0].dtype
    return tf.raw_ops.ReadVariableOp(resource=captured, dtype=dtype).numpy()


def of_jax(name: str) -> tuple[bytes, list, dict]:
    hlo, host_bytes, inputs = rival_steps.traced(name)
    return hlo, inputs, {"host_bytes": host_bytes}


def write(folder: Path, hlo: bytes, inputs: list, known: dict) -> None:
    import numpy as np

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.pb").write_bytes(hlo)
    images = {f"{i}": a.shape for i, a in enumerate(inputs) if a.dtype == np.uint8}
    kept = {f"{i}": a for i, a in enumerate(inputs) if f"{i}" not in images}
    np.savez_compressed(folder / "inputs.npz", **kept)
    (folder / "known.json").write_text(json.dumps({"images": images, **known}))


def main(name: str, device: str, folder: str) -> None:
    if name in rival_steps.STEPS:
        rival_steps.prepare_process()
        return write(Path(folder), *of_jax(name))
    steps.prepare_process()
    write(Path(folder), *of_tensorflow(name, device))


if __name__ == "__main__":
    main(*sys.argv[1:])
