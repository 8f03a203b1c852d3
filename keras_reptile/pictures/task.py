"""A picture of a few-shot task: its support set, its queries, and a network's predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_reptile.checks import check_integer
from keras_reptile.pictures.style import RIGHT, WRONG

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# At most this many support images, and as many queries, of a class are shown.
MAX_IMAGES = 5


def plot_task(
    episode: dict[str, Any],
    predictions: Any = None,
    *,
    task: int = 0,
    class_names: Sequence[str] | None = None,
    title: str | None = None,
) -> "Figure":
    """Draws one task: a column for each class, its support images above its queries.

    A frame and a label below each query show its prediction. A correct prediction of class A is
    blue with the label "A". A wrong one is orange with the label "A, not B". At most 5 support
    images and 5 queries of a class are shown.

    Args:
        episode: Dict, an element of `episode_dataset`, whose inputs are images.
        predictions: Array `(meta_batch_size, queries, outputs)`, logits or probabilities, as
            `model.predict` returns them, or integer labels `(meta_batch_size, queries)`.
            Defaults to `None`: no predictions are shown.
        task: Integer, the position of the task in the meta-batch. Defaults to `0`.
        class_names: Sequence of strings, one for each label. Defaults to `None`: A, B, C and so on.
        title: String, above the picture. Defaults to `None`, no title.

    Returns:
        A `matplotlib.figure.Figure`. `figure.savefig(path)` writes it, and a notebook shows it.

    Raises:
        ValueError: If the inputs are not images, the meta-batch has no such task, or predictions
            or names do not fit.

    Example:

    >>> pool = keras_reptile.ClassPool.from_arrays(np.zeros((60, 28, 28, 1)), np.arange(60) % 6)
    >>> episode = next(iter(keras_reptile.episode_dataset(pool, ways=5, shots=2)))
    >>> figure = plot_task(episode)
    >>> len(figure.axes)  # 5 classes, each with 2 support images and a query
    15
    """
    # Imported here because matplotlib takes half a second, and training does not need it.
    from matplotlib.figure import Figure

    support_x, support_y = _examples(episode, "support", task)
    query_x, query_y = _examples(episode, "query", task)
    predicted = None if predictions is None else _labels(predictions, task, len(query_y))
    classes = int(max(support_y.max(initial=0), query_y.max(initial=0))) + 1
    names = _names(class_names, classes, predicted)
    rows = _rows(support_y, classes), _rows(query_y, classes)
    heights = [max(map(len, part), default=0) for part in rows]
    figure = Figure(figsize=(0.4 + 1.0 * classes, 0.5 + 1.25 * sum(heights)), layout="constrained")
    if title:
        figure.suptitle(title)
    grid = figure.add_gridspec(max(sum(heights), 1), classes)
    for label in range(classes):
        for row, image in enumerate(rows[0][label]):
            axes = show_image(figure.add_subplot(grid[row, label]), support_x[image])
            if row == 0:
                axes.set_title(names[label], fontsize="medium")
            if label == row == 0:
                axes.set_ylabel("support")
        for row, image in enumerate(rows[1][label]):
            axes = show_image(figure.add_subplot(grid[heights[0] + row, label]), query_x[image])
            if label == row == 0:
                axes.set_ylabel("queries")
            if predicted is not None:
                _marked(axes, names[predicted[image]], names[label])
    return figure


def _examples(episode, part: str, task: int) -> tuple:
    """Returns the images `(images, height, width, channels)` and labels of one task."""
    x, y = episode[part]
    shape = tuple(getattr(x, "shape", ()))
    if len(shape) != 5 or shape[-1] not in (1, 3, 4):
        raise ValueError(
            "`episode` must hold images, (tasks, images, height, width, 1, 3 or 4 channels). "
            f"Received: {part} inputs of shape {shape or type(x).__name__}."
        )
    check_integer("task", task, 0, shape[0] - 1)
    return np.asarray(x[task]), np.asarray(y[task])


def _labels(predictions, task: int, queries: int) -> np.ndarray:
    predictions = np.asarray(predictions)
    if predictions.ndim not in (2, 3) or len(predictions) <= task:
        raise ValueError(
            "`predictions` must be (tasks, queries, outputs), or labels (tasks, queries). "
            f"Received: shape {predictions.shape}, with task={task}."
        )
    of_task = predictions[task]
    if len(of_task) != queries:
        raise ValueError(
            f"`predictions` must have one row for each of the {queries} queries. "
            f"Received: {len(of_task)} rows. Pass those of the same episode."
        )
    return of_task.argmax(axis=-1) if of_task.ndim == 2 else of_task.astype(int)


def _names(given, classes: int, predicted) -> list[str]:
    needed = classes if predicted is None else max(classes, int(predicted.max(initial=0)) + 1)
    if given is None:
        letters = [chr(ord("A") + i) for i in range(26)]
        return letters if needed <= 26 else [str(i) for i in range(needed)]
    if len(given) < needed:
        raise ValueError(
            f"`class_names` must name all {needed} labels. Received: {len(given)} names."
        )
    return [str(name) for name in given]


def _rows(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Returns the positions of each class's first images."""
    return [np.flatnonzero(labels == label)[:MAX_IMAGES] for label in range(classes)]


def show_image(axes: Any, image: np.ndarray) -> Any:
    """Shows an image in the axes, without ticks. Black is 0. White is 1, or 255 for bytes."""
    white = 255 if image.max(initial=0) > 1 else 1
    axes.imshow(np.clip(image / white, 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    return axes


def _marked(axes, predicted: str, true: str) -> None:
    right = predicted == true
    colour = RIGHT if right else WRONG
    label = predicted if right else f"{predicted}, not {true}"
    axes.set_xlabel(label, color=colour, fontweight="normal" if right else "bold")
    for edge in axes.spines.values():
        edge.set(color=colour, linewidth=3)
