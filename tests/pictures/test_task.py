import matplotlib.colors
import numpy as np
import pytest
from helpers import small_episodes

import keras_reptile as kr
from keras_reptile.pictures.task import RIGHT, WRONG, plot_tasks


@pytest.fixture(scope="module")
def episode():
    return next(iter(small_episodes(shots=2, queries=2)))


def columns(figure):
    """The axes by column, from the top."""
    found = {}
    for axes in figure.axes:
        found.setdefault(axes.get_subplotspec().colspan.start, []).append(axes)
    return found


def test_each_class_has_a_column_of_its_support_images_and_queries(episode):
    shown = columns(kr.plot_task(episode, task=1))
    (support, labels), (queries, _) = episode["support"], episode["query"]
    for label, axes in shown.items():
        own = np.flatnonzero(labels[1] == label)
        wanted = [support[1, i] for i in own] + [queries[1, 2 * label + i] for i in (0, 1)]
        for one, image in zip(axes, wanted, strict=True):
            np.testing.assert_array_equal(one.images[0].get_array(), image[..., 0])
    assert [axes[0].get_title() for axes in shown.values()] == ["A", "B", "C"]


@pytest.mark.parametrize(("dtype", "largest"), [("uint8", 1), ("uint8", 255), ("float32", 2)])
def test_bytes_are_shown_by_255_and_floats_by_1_also_if_some_exceed_it(dtype, largest):
    image = np.linspace(0, largest, 64).reshape(8, 8, 1).astype(dtype)
    x, y = np.stack([image, image])[None], np.array([[0, 1]])
    figure = kr.plot_task({"support": (x, y), "query": (x, y)})
    expected = np.clip(image[..., 0] / (255 if dtype == "uint8" else 1), 0, 1)
    for axes in figure.axes:
        np.testing.assert_allclose(axes.images[0].get_array(), expected)


@pytest.mark.slow
def test_right_and_wrong_predictions_are_told_apart_by_word_and_colour(episode):
    predicted = np.array([[0, 1, 1, 1, 2, 2]] * 2)
    logits = np.eye(3)[predicted]
    for given in (predicted, logits):
        queries = [axes[2:] for axes in columns(kr.plot_task(episode, given)).values()]
        words = [[axes.get_xlabel() for axes in pair] for pair in queries]
        assert words == [["A", "B, not A"], ["B", "B"], ["C", "C"]]
        edges = [axes.spines["top"].get_edgecolor() for axes in queries[0]]
        assert edges == [matplotlib.colors.to_rgba(colour) for colour in (RIGHT, WRONG)]


def test_names_and_a_title_are_shown(episode):
    figure = kr.plot_task(episode, class_names=["ox", "hen", "cat"], title="Farm")
    assert figure.axes[0].get_title() == "ox"
    assert figure.get_suptitle() == "Farm"


@pytest.mark.parametrize(
    ("names", "shown"),
    [(["$_$", "$5", "ox"], [r"\$_\$", r"\$5"]), (["caf\udce9", "$", "ox"], [r"caf\udce9", r"\$"])],
)
def test_names_are_no_formulas_and_may_be_of_bytes_that_are_no_text(names, shown):
    x, y = np.zeros((1, 3, 8, 8, 1)), np.array([[0, 1, 2]])
    figure = plot_tasks({"support": (x, y), "query": (x, y)}, np.array([[1, 0, 2]]), [names])
    # Otherwise it raises an error.
    figure.canvas.draw()
    assert [axes.get_title() for axes in figure.axes[:2]] == shown
    assert figure.axes[3].get_xlabel() == f"{shown[1]},\nnot {shown[0]}"


@pytest.mark.parametrize("names", [["44012", "43008", "21000"], ["LONGESTONE", "longestone", "X"]])
def test_long_labels_stay_in_their_columns(names):
    x, y = np.zeros((1, 3, 8, 8, 1)), np.array([[0, 1, 2]])
    figure = plot_tasks({"support": (x, y), "query": (x, y)}, np.array([[1, 2, 0]]), [names])
    figure.canvas.draw()
    labels = [axes.xaxis.label for axes in figure.axes[3:]]
    assert labels[0].get_text() == f"{names[1]},\nnot {names[0]}"
    left, middle, right = (label.get_window_extent() for label in labels)
    assert left.x1 < middle.x0 and middle.x1 < right.x0


def test_of_many_images_some_are_shown():
    episode = next(iter(small_episodes(shots=9, queries=1)))
    assert len(kr.plot_task(episode).axes) == 3 * (5 + 1)


REFUSED = {
    "must be a dict, .* Received: list. Take an element": dict(change=lambda e: [e]),
    "must have inputs and their labels under 'query'. Received: inputs only. Add": dict(
        change=lambda e: {**e, "query": e["query"][:1]}
    ),
    "must have inputs and their labels under 'query'. Received: neither. Add": dict(
        change=lambda e: {"support": e["support"]}
    ),
    r"must hold images, .* Received: support inputs of shape \(2, 6, 8, 8\)": dict(
        change=lambda e: {**e, "support": (e["support"][0][..., 0], e["support"][1])}
    ),
    r"`task` must be at most 1. Received: task=2": dict(task=2),
    r"one row for each of the 6 queries. Received: 5 rows": dict(predictions=np.zeros((2, 5, 3))),
    r"\(tasks, queries, outputs\), or labels .* Received: shape \(6,\)": dict(
        predictions=np.zeros(6)
    ),
    r"must name all 3 labels. Received: 2 names": dict(class_names=["a", "b"]),
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_drawn_is_refused(text, episode):
    arguments = dict(REFUSED[text])
    changed = arguments.pop("change", lambda e: e)(episode)
    with pytest.raises(ValueError, match=text):
        kr.plot_task(changed, **arguments)


def test_several_tasks_stand_below_each_other_with_their_own_names(episode):
    names = [["ox", "hen", "cat"], None]
    figure = plot_tasks(episode, np.zeros((2, 6), int), names)
    titles = [[a.get_title() for a in part.axes if a.get_title()] for part in figure.subfigs]
    assert titles == [["ox", "hen", "cat"], ["A", "B", "C"]]
    for task, part in enumerate(figure.subfigs):
        first = part.axes[0].images[0].get_array()
        np.testing.assert_array_equal(first, episode["support"][0][task, 0, ..., 0])


def test_a_prediction_that_is_no_number_has_a_question_mark(episode):
    outputs = np.eye(3)[[[0, 0, 1, 1, 2, 2]] * 2]
    outputs[0, 0] = np.nan
    outputs[0, 2, 0] = -np.inf  # A class that is ruled out.
    outputs[0, 4, 0] = np.inf
    queries = [axes[2:] for axes in columns(kr.plot_task(episode, outputs)).values()]
    words = [[axes.get_xlabel() for axes in pair] for pair in queries]
    assert words == [["?, not A", "A"], ["B", "B"], ["?, not C", "C"]]
