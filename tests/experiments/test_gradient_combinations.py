"""Each curve's meta-update, against gradients worked out by hand."""

import dataclasses

import numpy as np
import pytest
from gradients_by_hand import assert_update_is, points_pool, use_smooth_network

from keras_reptile.experiments import gradient_combinations
from keras_reptile.recipes import building, named

RECIPE = named.get("gradient_combinations", precision="float64", meta_iterations=10)

# What g_1, g_2, .. are multiplied by.
COEFFICIENTS = {
    "g1": [1],
    "g2": [0, 1],
    "half_g1_g2": [1 / 2, 1 / 2],
    "g1_g2": [1, 1],
    "g3": [0, 0, 1],
    "third_g1_g2_g3": [1 / 3, 1 / 3, 1 / 3],
    "g1_g2_g3": [1, 1, 1],
    "g4": [0, 0, 0, 1],
    "fourth_g1_g2_g3_g4": [1 / 4, 1 / 4, 1 / 4, 1 / 4],
    "g1_g2_g3_g4": [1, 1, 1, 1],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_a_curves_meta_update_is_the_sum_it_is_named_after(name, float64, monkeypatch):
    use_smooth_network(monkeypatch)
    recipe = gradient_combinations.runs(RECIPE)[name].recipe
    assert_update_is(recipe, COEFFICIENTS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", COEFFICIENTS)
def test_minibatches_are_disjoint_and_take_the_whole_support_set(name):
    recipe = gradient_combinations.runs(RECIPE)[name].recipe
    order = next(iter(building.training_episodes(recipe, points_pool())))["order"][0]
    k = len(COEFFICIENTS[name])
    assert order.shape == (k, 25)
    assert sorted(np.ravel(order)) == list(range(25 * k))


def test_there_are_the_papers_ten_curves():
    assert set(gradient_combinations.COMBINATIONS) == set(COEFFICIENTS)


def test_settings_are_those_of_the_authors_commands():
    recipe = named.get("gradient_combinations")
    assert recipe.inner_learning_rate == pytest.approx(0.003 * recipe.inner_batch_size)
    assert (recipe.inner_optimizer, recipe.meta_batch_size, recipe.meta_iterations) == (
        "sgd",
        1,
        40_000,
    )
    assert (recipe.shots, recipe.eval_inner_batch_size, recipe.eval_inner_steps) == (5, 25, 5)
    assert (recipe.validation_classes, recipe.transductive) == (0, False)


def test_a_final_meta_step_size_is_divided_too():
    runs = gradient_combinations.runs(dataclasses.replace(RECIPE, meta_step_size_final=0.1))
    assert runs["fourth_g1_g2_g3_g4"].recipe.meta_step_size_final == pytest.approx(0.025)


def test_minibatches_that_cannot_be_disjoint_are_refused():
    text = r"multiple of `ways`. Received: inner_batch_size=12, ways=5. Use a multiple such"
    with pytest.raises(ValueError, match=text):
        gradient_combinations.runs(dataclasses.replace(RECIPE, inner_batch_size=12))


def test_minibatches_are_disjoint_in_training_tasks_of_other_ways():
    recipe = dataclasses.replace(RECIPE, train_ways=4, inner_batch_size=12)
    runs = gradient_combinations.runs(recipe)
    assert {
        run.recipe.train_shots * 4 / (12 * run.recipe.inner_steps) for run in runs.values()
    } == {1}


def results(name, accuracies, **columns):
    row = {"run": name, "measured": "curve", "confidence_95": "0.02"}
    return [
        {**row, "meta_iteration": str(100 * (i + 1)), "accuracy": str(a), **columns}
        for i, a in enumerate(accuracies)
    ]


def test_the_picture_has_the_curves_in_order_in_percent():
    rows = results("g4", [0.5, 0.75]) + results("g1", [0.2, 0.25])
    rows += results("g1", [0.9], measured="final")
    figure = gradient_combinations.picture(rows, "title")
    first, second = figure.axes[0].lines
    assert [first.get_label(), second.get_label()] == ["$g_1$", "$g_4$"]
    np.testing.assert_allclose(first.get_xydata(), [[100, 20], [200, 25]])
    np.testing.assert_allclose(second.get_xydata(), [[100, 50], [200, 75]])
    assert figure.axes[0].get_title() == "title"


def test_a_run_without_a_curve_shows_its_end():
    figure = gradient_combinations.picture(results("g3", [0.8], measured="final"), "title")
    (line,) = figure.axes[0].lines
    np.testing.assert_allclose(line.get_xydata(), [[100, 80]])
