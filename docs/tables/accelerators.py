"""Tables of programs that were compiled for accelerators that are not there."""

from functools import partial
from typing import Any

from accelerators.table import cells, lines

from tables.files import record
from tables.words import milliseconds, table, two_digits

# The programs in which TensorFlow derived the gradients.
BY_VECTORIZED_MAP = "accelerators_by_vectorized_map"
# The names of the same steps in the measurements on an H200.
MEASURED = {
    "omniglot_5way/train": "omniglot_5way",
    "omniglot_20way/train": "omniglot_20way",
    "mini_imagenet_5way_1shot/train": "mini_imagenet_5way_5shot",
    "jax_patches_vmap": "jax_patches_vmap",
    "jax_vmap": "jax_vmap",
}


# The column with the time by a device's model, and its unit.
TIMES = {"gpu": ("us", "us"), "tpu": ("Mcycles", "Mcycles")}


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


def written_out() -> str:
    """Each program, beside the one that `tf.vectorized_map` made of the same step."""
    header = ["program", "for a", "launches", "now", "time by the model", "now"]
    return table(header, [row for device in TIMES for row in changes(device)])


def changes(device: str) -> list[list[str]]:
    before = {row["program"]: row for row in record(BY_VECTORIZED_MAP)[device]}
    after = [row for row in record("accelerators")[device] if row["program"] in before]
    return [
        change(device, cells(before[row["program"]]), cells(row), row)
        for row in after
        if not row["program"].startswith("jax")
    ]


def change(device: str, before: dict[str, str], after: dict[str, str], row: dict) -> list[str]:
    column, unit = TIMES[device]
    launches = [before["total"], after["total"]]
    times = [f"{shown[column]} {unit}" for shown in (before, after)]
    return [f"`{row['program']}`", device.upper(), *launches, *times]


def drawn_on_device() -> str:
    """Steps whose tasks the host sends, beside steps whose tasks are drawn on the device."""
    header = [
        "program",
        "for a",
        "meta-steps",
        "launches",
        "time by the model",
        "bytes from the host",
    ]
    records = {device: record(f"accelerators_drawn_{device}")[device] for device in TIMES}
    rows = [of_a_meta_step(device, row) for device in records for row in records[device]]
    return table(header, rows)


def of_a_meta_step(device: str, row: dict[str, Any]) -> list[str]:
    steps = row.get("meta_steps", 1)
    time = f"{row['model_microseconds'] / steps:,.0f} us" if device == "gpu" else ""
    time = time or f"{row['cycles'] / steps / 1e6:.2f} Mcycles"
    each = [f"{steps}", f"{row['launches'] / steps:,.0f}", time]
    return [f"`{row['program']}`", device.upper(), *each, f"{row['host_bytes'] / steps:,.10g}"]


def drawn(device: str, recipe: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The rows of a step whose tasks the host sends, and of the steps that draw them together."""
    rows = {row["program"]: row for row in record(f"accelerators_drawn_{device}")[device]}
    return rows[f"{recipe}/train"], rows[f"{recipe}/together"]


def shared_launches(recipe: str) -> str:
    """The launches on a GPU that steps with tasks drawn there share."""
    _, together = drawn("gpu", recipe)
    return f"{together['launches_outside_loops']}"


def more_memory(recipe: str) -> str:
    """The temporary memory on a TPU of steps with tasks drawn there, above that of one step."""
    one, together = (row["memory_bytes"]["temp"] for row in drawn("tpu", recipe))
    return f"{two_digits((together - one) / 1e6)} MB"


def seeds_at_once() -> str:
    """A step of one model, beside a step of several with different seeds."""
    found = record("accelerators_seeds")
    header = ["program", "for a", "seeds", "launches", "time by the model", "temporary memory"]
    rows = [of_seeds(device, row) for device in TIMES for row in found[device]]
    return table(header, rows)


def of_seeds(device: str, row: dict[str, Any]) -> list[str]:
    column, unit = TIMES[device]
    shown, memory = cells(row), row["memory_bytes"]["temp"] / 1e6
    each = [f"{row.get('seeds', 1)}", shown["total"], f"{shown[column]} {unit}", f"{memory:.0f} MB"]
    return [f"`{row['program']}`", device.upper(), *each]


def seeds_launches() -> str:
    """The launches of a step of several seeds on a GPU, and those of one."""
    one, several = (cells(row)["total"] for row in record("accelerators_seeds")["gpu"])
    return f"{several} launches, that of one has {one}"


def gpu_models() -> str:
    """The programs that were measured: those before gradients were written out."""
    rows = {row["program"]: row for row in record(BY_VECTORIZED_MAP)["gpu"]}
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


ALL = (
    gpu_programs,
    tpu_programs,
    gpu_graphs,
    gpu_models,
    written_out,
    drawn_on_device,
    seeds_at_once,
)
TABLES = {f.__name__: f for f in ALL}
RECIPES = ("omniglot_5way", "mini_imagenet_5way_1shot")
VALUES = {
    "seeds_launches": seeds_launches,
    **{f"shared_launches_{recipe}": partial(shared_launches, recipe) for recipe in RECIPES},
    **{f"more_memory_{recipe}": partial(more_memory, recipe) for recipe in RECIPES},
}
