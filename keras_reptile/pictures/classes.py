"""Pictures of an evaluation: the classes that are hard to tell apart."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_reptile.checks import check_integer
from keras_reptile.pictures.style import as_written, styled
from keras_reptile.pictures.task import show_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OTHERS = "others"
# Images of a class in `plot_hardest_classes`.
IMAGES = 4


def plot_confusion(
    evaluation: Any,
    class_names: Sequence | None = None,
    *,
    classes: int = 12,
    title: str | None = None,
) -> "Figure":
    """Draws which classes are predicted for each class, in percent of the class's queries.

    If there are more than `classes`, it shows the hardest ones and those that they are mistaken
    for. A last column, "others", is the sum over all classes that are not shown.

    Args:
        evaluation: An `Evaluation` of `evaluate`.
        class_names: Sequence, a name for each class of the pool: its `names`. Defaults to `None`,
            the positions of the classes in the pool.
        classes: Integer, the most classes to show. Defaults to `12`.
        title: String, above the picture. Defaults to `None`, none.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig(path)` writes it, a notebook shows it.

    Raises:
        ValueError: If the evaluation does not know its classes, or one of them has no name.

    Example:

    >>> answers = np.array([[0, 0], [0, 1], [1, 1], [2, 2]])
    >>> found = keras_reptile.Evaluation(0.75, 0.1, np.array([0.75]), answers=answers)
    >>> figure = plot_confusion(found, ["a", "b", "c"], classes=2)
    >>> [label.get_text() for label in figure.axes[0].get_xticklabels()]
    ['a', 'b', 'others']
    """
    # Imported here: it takes half a second.
    from matplotlib.figure import Figure

    check_integer("classes", classes, 2)
    _check_evaluation(evaluation)
    names, counts = evaluation.confusion(class_names)
    chosen = _hardest_and_their_rivals(evaluation, classes)
    of_all = _shares(evaluation.answers, counts)[chosen]
    shares = of_all[:, chosen]
    labels = [as_written(names[i]) for i in chosen]
    if len(chosen) < len(names):
        others = np.delete(of_all, chosen, axis=1).sum(axis=1, keepdims=True)
        shares = np.concatenate([shares, others], axis=1)
    with styled():
        side = 2.5 + 0.55 * len(chosen)
        figure = Figure(figsize=(side + 0.6, side), layout="constrained")
        axes = figure.subplots()
        if title:
            figure.suptitle(title)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        columns = [*labels, OTHERS][: shares.shape[1]]
        axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
        axes.set_yticks(range(len(labels)), labels)
        axes.set(xlabel="predicted", ylabel="true class, % of its queries")
        for (row, column), share in np.ndenumerate(shares):
            if share >= 0.5:
                shade = "white" if share > 60 else "black"
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", color=shade)
    return figure


def plot_hardest_classes(
    evaluation: Any, pool: Any, *, classes: int = 6, title: str | None = None
) -> "Figure":
    """Draws images of the hardest classes beside those of the classes they are mistaken for.

    Args:
        evaluation: An `Evaluation` of `evaluate`.
        pool: The `ClassPool` of images from which its tasks were drawn.
        classes: Integer, the most classes to show. Defaults to `6`.
        title: String, above the picture. Defaults to `None`, none.

    Returns:
        A `matplotlib.figure.Figure`; `figure.savefig(path)` writes it, a notebook shows it.

    Raises:
        ValueError: If the evaluation does not know its classes, or the pool lacks one of them or
            contains no images.

    Example:

    >>> pool = keras_reptile.ClassPool.from_arrays(np.zeros((60, 28, 28, 1)), np.arange(60) % 6)
    >>> answers = np.array([[0, 0], [0, 1], [1, 1], [2, 2]])
    >>> found = keras_reptile.Evaluation(0.75, 0.1, np.array([0.75]), answers=answers)
    >>> len(plot_hardest_classes(found, pool, classes=1).axes)  # 4 images of each of 2 classes
    8
    """
    from matplotlib.figure import Figure

    check_integer("classes", classes, 1)
    _check_evaluation(evaluation)
    _check_images(pool)
    # Raises an error if the pool lacks a class.
    evaluation.confusion(pool.names)
    hardest = evaluation.by_class()[:classes]
    with styled():
        figure = Figure(figsize=(10, 0.8 + 1.75 * len(hardest)), layout="constrained")
        if title:
            figure.suptitle(title)
        parts = figure.subfigures(len(hardest), 2, squeeze=False)
        for (left, right), found in zip(parts, hardest, strict=True):
            _row_of_images(left, pool, found.name)
            name = as_written(pool.names[found.name])
            left.suptitle(f"{name}: {100 * found.accuracy:.0f} % of {found.queries:,} right")
            if found.mistaken_for is not None:
                _row_of_images(right, pool, found.mistaken_for)
                right.suptitle(f"mistaken for {as_written(pool.names[found.mistaken_for])}")
    return figure


def _row_of_images(figure, pool, position) -> None:
    images = pool.class_images(position)[:IMAGES]
    all_axes = figure.subplots(1, IMAGES)
    for axes, image in zip(all_axes, images, strict=False):
        show_image(axes, image)
    # A class may have fewer images.
    for axes in all_axes[len(images) :]:
        axes.set_axis_off()


def _hardest_and_their_rivals(evaluation, most: int) -> list[int]:
    """Returns positions in the confusion's names: hard classes and those they are mistaken for."""
    place = {name: i for i, name in enumerate(evaluation.confusion().names)}
    chosen: list[int] = []
    for found in evaluation.by_class():
        pair = [place[found.name]]
        if found.mistaken_for is not None:
            pair.append(place[found.mistaken_for])
        chosen += [i for i in pair if i not in chosen]
    return sorted(chosen[:most])


def _shares(answers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns counts in percent of the queries of each row's class.

    Queries without a prediction are queries, too.
    """
    present = np.unique(answers[answers >= 0])
    queries = np.array([np.sum(answers[:, 0] == c) for c in present])
    return 100 * counts / np.maximum(queries, 1)[:, None]


def _check_evaluation(evaluation) -> None:
    if not hasattr(evaluation, "confusion"):
        raise ValueError(
            "`evaluation` must be an `Evaluation`, as `evaluate` returns it. Received: "
            f"{type(evaluation).__name__}."
        )


def _check_images(pool) -> None:
    shape = tuple(getattr(pool, "image_shape", ()))
    if len(shape) != 3 or shape[-1] not in (1, 3, 4):
        raise ValueError(
            "`pool` must hold images, (height, width, 1, 3 or 4 channels). "
            f"Received: {shape or type(pool).__name__}. Pass the pool that the tasks are from."
        )
