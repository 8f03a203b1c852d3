"""JAX's meta-step of the 5-way problem as serialized HLO: a program of its own, with JAX.

  python rival_steps.py jax_vmap gpu STEP.pb

prints as JSON the bytes that a host sends with every step.
"""

import json
import os
import sys
from pathlib import Path

# The faster one on a GPU, as measured, and on a TPU, as estimated.
STEPS = ("jax_patches_vmap", "jax_vmap")


def traced(name: str) -> tuple[bytes, int, list]:
    """The HLO, the bytes that a host sends with a step, and the inputs."""
    import jax
    import numpy as np
    from rivals import jax_step
    from rivals import problem as p

    problem = p.make()
    state, tasks = jax_step.start(problem), (problem.images, problem.labels)
    lowered = jax.jit(jax_step.meta_step_of(name)).lower(*state, tasks)
    hlo = lowered.compiler_ir("hlo").as_serialized_hlo_module_proto()
    return hlo, sum(t.nbytes for t in tasks), list(map(np.asarray, jax.tree.leaves([state, tasks])))


def prepare_process() -> None:
    os.environ["JAX_PLATFORMS"] = "cpu"
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def main(name: str, device: str, file: str) -> None:
    del device  # JAX's program is the same for all.
    prepare_process()
    hlo, host_bytes, _ = traced(name)
    Path(file).write_bytes(hlo)
    print(json.dumps({"host_bytes": host_bytes}))


if __name__ == "__main__":
    main(*sys.argv[1:])
