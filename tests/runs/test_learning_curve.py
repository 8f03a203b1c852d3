import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from keras_reptile.recipes import named
from keras_reptile.runs import learning_curve

ROWS = [
    {"meta_iteration": i, "accuracy": 0.9, "loss_before": 2.0, "loss_after": 0.5} for i in (10, 20)
]
RESULT = {"accuracy": 0.75, "confidence_95": 0.02, "loss": 0.125}


def test_the_band_has_the_colour_of_its_line_where_training_has_none():
    both = {"accuracy": 0.5, "val_accuracy": 0.6, "val_confidence_95": 0.1}
    for left_out in ((), ("accuracy",)):
        row = {k: v for k, v in both.items() if k not in left_out}
        rows = [{"meta_iteration": i, **row} for i in (1, 2)]
        axes = Figure().subplots()
        learning_curve._lines(axes, rows, learning_curve.ACCURACY)
        learning_curve._band(axes, rows, "val_accuracy")
        (validation,) = (x for x in axes.lines if x.get_label() == "validation tasks")
        (band,) = axes.collections
        assert to_rgb(validation.get_color()) == tuple(band.get_facecolor()[0][:3])


@pytest.fixture
def drawn(monkeypatch):
    """A function that draws a curve and returns its figure, and writes nothing."""
    figures = []
    monkeypatch.setattr(learning_curve, "save", lambda figure, path: figures.append(figure))

    def draw(rows=ROWS, **arguments):
        learning_curve.learning_curve(rows, "title", None, **arguments)
        return figures[-1]

    return draw


def labels(figure):
    return [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]


def test_it_shows_the_test_result_guessing_and_the_papers_accuracy_up_to_100_percent(drawn):
    figure = drawn(result=RESULT, ways=5, paper=95.39)
    judged = figure.axes[0]
    assert judged.get_ylim() == (0, 100)
    names = ["final test: 75.00 %", "guessing: 20 %", "paper: 95.39 %", "training tasks"]
    assert sorted(labels(figure)) == names
    found = {line.get_label(): set(line.get_ydata()) for line in judged.lines}
    assert (found["guessing: 20 %"], found["paper: 95.39 %"]) == ({20.0}, {95.39})
    (test,) = judged.containers
    assert test.lines[0].get_xydata().tolist() == [[20, 75.0]]
    (ends,) = (line.get_segments()[0] for line in test.lines[2])
    assert ends[:, 1] == pytest.approx([73.0, 77.0])


def test_without_them_it_shows_the_curves_alone(drawn):
    assert labels(drawn()) == ["training tasks"]
    alone = {"accuracy": 0.75, "confidence_95": None}
    assert labels(drawn(result=alone)) == ["training tasks", "final test: 75.00 %"]


def test_a_run_without_accuracy_shows_its_test_loss(drawn):
    rows = [{k: v for k, v in row.items() if k != "accuracy"} for row in ROWS]
    figure = drawn(rows, result={"loss": 0.125, "confidence_95": 0.01})
    assert labels(figure) == ["training tasks", "final test: 0.1250"]
    assert labels(drawn(rows, result={"loss": None, "confidence_95": None})) == ["training tasks"]


def test_legends_lie_below_the_axes(drawn):
    figure = drawn(result=RESULT, ways=5, paper=95.39)
    figure.draw_without_rendering()
    for part in figure.subfigs:
        (axes,), (legend,) = part.axes, part.legends
        assert legend.get_window_extent().y1 < axes.get_window_extent().y0


def test_the_papers_accuracy_is_that_of_the_same_tasks():
    of = lambda name, **changes: named.paper_accuracy(named.get(name, **changes))  # noqa: E731
    assert of("omniglot_5way", transductive=True, meta_iterations=10) == 97.68
    assert of("omniglot_20way", shots=5, transductive=True) == 97.12
    assert of("mini_imagenet_5way_5shot") == 62.74
    assert of("omniglot_5way", shots=2) is None
    assert of("omniglot_5way", dataset_split="background") is None
    assert [of(name) for name in ("glyphs", "omniglot_5way_fast", "sinusoid")] == [None] * 3
