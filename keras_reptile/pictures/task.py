"""A picture of a few-shot task: its support set, its queries, and a network's predictions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from keras_reptile.checks import check_integer
from keras_reptile.pictures.style import RIGHT, STYLE, WRONG, as_written, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# At most this many support images, and as many queries, of a class are shown.
MAX_IMAGES = 5
# Floats up to this number are not bytes: augmented or standardized images exceed 1 by a little.
BRIGHT = 10
# So many bold capitals of the usual size are as wide as a column.
WIDTH = 8
# In place of a label, where a prediction is not finite.
NO_NUMBER = -1


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
    blue with the label "A". A wrong one is orange with the label "A, not B", in two lines if it is
    long, and with "?" in place of A if the outputs are not finite. At most 5 support images and 5
    queries of a class are shown.

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
        ValueError: If the inputs are not images or have no labels, the meta-batch has no such
            task, or predictions or names do not fit.

    Example:

    >>> pool = keras_reptile.ClassPool.from_arrays(np.zeros((60, 28, 28, 1)), np.arange(60) % 6)
    >>> episode = next(iter(keras_reptile.episode_dataset(pool, ways=5, shots=2)))
    >>> figure = plot_task(episode)
    >>> len(figure.axes)  # 5 classes, each with 2 support images and a query
    15
    """
    # Imported here because matplotlib takes half a second, and training does not need it.
    from matplotlib.figure import Figure

    drawn = _task_of(episode, predictions, task, class_names)
    with styled():
        figure = Figure(figsize=drawn.size, layout="constrained")
        if title:
            figure.suptitle(title)
        _draw(figure, drawn)
    return figure


def plot_tasks(
    episode: dict[str, Any], predictions: Any, class_names: Sequence[Sequence[str] | None]
) -> "Figure":
    """Draws the first tasks of a meta-batch, one below the other, as `plot_task` does.

    Args:
        episode, predictions: See `plot_task`.
        class_names: Sequence, for each task that is drawn its `class_names` of `plot_task`.
    """
    from matplotlib.figure import Figure

    tasks = [_task_of(episode, predictions, i, names) for i, names in enumerate(class_names)]
    width, height = max(t.size[0] for t in tasks), sum(t.size[1] for t in tasks)
    with styled():
        figure = Figure(figsize=(width, height), layout="constrained")
        parts = figure.subfigures(len(tasks), 1, squeeze=False, hspace=0.05)
        for part, task in zip(parts[:, 0], tasks, strict=True):
            _draw(part, task)
    return figure


class _Task(NamedTuple):
    """The drawn parts of a task. `predicted` is `None` without predictions."""

    support_x: np.ndarray
    query_x: np.ndarray
    support_rows: list[np.ndarray]
    query_rows: list[np.ndarray]
    predicted: np.ndarray | None
    names: list[str]

    @property
    def heights(self) -> tuple[int, int]:
        """The largest number of images of a class, in the support set and in the queries."""
        parts = self.support_rows, self.query_rows
        support, queries = (max(map(len, part), default=0) for part in parts)
        return support, queries

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in inches."""
        return 0.5 + 1.15 * len(self.support_rows), 0.5 + 1.4 * sum(self.heights)


def _task_of(episode, predictions, task, class_names) -> _Task:
    support_x, support_y = _examples(episode, "support", task)
    query_x, query_y = _examples(episode, "query", task)
    predicted = None if predictions is None else _labels(predictions, task, len(query_y))
    classes = int(max(support_y.max(initial=0), query_y.max(initial=0))) + 1
    rows = _rows(support_y, classes), _rows(query_y, classes)
    names = _names(class_names, classes, predicted)
    return _Task(support_x, query_x, *rows, predicted, names)


def _draw(figure, task: _Task) -> None:
    """Draws a task into a figure, or a part of one."""
    heights, names = task.heights, task.names
    grid = figure.add_gridspec(max(sum(heights), 1), len(task.support_rows))
    for label, images in enumerate(task.support_rows):
        for row, image in enumerate(images):
            axes = show_image(figure.add_subplot(grid[row, label]), task.support_x[image])
            if row == 0:
                axes.set_title(names[label])
            if label == row == 0:
                axes.set_ylabel("support")
    for label, images in enumerate(task.query_rows):
        for row, image in enumerate(images):
            axes = figure.add_subplot(grid[heights[0] + row, label])
            show_image(axes, task.query_x[image])
            if label == row == 0:
                axes.set_ylabel("queries")
            if task.predicted is not None:
                said = task.predicted[image]
                _marked(axes, "?" if said == NO_NUMBER else names[said], names[label])


def _examples(episode, part: str, task: int) -> tuple:
    """Returns the images `(images, height, width, channels)` and labels of one task."""
    if not isinstance(episode, dict):
        raise ValueError(
            "`episode` must be a dict, an element of `episode_dataset`. Received: "
            f"{type(episode).__name__}. Take an element of a dataset by `next(iter(dataset))`."
        )
    examples = episode.get(part, ())
    if len(examples) != 2:
        raise ValueError(
            f"`episode` must have inputs and their labels under {part!r}. Received: "
            f"{'inputs only' if examples else 'neither'}. Add the labels: each has a column."
        )
    x, y = examples
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
    if of_task.ndim == 1:
        return of_task.astype(int)
    # Negative infinity rules a class out; NaN and infinity are no predictions.
    known = (of_task < np.inf).all(axis=-1) & (of_task > -np.inf).any(axis=-1)
    return np.where(known, of_task.argmax(axis=-1), NO_NUMBER)


def _names(given, classes: int, predicted) -> list[str]:
    needed = classes if predicted is None else max(classes, int(predicted.max(initial=0)) + 1)
    if given is None:
        letters = [chr(ord("A") + i) for i in range(26)]
        return letters if needed <= 26 else [str(i) for i in range(needed)]
    if len(given) < needed:
        raise ValueError(
            f"`class_names` must name all {needed} labels. Received: {len(given)} names."
        )
    return [as_written(name) for name in given]


def _rows(labels: np.ndarray, classes: int) -> list[np.ndarray]:
    """Returns the positions of each class's first images."""
    return [np.flatnonzero(labels == label)[:MAX_IMAGES] for label in range(classes)]


def show_image(axes: Any, image: np.ndarray) -> Any:
    """Shows an image in the axes, without ticks. Black is 0. White is 1, or 255 for bytes.

    Floats above `BRIGHT` are bytes, too.
    """
    white = 255 if image.dtype == np.uint8 or image.max(initial=0) > BRIGHT else 1
    axes.imshow(np.clip(image / white, 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
    return axes


def _marked(axes, predicted: str, true: str) -> None:
    right = predicted == true
    colour = RIGHT if right else WRONG
    lines = [predicted] if right else [f"{predicted},", f"not {true}"]
    if _letters(" ".join(lines)) <= WIDTH:
        lines = [" ".join(lines)]
    size = STYLE["font.size"] * min(1, WIDTH / max(map(_letters, lines)))
    weight = "normal" if right else "bold"
    axes.set_xlabel("\n".join(lines), color=colour, fontweight=weight, fontsize=size)
    for edge in axes.spines.values():
        edge.set(color=colour, linewidth=3)


def _letters(text: str) -> int:
    """Returns how many letters are shown; see `as_written`."""
    return len(text.replace(r"\$", "$"))
