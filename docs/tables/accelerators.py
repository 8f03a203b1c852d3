"""Tables of programs that were compiled for accelerators that are not there."""

from typing import Any

from accelerators.table import cells, lines

from tables.files import record
from tables.words import milliseconds, table

# The names of the same steps in the measurements on an H200.
MEASURED = {
    "omniglot_5way/train": "omniglot_5way",
    "omniglot_20way/train": "omniglot_20way",
    "mini_imagenet_5way_1shot/train": "mini_imagenet_5way_5shot",
    "jax_patches_vmap": "jax_patches_vmap",
    "jax_vmap": "jax_vmap",
}


def programs(device: str) -> str:
    return "\n".join(["```text", *lines(device, record("accelerators")[device]), "```"])


def gpu_programs() -> str:
    return programs("gpu")


def tpu_programs() -> str:
    return programs("tpu")


def gpu_graphs() -> str:
    rows = record("accelerators")["gpu"]
    structures = [[f"`{row['program']}`", row["cuda_graphs"]["structure"]] for row in rows]
    return table(["program", "what the host launches, in order"], structures)


def gpu_models() -> str:
    rows = {row["program"]: row for row in record("accelerators")["gpu"]}
    header = ["program", "launches", "modelled", "measured", "in"]
    return table(header, [model_row(rows[name], other) for name, other in MEASURED.items()])


def model_row(row: dict[str, Any], other: str) -> list[str]:
    shown, found = cells(row), record("h200")
    in_fit = {each["recipe"]: each["meta_step_in_fit_ms"] for each in found["recipes"]}
    bare = {each["name"]: each["meta_step_ms"] for each in found["compare"]}
    more = " +" if shown["us"].endswith("+") else ""
    modelled = f"{milliseconds(row['model_microseconds'] / 1000)}{more}"
    measured = [milliseconds({**in_fit, **bare}[other]), "`fit`" if other in in_fit else "a call"]
    return [f"`{row['program']}`", shown["total"], modelled, *measured]


TABLES = {f.__name__: f for f in (gpu_programs, tpu_programs, gpu_graphs, gpu_models)}
VALUES: dict = {}
