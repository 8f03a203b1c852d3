"""Tables of training steps that were timed on a device, and of their longest operations."""

from typing import Any

from tables.files import record
from tables.words import table, times

# The programs of the first table, and the order of their settings.
STEPS = ("omniglot_5way", "omniglot_20way", "mini_imagenet_5way_1shot")
RIVALS = {"jax_patches_vmap": "convolutions as products", "jax_vmap": "its own convolutions"}
# As many operations of each program as the second table shows.
SHOWN = 4


def fastest(program: str, setting: str) -> float | None:
    """The least median of a program with a setting, or `None` if it was not measured."""
    rows = [r for r in record("h100")["rows"] if r["program"] == program]
    return min((r["median_ms"] for r in rows if r["setting"] == setting), default=None)


def device_steps() -> str:
    settings = list(dict.fromkeys(r["setting"] for r in record("h100")["rows"]))
    rows = [[each, *(step_of(name, each) for name in STEPS)] for each in sorted(settings)]
    return table(["XLA's kernels", *(f"`{name}`" for name in STEPS)], rows)


def step_of(recipe: str, setting: str) -> str:
    found = fastest(f"{recipe}/together", setting)
    return "" if found is None else f"{found:.2f} ms"


def device_rivals() -> str:
    rows = [
        [f"JAX, `vmap`, {RIVALS[r['program']]}", f"{r['meta_steps']}", f"{r['median_ms']:.2f} ms"]
        for r in sorted(record("h100")["rows"], key=lambda row: row["median_ms"])
        if r["program"] in RIVALS
    ]
    return table(["the 5-way meta-step", "steps in a program", "a step"], rows)


def device_kernels() -> str:
    header = ["program", "operation", "times in a step", "each", "share of the step's kernels"]
    rows = [
        kernel_row(program, each)
        for program in record("h100")["kernels"]
        for each in program["longest"][:SHOWN]
    ]
    return table(header, rows)


def kernel_row(program: dict[str, Any], each: dict[str, Any]) -> list[str]:
    name = program["program"].removesuffix("/together")
    share = each["launches"] * each["microseconds_each"] / program["kernels_microseconds"]
    cells = [
        f"{each['launches'] / program['meta_steps']:.0f}",
        f"{each['microseconds_each']:.0f} us",
    ]
    return [f"`{name}`", f"`{each['operation']}`", *cells, f"{100 * share:.0f} %"]


def slow_product() -> str:
    """The product that took the longest, and the model's time of it."""
    found = record("h100")
    model, measured = found["model"], found["kernels"][-1]["longest"][0]
    modelled = f"{model['model_microseconds']:.0f} us"
    return f"{measured['microseconds_each']:.0f} us, and the model gave it {modelled}"


def own_on_h100() -> str:
    return step_of("omniglot_5way", "trials")


def rival_on_h100() -> str:
    return times(
        fastest("jax_patches_vmap", "trials") / fastest("omniglot_5way/together", "trials")
    )


TABLES = {f.__name__: f for f in (device_steps, device_rivals, device_kernels)}
VALUES = {f.__name__: f for f in (slow_product, own_on_h100, rival_on_h100)}
