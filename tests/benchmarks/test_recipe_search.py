import pytest
from search_candidates import SEARCHES, images_of, recipe_of, settings_of
from search_rows import best_rows, ranked

from keras_reptile.recipes import named


def row(candidate, budget, steps, inductive, transductive):
    # The rows of a CSV are strings.
    found = dict(candidate=candidate, budget=budget, eval_inner_steps=steps)
    found |= dict(inductive=inductive, transductive=transductive)
    return {key: str(value) for key, value in found.items()}


ROWS = [
    row("a", 800, 10, 0.80, 0.90),
    row("a", 800, 30, 0.86, 0.90),
    row("b", 800, 10, 0.84, 0.91),
    row("c", 800, 10, 0.90, 0.95),
    row("a", 2400, 10, 0.10, 0.10),
]


# Five tasks, of 5 inner steps of 10 images, of 10 inner steps of 20, and of 8 inner steps of 10.
IMAGES = {"omniglot_5way": 250, "omniglot_20way": 1000, "mini_imagenet_5way_1shot": 400}


@pytest.mark.parametrize(("paper", "images"), IMAGES.items())
def test_all_candidates_of_a_rung_compute_as_many_images(paper, images):
    assert images_of(named.get(paper)) == images
    for candidate in SEARCHES[paper].candidates:
        recipe = recipe_of(SEARCHES[paper], candidate, 800)
        total = recipe.meta_iterations * images_of(recipe)
        assert 0 <= 800 * images - total < images_of(recipe), candidate


@pytest.mark.parametrize(("paper", "classes"), zip(IMAGES, (100, 100, 16), strict=True))
def test_no_candidate_sees_test_classes(paper, classes):
    for candidate in SEARCHES[paper].candidates:
        recipe = recipe_of(SEARCHES[paper], candidate, 800)
        assert (recipe.test_tasks, recipe.curve_tasks) == (0, 0)
        assert recipe.validation_classes == classes


def test_a_trial_counts_at_its_better_number_of_evaluation_steps():
    assert [r["eval_inner_steps"] for r in best_rows(ROWS)] == ["30", "10", "10", "10"]


def test_candidates_are_ranked_within_a_rung_by_the_mean_of_both_accuracies():
    # a: 0.88, b: 0.875, c: 0.925
    assert ranked(ROWS, 800, ["a", "b", "c"]) == ["c", "a", "b"]
    assert ranked(ROWS, 800, ["b", "a"]) == ["a", "b"]
    assert ranked(ROWS, 2400, ["a", "b"]) == ["a"]


def test_settings_are_written_as_the_csv_has_them():
    assert settings_of(SEARCHES["omniglot_5way"], "paper") == ""
    assert settings_of(SEARCHES["omniglot_5way"], "batch_5").endswith(
        "inner_batch_size=5 inner_steps=10"
    )
