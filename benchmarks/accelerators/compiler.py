"""Compiles HLO for an accelerator that is not there: a program of its own, with JAX alone.

  python compiler.py STEP.pb gpu|tpu FOLDER

writes the compiled HLO as compiled.txt into the folder, for a GPU the runtime's list of thunks as
thunks.txt, and the bytes of memory that the program needs as memory.json.
"""

import json
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from accelerators import plugins

# As `kr.one_task_per_core` has them on a GPU; and the cost model's times in the compiled text.
XLA_FLAGS = {
    "xla_gpu_autotune_level": "0",
    "xla_gpu_enable_triton_gemm": "false",
}
TO_READ = {"xla_gpu_collect_cost_model_stats": "true", "xla_dump_hlo_as_text": "true"}
MEMORY = ("argument", "output", "alias", "temp")


def find_plugins(device: str, folder: Path) -> None:
    """Has JAX, before it is imported, find a device's compiler and write down what it does."""
    own = {**XLA_FLAGS, **TO_READ, "xla_dump_to": folder / "dump"} if device == "gpu" else {}
    # Of a flag that is given twice XLA takes the last value.
    flags = [*(f"--{name}={value}" for name, value in own.items()), os.environ.get("XLA_FLAGS", "")]
    path = plugins.folder() / device
    os.environ.update(
        JAX_PLATFORMS="cpu",
        XLA_FLAGS=" ".join(flags),
        TPU_SKIP_MDS_QUERY="1",  # Ask no cloud what this machine is.
        ALLOW_MULTIPLE_LIBTPU_LOAD="1",
        TPU_LIBRARY_PATH=str(path / "libtpu" / "libtpu.so"),
    )
    sys.path.insert(0, str(path))


def absent_device(device: str):
    """A device of an H200's or a TPU v5e's description."""
    from jax.experimental.topologies import get_topology_desc

    if device == "tpu":
        return get_topology_desc("v5e:2x2", "tpu").devices[0]
    h200 = Path(__file__).with_name("h200.txtpb").read_text()
    return get_topology_desc(platform="cuda", topology="1x1x1", target_config=h200).devices[0]


def text_of(hlo: bytes) -> str:
    """A serialized HLO module in the language of JAX's compiler."""
    from jaxlib import xla_client

    text = xla_client._xla.mlir.xla_computation_to_mlir_module(xla_client.XlaComputation(hlo))
    # JAX has no `mhlo.copy`; a reshape to the same shape is the same.
    copy = r"mhlo\.copy (%\S+) (?:\{[^}]*\} )?: (tensor<[^>]*>)"
    return re.sub(copy, r"stablehlo.reshape \1 : (\2) -> \2", text)


def module_of(text: str):
    """An MLIR module of the text of `text_of`."""
    from jax._src.interpreters import mlir
    from jaxlib.mlir import ir

    with mlir.make_ir_context():
        return ir.Module.parse(text)


def compiled(hlo: bytes, device: str):
    """The executable of a serialized HLO module, for one device; it cannot be run here."""
    from jax._src.lib import _jax

    target = absent_device(device)
    list_of_one = _jax.DeviceList((target,))
    return target.client.compile(module_of(text_of(hlo)), list_of_one, options_for(target))


def options_for(device):
    """Options to compile a program for one device."""
    import numpy as np
    from jaxlib import xla_client

    options = xla_client.CompileOptions()
    options.num_replicas = options.num_partitions = 1
    options.device_assignment = xla_client.DeviceAssignment.create(np.array([[device.id]]))
    return options


def main(file: str, device: str, out: str) -> None:
    folder = Path(out)
    find_plugins(device, folder)
    executable = compiled(Path(file).read_bytes(), device)
    (folder / "compiled.txt").write_text(executable.hlo_modules()[0].to_string())
    stats = executable.get_compiled_memory_stats()
    memory = {name: getattr(stats, f"{name}_size_in_bytes") for name in MEMORY}
    (folder / "memory.json").write_text(json.dumps(memory))
    for thunks in folder.glob("dump/*thunk_sequence_after_thunk_passes.txt"):
        thunks.rename(folder / "thunks.txt")


if __name__ == "__main__":
    main(*sys.argv[1:])
