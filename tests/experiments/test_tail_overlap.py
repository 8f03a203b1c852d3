"""Which minibatches overlap, and what the picture shows."""

import dataclasses

import pytest
from gradients_by_hand import assert_update_is, points_pool, use_smooth_network

from keras_reptile.experiments import tail_overlap
from keras_reptile.experiments.sweep_results import SETTINGS
from keras_reptile.experiments.tail_overlap import EXHAUSTED
from keras_reptile.recipes import building, named

RECIPE = named.get("tail_overlap", precision="float64", meta_iterations=10)
RUNS = tail_overlap.runs(RECIPE)


def test_training_tasks_of_other_ways_are_refused():
    text = r"with `ways`. Received: train_ways=20, ways=5. Leave --train_ways out"
    with pytest.raises(ValueError, match=text):
        tail_overlap.runs(dataclasses.replace(RECIPE, train_ways=20))


def minibatches(name):
    episode = next(iter(building.training_episodes(RUNS[name].recipe, points_pool())))
    return [set(map(int, m)) for m in [*episode["order"][0].numpy(), *episode.get("tail", [])]]


# Of the last minibatch, how many images the earlier ones had: 4 minibatches of 25 are all 100.
OVERLAPS = {
    "fomaml_shared_k4_b10_e0.25": (10, 0),
    "fomaml_shared_k4_b25_e0.25": (25, 0),
    "fomaml_shared_k5_b25_e0.25": (25, 25),
    "fomaml_shared_k8_b25_e0.25": (25, 25),
    "fomaml_shared_k4_b50_e0.25": (50, 50),
    "reptile_cycling_k5_b25_e0.25": (25, 25),
    "fomaml_separate_k4_b10_e0.25": (25, 0),
    "fomaml_separate_k8_b25_e0.25": (25, 0),
    "fomaml_separate_k4_b50_e0.25": (25, 0),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OVERLAPS)
def test_the_last_minibatch_overlaps_where_it_should(name):
    *earlier, last = minibatches(name)
    assert len(earlier) == RUNS[name].recipe.inner_steps - 1
    assert (len(last), len(last & set().union(*earlier))) == OVERLAPS[name]


def test_with_replacement_it_overlaps_in_part():
    *earlier, last = minibatches("fomaml_shared_replacement_k4_b25_e0.25")
    assert 0 < len(last & set().union(*earlier)) < 25


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "coefficients"),
    [
        ("fomaml_shared_k5_b25_e0.25", [0, 0, 0, 0, 1]),
        ("fomaml_shared_replacement_k5_b25_e0.25", [0, 0, 0, 0, 1]),
        ("fomaml_separate_k5_b25_e0.25", [0, 0, 0, 0, 1]),
        ("reptile_cycling_k5_b25_e0.25", [1, 1, 1, 1, 1]),
        ("reptile_replacement_k5_b25_e0.25", [1, 1, 1, 1, 1]),
        ("reptile_cycling_k8_b25_e1", [4] * 8),
    ],
)
def test_a_meta_update_is_its_methods(name, coefficients, float64, monkeypatch):
    use_smooth_network(monkeypatch)
    assert_update_is(RUNS[name].recipe, coefficients)


def test_every_curve_has_its_points_once_and_in_its_panels():
    for curve in tail_overlap.CURVES:
        panels = [r.columns["panels"] for r in RUNS.values() if r.columns["curve"] == curve]
        counts = {p: sum(p in each for each in panels) for p in "abc"}
        overlapping = curve in tail_overlap.CURVES_OVERLAPPING
        assert counts == {"a": 4, "b": 3, "c": 3 if overlapping else 0}


def test_the_picture_shows_each_point_in_its_panels():
    rows = [
        {
            "run": name,
            **run.columns,
            **{k: str(getattr(run.recipe, k)) for k in SETTINGS},
            "measured": "final",
            "accuracy": "0.5",
            "confidence_95": "0.01",
        }
        for name, run in RUNS.items()
        if run.columns["curve"] == "fomaml_shared"
    ]
    figure = tail_overlap.picture(rows, "title")
    xs = [list(axes.containers[0].lines[0].get_xdata()) for axes in figure.axes]
    assert xs == [[2, 4, 5, 8], [10, 25, 50], [0.0625, 0.25, 1]]
    assert all((a.containers[0].lines[0].get_ydata() == 50).all() for a in figure.axes)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["FOMAML, shared tail, cycling", EXHAUSTED]
    lines = [[n.get_xdata() for n in a.lines if n.get_label() == EXHAUSTED] for a in figure.axes]
    assert lines == [[[4, 4]], [[25, 25]], []]
