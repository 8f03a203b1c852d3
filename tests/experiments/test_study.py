import dataclasses

import pytest

from keras_reptile.experiments import figures, study
from keras_reptile.experiments.sweep_results import about_run, title_of
from keras_reptile.recipes import named
from keras_reptile.recipes.recipe import NOTES


def test_every_choice_is_tried_alone_with_three_seeds():
    runs = figures.runs_of("study")
    paper = runs["paper_s0"].recipe
    assert len(runs) == 8 * 3
    for name, run in runs.items():
        curve, seed = name.rsplit("_s", 1)
        assert run.recipe == dataclasses.replace(paper, seed=int(seed), **study.CURVES[curve])
        assert run.columns["curve"] == curve


def test_all_else_is_the_papers_five_way_run_at_a_budget_of_5000():
    ours, theirs = (dataclasses.asdict(named.get(n)) for n in ("study", "omniglot_5way"))
    other = {k for k, v in ours.items() if v != theirs[k]} - set(NOTES)
    assert other == {
        "validation_classes",
        "validation_tasks",
        "transductive",
        "meta_iterations",
        "checkpoint_every",
        "curve_tasks",
    }
    assert (ours["validation_classes"], ours["meta_iterations"]) == (0, 5000)


def test_what_a_curve_changes_is_not_for_the_user_to_set():
    with pytest.raises(ValueError, match="Each curve of study sets its own `precision`"):
        figures.runs_of("study", precision="float64")


def row(curve, seed, measured, seconds, accuracy):
    return {
        "curve": curve,
        "seed": seed,
        "measured": measured,
        "meta_iteration": seconds,
        "seconds": seconds,
        "accuracy": accuracy,
        "confidence_95": 0.01,
    }


def test_curves_are_means_over_seeds_and_ends_are_each_seeds_own():
    rows = [
        row("paper", 0, "curve", 10, 0.5),
        row("paper", 1, "curve", 10, 0.7),
        row("paper", 0, "final", 10, 0.8),
        row("fomaml", 2, "curve", 10, 0.4),
    ]
    picture = study.picture(rows, "title")
    over_time, at_end = picture.axes
    drawn = [line.get_ydata().tolist() for line in over_time.get_lines()]
    assert drawn == [pytest.approx([60]), pytest.approx([40])]
    (legend,) = picture.legends
    assert [t.get_text() for t in legend.get_texts()] == ["as in the paper's run", "FOMAML"]
    colours = [line.get_color() for line in over_time.get_lines()]
    assert [line.get_color() for line in legend.get_lines()] == colours
    assert at_end.get_lines()[0].get_ydata().tolist() == pytest.approx([80])


def test_the_title_of_a_picture_names_a_meta_batch_that_all_runs_have():
    by_name = figures.runs_of("study")
    rows = [about_run(n, by_name[n]) | {"meta_iteration": 5000} for n in ("paper_s0", "serial_s1")]
    assert title_of(rows) == "omniglot, 5-way 1-shot, 5,000 meta-iterations, meta-batch 5"
    rows.append(about_run("meta_batch_1_s0", by_name["meta_batch_1_s0"]) | {"meta_iteration": 500})
    assert title_of(rows) == "omniglot, 5-way 1-shot, 5,000 meta-iterations"
