"""Tables of the GPU, of a CPU's kernels, and of several replicas."""

from statistics import mean
from typing import Any

from ring_model import reduce_seconds

from tables.files import record
from tables.words import (
    accuracy,
    duration,
    milliseconds,
    percent,
    seconds,
    table,
    times,
    two_digits,
)

# Assumed links: bandwidth in bytes a second, latency in seconds.
LINKS = {
    "1 Gbit/s, 100 µs": (1.25e8, 1e-4),
    "10 Gbit/s, 50 µs": (1.25e9, 5e-5),
    "100 GB/s, 1 µs": (1e11, 1e-6),
}
REPLICAS = (2, 16, 256)
LARGE_NETWORK = 200e6


def gpu_steps() -> str:
    found = record("h200")
    cpu = {row["recipe"]: row["meta_step_in_fit_ms"] for row in record("meta_steps")["recipes"]}
    rows = [
        gpu_row(step, tried, cpu[step["recipe"]])
        for step, tried in zip(found["recipes"], found["kernels_tried_out"], strict=True)
    ]
    header = ["meta-step", "in `fit`", "first step after", "all meta-iterations"]
    header += ["with trials, in `fit`", "with trials, first step after"]
    return table([*header, "times faster than two CPU cores", "matrix-product rate"], rows)


def gpu_row(step: dict[str, Any], tried: dict[str, Any], cpu_ms: float) -> list[str]:
    rate = step["matrix_product_gflops"] / 1000
    return [
        f"`{step['recipe']}`",
        milliseconds(step["meta_step_in_fit_ms"]),
        seconds(step["first_step_seconds"]),
        duration(3600 * step["all_meta_iterations_hours"]),
        milliseconds(tried["meta_step_in_fit_ms"]),
        seconds(tried["first_step_seconds"]),
        times(cpu_ms / step["meta_step_in_fit_ms"]),
        f"{percent(step['fraction_of_matrix_product_rate_in_fit'], 1)} % of {rate:.0f} TFLOP/s",
    ]


def gpu_jax() -> str:
    names = {
        "jax_vmap": "JAX, `vmap`, its own convolutions",
        "jax_patches_vmap": "JAX, `vmap`, convolutions as products of patches",
    }
    rows = [
        [names[row["name"]]]
        + [milliseconds(row[key]) for key in ("meta_step_ms", "meta_step_ms_fastest")]
        for row in record("h200")["compare"]
    ]
    return table(["the 5-way meta-step, bare, with trials", "median", "fastest"], rows)


def gpu_bits() -> str:
    found = record("h200")["same_bits"]
    rows = [
        ["without trials", f"{found['largest_difference']:g}"],
        ["with trials", f"{found['largest_difference_with_kernels_tried_out']:g}"],
    ]
    return table(["kernels", "largest difference of a variable"], rows)


def gpu_fast() -> str:
    found = record("h200")["omniglot_5way_fast"]
    cells = [f"{found['meta_iterations']:,}", seconds(found["seconds"]), accuracy(found)]
    header = ["recipe", "meta-iterations", "training", "transductive accuracy in %", "test tasks"]
    return table(header, [["`omniglot_5way_fast`", *cells, f"{found['tasks']:,}"]])


def cpu_kernels() -> str:
    content = record("cpu_kernels")
    found = {(r["precision"], r["kernels"]): r["meta_step_cpu_ms"] for r in content["rows"]}
    before = mean(content["xla_with_patches_in_bfloat16"]["of_each_process"])
    found["mixed_bfloat16", "XLA, patches in bfloat16"] = before
    kernels = list(dict.fromkeys(kernels for _, kernels in found))
    rows = [
        [f"`{p}`", *(milliseconds(found[p, k]) if (p, k) in found else "" for k in kernels)]
        for p in dict.fromkeys(precision for precision, _ in found)
    ]
    return table(["5-way meta-step, CPU time", *kernels], rows)


def reduced_bytes() -> int:
    return max(row["bytes"] for row in record("scale")["rows"])


def task_seconds() -> float:
    """What a task of the 5-way run takes a core."""
    step = record("speed")["meta_step"]["recipes"][0]
    return step["meta_step_ms"] / 1000 * step["cores"] / 5


def omniglot_weights() -> str:
    """The weights of the 5-way network: 4 bytes of each are reduced, and 4 of its moment."""
    return f"{reduced_bytes() // 8:,}"


def links() -> str:
    rows = [
        [name, f"{two_digits(size / 1e6)} MB", *(reducing(size, n, *link) for n in REPLICAS)]
        for size in (reduced_bytes(), LARGE_NETWORK)
        for name, link in LINKS.items()
    ]
    return table(["bandwidth, latency", "reduced", *(f"{n} replicas" for n in REPLICAS)], rows)


def reducing(size: float, replicas: int, bandwidth: float, latency: float) -> str:
    """Time of a ring all-reduce, and of how many tasks of a replica that is the time."""
    found = reduce_seconds(size, replicas, bandwidth, latency)
    return f"{two_digits(1000 * found)} ms, {two_digits(found / task_seconds())} tasks"


def task_time() -> str:
    return milliseconds(1000 * task_seconds())


def scale() -> str:
    header = ["processes", "tasks", "bytes reduced", "meta-steps a second", "meta-step", "on paper"]
    return table([*header, "measured / on paper"], map(scale_row, record("scale")["rows"]))


def scale_row(row: dict[str, Any]) -> list[str]:
    measured, paper = row["step_seconds"], row["on_paper_seconds"]
    whole = [f"{row[key]:,}" for key in ("processes", "tasks", "bytes")]
    of_step = [milliseconds(1000 * s) for s in (measured, paper)]
    return [*whole, f"{1 / measured:.1f}", *of_step, times(measured / paper)]


TABLES = {
    f.__name__: f for f in (gpu_steps, gpu_jax, gpu_bits, gpu_fast, cpu_kernels, links, scale)
}
VALUES = {"task_time": task_time, "omniglot_weights": omniglot_weights}
