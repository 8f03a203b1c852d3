"""A run is evaluated with other ways than it was trained with, and in several orientations."""

import dataclasses

import pytest
import tensorflow as tf
from helpers import draw_no_pictures, image_pool, one_layer

from keras_reptile.distribution import Workers
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.errors import RunError
from keras_reptile.evaluation import evaluate
from keras_reptile.recipes import building, named
from keras_reptile.runs.evaluating import evaluate_run, with_ways
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.training import train

SMALL = dict(
    image_size=12,
    ways=3,
    train_shots=2,
    meta_iterations=1,
    meta_batch_size=1,
    inner_steps=1,
    eval_inner_steps=2,
    validation_tasks=0,
    test_tasks=0,
)


@pytest.fixture
def small_data(monkeypatch):
    pools = Pools(*image_pool(classes=15, size=12).split(5, 5, 5))
    monkeypatch.setattr(building, "load_pools", lambda *arguments: pools)
    monkeypatch.setattr(building, "build_network", one_layer)
    draw_no_pictures(monkeypatch)


@pytest.mark.slow
@pytest.mark.usefixtures("small_data")
def test_a_shared_head_has_an_output_for_each_way_and_a_separate_one_is_refused(tmp_path):
    for head in ("shared", "separate"):
        train(named.get("glyphs", head=head, **SMALL), tmp_path / head, verbose=0)
    (found,) = evaluate_run(tmp_path / "shared", ways=5, tasks=2, verbose=0)
    assert (found["ways"], found["tasks"]) == (5, 2)
    with pytest.raises(RunError, match=r"network has 3 outputs. Received: ways=5"):
        evaluate_run(tmp_path / "separate", ways=5, tasks=2, verbose=0)
    model = RunDirectory(tmp_path / "shared").restore()
    assert with_ways(model, 3) is model
    assert with_ways(model, 4).meta_iteration == 1


@pytest.mark.slow
@pytest.mark.usefixtures("small_data")
def test_a_run_is_evaluated_in_as_many_orientations_as_are_asked_for(tmp_path):
    train(named.get("glyphs", **SMALL), tmp_path, verbose=0)
    (found,) = evaluate_run(tmp_path, tasks=9, orientations=4, verbose=0)
    recipe = named.get("glyphs", **SMALL)
    tasks = building.evaluation_episodes(recipe, building.load_pools(recipe, None).test, 9)
    model = RunDirectory(tmp_path).restore()
    expected = [evaluate(model, tasks, orientations=n, verbose=0).accuracy for n in (4, 1)]
    assert found["orientations"] == 4
    assert found["accuracy"] == pytest.approx(expected[0], abs=1e-6)
    assert abs(expected[0] - expected[1]) > 1e-3


@pytest.mark.usefixtures("small_data")
def test_a_model_of_other_ways_keeps_its_meta_iteration_on_a_strategy():
    recipe = named.get("glyphs", head="shared", **SMALL)
    trained = building.build_model(recipe, (12, 12, 1))
    trained.optimizer.iterations.assign(7)
    saved = with_ways(trained, 5)
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    wider = dataclasses.replace(recipe, ways=5)
    model = building.on_strategy(wider, (12, 12, 1), saved, strategy, Workers(strategy))
    assert model.meta_iteration == saved.meta_iteration == 7
