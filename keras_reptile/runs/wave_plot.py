"""Sine waves as pictures: predictions before, during and after adaptation, as in figure 1."""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_reptile.checks import counted
from keras_reptile.pictures import style
from keras_reptile.reptile_model import ReptileModel

COLOURS = ("0.6", *(style.COLOURS[i] for i in (4, 0, 1)))


def shown_steps(inner_steps: int) -> tuple[int, ...]:
    """Returns the numbers of inner steps in a picture: none, a quarter, half and all.

    Example:

    >>> shown_steps(32), shown_steps(2)
    ((0, 8, 16, 32), (0, 1, 2))
    """
    return tuple(sorted({0, inner_steps // 4, inner_steps // 2, inner_steps}))


def predictions_after(
    model: ReptileModel, episode: dict[str, Any], steps: tuple[int, ...]
) -> dict[int, np.ndarray]:
    """Computes query predictions after several numbers of inner steps, without changing the model.

    Args:
        model: A compiled `ReptileModel`.
        episode: An element of `sinusoid_dataset`, with at least the largest number of inner steps.
        steps: Tuple of integers, numbers of inner steps.

    Returns:
        Dict from each number of steps to predictions `(tasks, queries)`.
    """
    predictions = _predictions(model, episode, steps)
    return {k: p.numpy()[..., 0] for k, p in zip(steps, predictions, strict=True)}


@tf.function(reduce_retracing=True, autograph=False)
def _predictions(model, episode, steps):
    first = lambda k: {**episode, "order": episode["order"][:, :k]}  # noqa: E731
    return [model.adapt_and_predict(first(k), transductive=True)[1] for k in steps]


def draw_wave(axes: Axes, episode: dict, predictions: dict[int, np.ndarray], task: int = 0) -> None:
    """Draws one task: the true wave, the sampled points and a curve for each number of steps."""
    x, y = (t.numpy()[task, :, 0] for t in episode["query"])
    axes.plot(x, y, color="black", linestyle="--", linewidth=1.2, label="true wave")
    for (number, values), colour in zip(predictions.items(), COLOURS, strict=False):
        label = f"after {counted(number, 'step')}" if number else "before"
        axes.plot(x, values[task], color=colour, label=label)
    sampled = [t.numpy()[task, :, 0] for t in episode["support"]]
    axes.plot(*sampled, "k^", markersize=6, label="sampled points", zorder=3)
    axes.grid(alpha=0.3)


@style.styled()
def predictions_picture(
    model: ReptileModel, episode: dict, inner_steps: int, title: str, path: Path
) -> None:
    """Draws the predictions for an episode's first task before and after adaptation as a PNG."""
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    draw_wave(axes, episode, predictions_after(model, episode, shown_steps(inner_steps)))
    axes.set(title=title, xlabel="x", ylabel="f(x)")
    figure.legend(loc="outside lower center", ncols=3)
    style.save(figure, path)
