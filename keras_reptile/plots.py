"""Learning curves as pictures."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

SERIES = {
    "accuracy": "training tasks",
    "val_accuracy": "validation tasks",
    "test_accuracy": "test tasks",
}


def learning_curve(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draws accuracy and loss against meta-iterations from the rows of log.csv.

    Args:
        rows: List of dicts with `meta_iteration` and any of `accuracy`, `val_accuracy`,
            `val_confidence_95`, `test_accuracy`, `loss_before` and `loss_after`.
        title: String, above the picture.
        path: Path of a PNG file.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    accuracy, loss = figure.subplots(1, 2)
    for name, label in SERIES.items():
        x, y = _points(rows, name)
        if x:
            accuracy.plot(x, [100 * v for v in y], marker=".", label=label)
    _band(accuracy, rows)
    accuracy.set(xlabel="meta-iterations", ylabel="query accuracy (%)")
    for name, label in {"loss_before": "before", "loss_after": "after"}.items():
        x, y = _points(rows, name)
        if x:
            loss.plot(x, y, marker=".", label=f"{label} adaptation")
    loss.set(xlabel="meta-iterations", ylabel="loss of training tasks", ylim=(0, None))
    for axes in (accuracy, loss):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.savefig(path, dpi=120, format="png")


def _points(rows, name):
    present = [row for row in rows if row.get(name) not in (None, "")]
    return [int(r["meta_iteration"]) for r in present], [float(r[name]) for r in present]


def _band(axes, rows) -> None:
    x, mean = _points(rows, "val_accuracy")
    _, half = _points(rows, "val_confidence_95")
    if x and len(half) == len(mean):
        low, high = ([100 * (m + s * h) for m, h in zip(mean, half, strict=True)] for s in (-1, 1))
        axes.fill_between(x, low, high, color="C1", alpha=0.2, label="95 % confidence")
