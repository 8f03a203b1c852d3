"""Draws the learning curves of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from keras_reptile.files.atomic_file import replacing

ACCURACY = {
    "accuracy": "training tasks",
    "val_accuracy": "validation tasks",
    "test_accuracy": "test tasks",
}
LOSS_AFTER = {"loss_after": "training tasks", "val_loss_after": "validation tasks"}
TRAINING_LOSS = {"loss_before": "before adaptation", "loss_after": "after adaptation"}


def learning_curve(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draws the query accuracy and the loss of a run against meta-iterations.

    If there is no accuracy, it draws the query loss after adaptation in its place.

    Args:
        rows: List of dicts with `meta_iteration` and any of `accuracy`, `val_accuracy`,
            `val_confidence_95`, `test_accuracy`, `loss_before`, `loss_after` and `val_loss_after`.
        title: String, above the picture.
        path: Path of a PNG file.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    judged, loss = figure.subplots(1, 2)
    if any(_points(rows, name)[0] for name in ACCURACY):
        _lines(judged, rows, ACCURACY, scale=100)
        _band(judged, rows, "val_accuracy", scale=100)
        judged.set(xlabel="meta-iterations", ylabel="query accuracy (%)")
    else:
        _lines(judged, rows, LOSS_AFTER)
        _band(judged, rows, "val_loss_after")
        judged.set(xlabel="meta-iterations", ylabel="query loss after adaptation", ylim=(0, None))
    _lines(loss, rows, TRAINING_LOSS)
    loss.set(xlabel="meta-iterations", ylabel="loss of training tasks", ylim=(0, None))
    for axes in (judged, loss):
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120, format="png")


def _lines(axes, rows, series, scale=1) -> None:
    for i, (name, label) in enumerate(series.items()):
        x, y = _points(rows, name)
        if x:
            # The validation's band has its line's colour, whatever else there is.
            axes.plot(x, [scale * v for v in y], marker=".", label=label, color=f"C{i}")


def _points(rows, name):
    present = [row for row in rows if has(row, name)]
    return [int(r["meta_iteration"]) for r in present], [float(r[name]) for r in present]


def has(row: Mapping[str, Any], name: str) -> bool:
    """Returns whether a row of log.csv has a value in a column. 0 is a value.

    Example:

    >>> has({"accuracy": 0.0}, "accuracy"), has({"accuracy": ""}, "accuracy")
    (True, False)
    """
    return row.get(name) not in (None, "")


def _band(axes, rows, name, scale=1) -> None:
    x, mean = _points(rows, name)
    _, half = _points(rows, "val_confidence_95")
    if x and len(half) == len(mean):
        low, high = (
            [scale * (m + s * h) for m, h in zip(mean, half, strict=True)] for s in (-1, 1)
        )
        axes.fill_between(x, low, high, color="C1", alpha=0.2, label="95 % confidence")
