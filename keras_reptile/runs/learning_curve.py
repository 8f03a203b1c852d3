"""Draws the learning curves of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from keras_reptile.pictures.style import COLOURS, LINES, save, styled, thousands, whole_percent

ACCURACY = {
    "accuracy": "training tasks",
    "val_accuracy": "validation tasks",
    "test_accuracy": "test tasks",
}
LOSS_AFTER = {"loss_after": "training tasks", "val_loss_after": "validation tasks"}
TRAINING_LOSS = {"loss_before": "before adaptation", "loss_after": "after adaptation"}
ITERATIONS = "meta-iterations"


@styled()
def learning_curve(
    rows: list[dict[str, Any]],
    title: str,
    path: Path,
    *,
    result: Mapping[str, Any] | None = None,
    ways: int | None = None,
    paper: float | None = None,
) -> None:
    """Draws the accuracy and the loss of a run against meta-iterations, from log.csv's rows.

    For a run without accuracy, it draws the loss after adaptation instead.

    Args:
        rows: List of dicts with `meta_iteration` and any of `accuracy`, `val_accuracy`,
            `val_confidence_95`, `test_accuracy`, `loss_before`, `loss_after` and `val_loss_after`.
        title: String, above the picture.
        path: Path of a PNG file.
        result: Mapping, the test result as in summary.json. Defaults to `None`, none.
        ways: Integer, the classes of a task, for a line at the accuracy of guessing. Defaults to
            `None`, no line.
        paper: Float, the paper's accuracy in percent. Defaults to `None`, no line.
    """
    figure = Figure(figsize=(11, 5), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    quality, loss = left.subplots(), right.subplots()
    if any(_points(rows, name)[0] for name in ACCURACY):
        _lines(quality, rows, ACCURACY, scale=100)
        _band(quality, rows, "val_accuracy", scale=100)
        _result(quality, rows, result, "accuracy", "{:.2f} %", scale=100)
        _references(quality, ways, paper)
        quality.set(ylabel="query accuracy (%)")
        whole_percent(quality)
    else:
        _lines(quality, rows, LOSS_AFTER)
        _band(quality, rows, "val_loss_after")
        _result(quality, rows, result, "loss", "{:.4f}")
        quality.set(ylabel="query loss after adaptation", ylim=(0, None))
    _lines(loss, rows, TRAINING_LOSS)
    loss.set(ylabel="loss of training tasks", ylim=(0, None))
    for part, axes in ((left, quality), (right, loss)):
        axes.set_xlabel(ITERATIONS)
        axes.grid(True)
        thousands(axes.xaxis)
        if axes.get_legend_handles_labels()[0]:
            # Below the axes, where it hides no curve.
            part.legend(loc="outside lower center", ncols=2)
    save(figure, path)


def _lines(axes, rows, series, scale=1) -> None:
    for i, (name, label) in enumerate(series.items()):
        x, y = _points(rows, name)
        if x:
            # A series has its own colour, whether the others are there or not.
            look = {"color": COLOURS[i], "linestyle": LINES[i]}
            axes.plot(x, [scale * v for v in y], marker=".", label=label, **look)


def _result(axes, rows, result, name, number, scale=1) -> None:
    """Marks the final test result, with its 95 % interval, at the end of the run."""
    if result is None or result.get(name) is None or not rows:
        return
    value, half = scale * result[name], result["confidence_95"]
    spread = None if half is None else scale * half
    axes.errorbar(
        int(rows[-1]["meta_iteration"]),
        value,
        spread,
        fmt="D",
        color=COLOURS[3],
        capsize=5,
        label=f"final test: {number.format(value)}",
        zorder=4,
    )


def _references(axes, ways, paper) -> None:
    if paper is not None:
        axes.axhline(paper, color="black", linestyle="--", linewidth=1, label=f"paper: {paper} %")
    if ways is not None:
        chance = 100 / ways
        axes.axhline(
            chance, color="0.4", linestyle=":", linewidth=1.5, label=f"guessing: {chance:.3g} %"
        )


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
        axes.fill_between(x, low, high, color=COLOURS[1], alpha=0.2, label="95 % confidence")
