import numpy as np
import pytest
from helpers import image_pool

import keras_reptile as kr

# Class 2 is taken for class 3 half the time, class 5 for class 0 once in four.
PAIRS = [(2, 3)] * 2 + [(2, 2)] * 2 + [(5, 0)] + [(5, 5)] * 3
PAIRS += [(c, c) for c in (0, 1, 3, 4) for _ in range(4)] + [(1, -1)]
FOUND = kr.Evaluation(0.8, 0.1, np.array([0.8]), answers=np.array(PAIRS))


def shown(axes):
    """The numbers of a picture of confusions, by the labels of their row and column."""
    columns = [label.get_text() for label in axes.get_xticklabels()]
    rows = [label.get_text() for label in axes.get_yticklabels()]
    positions = ((text.get_text(), *map(int, text.get_position())) for text in axes.texts)
    return {(rows[y], columns[x]): text for text, x, y in positions}


def test_a_confusion_shows_the_share_of_each_classs_queries():
    found = shown(kr.plot_confusion(FOUND, "abcdef").axes[0])
    assert found[("c", "d")] == found[("c", "c")] == "50"
    assert (found[("f", "a")], found[("f", "f")], found[("b", "b")]) == ("25", "75", "80")
    assert set(found) == {(c, c) for c in "abcdef"} | {("c", "d"), ("f", "a")}


def test_of_many_classes_it_shows_the_hardest_and_what_they_are_taken_for():
    found = shown(kr.plot_confusion(FOUND, "abcdef", classes=4).axes[0])
    assert {row for row, _ in found} == {"a", "c", "d", "f"}
    fewest = shown(kr.plot_confusion(FOUND, "abcdef", classes=3).axes[0])
    assert fewest[("f", "others")] == "25"


def test_a_query_without_a_prediction_is_taken_for_no_other_class():
    found = shown(kr.plot_confusion(FOUND, "abcdef", classes=5).axes[0])
    assert {column for row, column in found if row == "b"} == {"b"}
    # Class 4 is only predicted: nothing is known of what it is taken for.
    answers = np.array([(0, 4), (1, 1), (2, 2), (3, 3)])
    rival = kr.Evaluation(0.75, 0.1, np.array([0.75]), answers=answers)
    found = shown(kr.plot_confusion(rival, "abcde", classes=3).axes[0])
    assert set(found) == {("a", "e"), ("b", "b")}


def test_the_hardest_classes_stand_beside_those_that_they_are_mistaken_for():
    pool = image_pool()
    figure = kr.plot_hardest_classes(FOUND, pool, classes=2)
    titles = [part.get_suptitle() for part in figure.subfigs]
    expected = ["2: 50 % of 4 right", "mistaken for 3", "5: 75 % of 4 right", "mistaken for 0"]
    assert titles == expected
    for part, position in zip(figure.subfigs, (2, 3, 5, 0), strict=True):
        images = [axes.images[0].get_array() for axes in part.axes]
        wanted = pool.class_images(position)[:4, ..., 0] / 255
        np.testing.assert_allclose(np.stack(images), wanted, atol=1e-6)


def test_names_are_no_formulas_and_may_be_of_bytes_that_are_no_text():
    names = ["$_$", "b", "c\udce9", "$", "e", "f"]
    confusion = kr.plot_confusion(FOUND, names)
    pool = kr.ClassPool(image_pool().images, image_pool().counts, [*names, *"ghijkl"])
    hardest = kr.plot_hardest_classes(FOUND, pool, classes=1)
    for figure in (confusion, hardest):
        # Otherwise it raises an error.
        figure.canvas.draw()
    titles = [part.get_suptitle() for part in hardest.subfigs]
    assert titles == [r"c\udce9: 50 % of 4 right", r"mistaken for \$"]


def test_a_class_of_few_images_leaves_no_empty_frames():
    pool = kr.ClassPool.from_arrays(np.zeros((12, 8, 8, 1)), np.arange(12) % 6)
    figure = kr.plot_hardest_classes(FOUND, pool, classes=1)
    for part in figure.subfigs:
        assert [axes.axison for axes in part.axes] == [True, True, False, False]


def test_what_cannot_be_drawn_is_refused():
    losses = kr.LossEvaluation(0.8, 0.1, np.array([0.8]))
    for draw in (kr.plot_confusion, lambda found: kr.plot_hardest_classes(found, image_pool())):
        with pytest.raises(ValueError, match=r"must be an `Evaluation`, .*Received: LossEvaluati"):
            draw(losses)
    unknown = kr.Evaluation(0.8, 0.1, np.array([0.8]))
    with pytest.raises(ValueError, match="classes of the tasks are not known"):
        kr.plot_confusion(unknown)
    points = kr.ClassPool.from_arrays(np.zeros((12, 2)), np.arange(12) % 6)
    with pytest.raises(ValueError, match=r"`pool` must hold images.*Received: \(2,\)"):
        kr.plot_hardest_classes(FOUND, points)
    with pytest.raises(ValueError, match="must name all classes of the pool, 6 or more"):
        kr.plot_hardest_classes(FOUND, image_pool(classes=4))
