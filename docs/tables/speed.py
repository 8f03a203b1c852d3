"""Tables of times and memory on CPUs."""

from functools import partial
from typing import Any

from tables.files import record
from tables.words import duration, milliseconds, percent, seconds, table, times

# The programs of benchmarks/compare.py.
PROGRAMS = {
    "keras_reptile": "keras_reptile",
    "jax_vmap": "JAX, `vmap` over tasks, its own convolutions",
    "jax_scan": "JAX, `lax.scan` over inner steps, its own convolutions",
    "jax_patches_vmap": "JAX, `vmap`, convolutions as products of patches",
    "jax_patches_scan": "JAX, `lax.scan`, convolutions as products of patches",
    "pytorch_loop": "PyTorch, one task after another, channels last",
    "pytorch_vmap": "PyTorch, `torch.func.vmap` over tasks",
    "tensorflow_1": "TensorFlow 1 (`tf.compat.v1`), a session's call for each inner step",
    "keras_eager": "Keras, eager, one task after another",
}
MODES = {"one by one, Keras": "tasks one by one in eager Keras"}
AUTHORS = {
    "authors": "the authors' training step",
    "authors, TF_ENABLE_ONEDNN_OPTS=0": "the authors', without oneDNN",
    "keras_reptile": "keras_reptile",
}
STEP = ["meta-step", "bare", "in `fit`", "all meta-iterations", "arithmetic", "matrix-product rate"]
# Recipes whose meta-step is no other's: the rest of meta_steps.json repeats one of these.
SHOWN = (
    "omniglot_5way",
    "omniglot_5way_fast",
    "omniglot_20way",
    "mini_imagenet_5way_1shot",
    "mini_imagenet_5way_5shot",
    "gradient_combinations",
    "sinusoid",
    "sinusoid_maml",
)


def step_row(step: dict[str, Any]) -> list[str]:
    kernels = "compiled by XLA" if step["jit_compile"] is True else "by TensorFlow"
    kernels = "by oneDNN" if step["onednn"] else kernels
    rate = step["matrix_product_gflops"]
    return [
        f"`{step['recipe']}`, {kernels}",
        milliseconds(step["meta_step_ms"]),
        milliseconds(step["meta_step_in_fit_ms"]),
        duration(3600 * step["all_meta_iterations_hours"]),
        f"{step['operations_per_meta_step'] / 1e9:.3g} GFLOP",
        f"{percent(step['fraction_of_matrix_product_rate'], 0)} % of {rate:.0f} GFLOP/s",
    ]


def steps(name: str) -> str:
    return table(STEP, map(step_row, record(name)["meta_step"]["recipes"]))


def all_recipes() -> str:
    found = {step["recipe"]: step for step in record("meta_steps")["recipes"]}
    return table(STEP, [step_row(found[recipe]) for recipe in SHOWN])


def compare(name: str) -> str:
    rows = record(name)["compare"]["rows"]
    (own,) = (row for row in rows if row["name"] == "keras_reptile")
    header = ["the 5-way meta-step, in turns", "median", "times ours", "fastest", "times ours"]
    rows = sorted(rows, key=lambda row: row["meta_step_ms"])
    return table([*header, "first step after", "memory"], [rival_row(row, own) for row in rows])


def rival_row(row: dict[str, Any], own: dict[str, Any]) -> list[str]:
    keys = ("meta_step_ms", "meta_step_ms_fastest")
    pairs = ((milliseconds(row[key]), times(row[key] / own[key])) for key in keys)
    return [
        PROGRAMS[row["name"]],
        *(cell for pair in pairs for cell in pair),
        seconds(row["first_step_seconds"]),
        f"{row['memory_mb']:,.0f} MB",
    ]


def other_times(name: str) -> str:
    found = record(name)
    rows = [
        [f"evaluation of a task, 50 inner steps, {MODES.get(mode, mode)}", milliseconds(ms)]
        for mode, ms in found["evaluation"]["ms_per_task"].items()
    ]
    rows += [
        [f"episodes a second from {pool['images']:,} images", f"{pool['episodes_per_second']:,.0f}"]
        for pool in found["episodes"]["pools"]
    ]
    start = "`bin/train` of one meta-iteration, from the shell's prompt and back, the fastest of {}"
    times_of_start = found["start_up"]["seconds"]
    rows += [[start.format(len(times_of_start)), seconds(min(times_of_start))]]
    return table(["", "measured"], rows)


def authors_step() -> str:
    found: dict[str, list] = {}
    for row in record("authors_meta_step")["rows"]:
        found.setdefault(AUTHORS[row["program"]], []).append(row["median_ms"])
    turns = [f"turn {turn + 1}" for turn in range(len(found["keras_reptile"]))]
    cells = [[name, *map(milliseconds, medians)] for name, medians in found.items()]
    return table(["median of a 5-way meta-step", *turns], cells)


def memory() -> str:
    whole = {"meta-steps": "meta-steps of a small network", "adapt": "calls of `adapt`"}
    rows = []
    for name, points in record("memory")["figures"].items():
        (early, first), (late, last) = points[1], points[-1]
        rows.append(
            [whole[name], f"{first:.0f} MB after {early:,}", f"{last:.0f} MB after {late:,}"]
        )
    return table(["memory", "early", "late"], rows)


def growth() -> str:
    names = {
        "meta-batch": "tasks in a meta-batch",
        "inner steps": "inner steps",
        "ways": "ways",
        "images": "images in the pool",
    }
    rows = [
        [names[name], listed(f"{n:,}" for n, _ in points), listed(f"{ms:.0f}" for _, ms in points)]
        for name, points in record("growth")["figures"].items()
    ]
    return table(["what grows", "sizes", "milliseconds of a meta-step"], rows)


def listed(words: Any) -> str:
    return "; ".join(words)


def own_step() -> str:
    return milliseconds(record("speed")["meta_step"]["recipes"][0]["meta_step_ms"])


def best_rival() -> str:
    """The fastest other program's time by ours."""
    rows = record("speed")["compare"]["rows"]
    (own,) = (row["meta_step_ms"] for row in rows if row["name"] == "keras_reptile")
    best = min(row["meta_step_ms"] for row in rows if row["name"] != "keras_reptile")
    return f"{best / own:.1f}"


TABLES = {
    "speed_steps": partial(steps, "speed"),
    "speed_compare": partial(compare, "speed"),
    "speed_others": partial(other_times, "speed"),
    "xeon_steps": partial(steps, "speed_xeon"),
    "xeon_compare": partial(compare, "speed_xeon"),
    "xeon_others": partial(other_times, "speed_xeon"),
    "all_recipes": all_recipes,
    "authors_step": authors_step,
    "memory": memory,
    "growth": growth,
}
VALUES = {"own_step": own_step, "best_rival": best_rival}
