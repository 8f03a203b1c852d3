"""The numbers of compiled programs as a table of 80 columns."""

from collections.abc import Iterable
from typing import Any

TITLES = {
    "gpu": "An NVIDIA H200; us: XLA's cost model, + with cuDNN, which the model leaves out",
    "tpu": "A core of a TPU v5e; cycles: its compiler's estimate",
}
# Columns and their widths. The loop is the one with most launches: its turns, and those of a turn.
COMMON = {"outside": 7, "loop": 9, "total": 7}
TIME = {"gpu": {"graphs": 7, "us": 7}, "tpu": {"Mcycles": 8}}
MEMORY = {"MB": 6, "kB": 6}
COLUMNS = {device: {**COMMON, **time, **MEMORY} for device, time in TIME.items()}
NAME = 30


def lines(device: str, rows: Iterable[dict[str, Any]]) -> Iterable[str]:
    """The lines of a device's table, each as soon as there is its row."""
    yield f"{TITLES[device]}."
    yield _line("", {column: column for column in COLUMNS[device]}, device)
    for row in rows:
        yield _line(row["program"], cells(row), device)


def cells(row: dict[str, Any]) -> dict[str, str]:
    """A program's numbers as the table shows them."""
    loop = max(row["loops"], key=lambda loop: loop["turns"] * loop["launches"], default=None)
    shown = {
        "outside": f"{row['launches_outside_loops']}",
        "loop": f"{loop['turns']} x {loop['launches']}" if loop else "-",
        "total": f"{row['launches']:,}",
        "MB": f"{row['memory_bytes']['temp'] / 1e6:,.0f}",
        "kB": f"{row['host_bytes'] / 1e3:,.0f}",
    }
    if "cycles" in row:
        return {**shown, "Mcycles": f"{row['cycles'] / 1e6:.2f}"}
    more = "+" if any("cudnn" in kind for kind in row["kinds_without_estimate"]) else ""
    time = f"{row['model_microseconds']:,.0f}{more}"
    return {**shown, "graphs": f"{row['cuda_graphs']['graphs']}", "us": time}


def _line(name: str, shown: dict[str, str], device: str) -> str:
    return f"{name:<{NAME}}" + "".join(f"{shown[c]:>{w}}" for c, w in COLUMNS[device].items())
