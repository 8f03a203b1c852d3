"""Validation, tests and evaluations of a run have other ways than its training tasks."""

import dataclasses
import json
import os
import signal

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import draw_no_pictures, image_pool, one_layer, stop_at

import keras_reptile as kr
from keras_reptile import networks
from keras_reptile.checkpoint import load_checkpoint
from keras_reptile.demo.models import load_model
from keras_reptile.distribution import Workers
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.errors import RunError
from keras_reptile.evaluation import evaluate
from keras_reptile.pretrained import pretrained
from keras_reptile.recipes import building, named
from keras_reptile.runs import finishing
from keras_reptile.runs.evaluating import evaluate_run
from keras_reptile.runs.exporting import export_run
from keras_reptile.runs.other_ways import ModelOfTasks, with_ways
from keras_reptile.runs.run_checks import check_pools, check_same_run, check_settings
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.stop_on_signal import Interrupted
from keras_reptile.runs.together import train_together
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
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    pool = building.load_pools(recipe, None).train
    spec = building.training_episodes(recipe, pool).element_spec
    model = building.on_strategy(recipe, spec, trained, strategy, Workers(strategy))
    wider = ModelOfTasks(dataclasses.replace(recipe, ways=5), "auto")
    assert wider.of(model).meta_iteration == 7
    model.optimizer.iterations.assign(9)
    assert wider.of(model).meta_iteration == 9
    assert wider.of(model).has_strategy


# Training tasks of 4 ways, and test tasks of 3.
OTHER = SMALL | dict(
    head="shared",
    train_ways=4,
    meta_iterations=2,
    meta_batch_size=2,
    checkpoint_every=1,
    validation_tasks=5,
    test_tasks=4,
    curve_tasks=4,
)


def other(**fields):
    return named.get("glyphs", **OTHER | fields)


def accuracy_of(model, recipe, part, tasks):
    pool = getattr(building.load_pools(recipe, None), part)
    return evaluate(model, building.evaluation_episodes(recipe, pool, tasks), verbose=0).accuracy


def logged(path, name):
    return [float(row[name]) for row in RunDirectory(path).rows()]


@pytest.mark.slow
@pytest.mark.usefixtures("small_data")
@pytest.mark.parametrize("is_distributed", [False, True])
def test_training_tasks_have_their_own_ways_and_all_other_tasks_those_of_the_recipe(
    tmp_path, is_distributed
):
    strategy = tf.distribute.MirroredStrategy(["CPU:0"]) if is_distributed else None
    summary = train(other(), tmp_path / "other", verbose=0, strategy=strategy)
    as_ever = other(ways=4, train_ways=0)
    train(as_ever, tmp_path / "as_ever", verbose=0, strategy=strategy)
    models = [RunDirectory(tmp_path / name).restore() for name in ("other", "as_ever")]
    for one, two in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, two)
    model = models[0].with_head(3)
    found = accuracy_of(model, other(), "test", 4)
    assert summary["result"]["ways"] == 3
    assert summary["result"]["accuracy"] == pytest.approx(found, abs=1e-6)
    assert logged(tmp_path / "other", "test_accuracy")[-1] == pytest.approx(found, abs=1e-6)
    found = accuracy_of(model, other(), "validation", 5)
    assert logged(tmp_path / "other", "val_accuracy")[-1] == pytest.approx(found, abs=1e-6)
    assert logged(tmp_path / "other", "accuracy") == logged(tmp_path / "as_ever", "accuracy")


@pytest.mark.slow
@pytest.mark.usefixtures("small_data")
def test_the_tasks_at_each_checkpoint_are_solved_from_the_weights_at_that_time(tmp_path):
    # The meta-step is large, so that the accuracies differ.
    recipe = other(meta_step_size=30.0, inner_learning_rate=0.1, validation_tasks=40)
    train(recipe, tmp_path, verbose=0)
    models = [load_checkpoint(path).with_head(3) for path in RunDirectory(tmp_path).saved()]
    expected = [accuracy_of(model, recipe, "validation", 40) for model in models]
    assert len({*expected}) == 2
    assert logged(tmp_path, "val_accuracy") == pytest.approx(expected, abs=1e-6)


@pytest.mark.slow
@pytest.mark.usefixtures("small_data")
def test_an_evaluation_has_the_ways_of_training_in_its_record_and_an_export_those_of_its_tasks(
    tmp_path,
):
    train(other(validation_tasks=0), tmp_path / "run", verbose=0)
    for ways, expected in ((None, 3), (5, 5), (4, 4)):
        given = {} if ways is None else {"ways": ways}
        record = tmp_path / "record.json"
        (found,) = evaluate_run(tmp_path / "run", tasks=2, verbose=0, record=record, **given)
        settings = json.loads(record.read_text())["settings"]
        assert (found["ways"], settings["ways"], settings["train_ways"]) == (expected, expected, 4)
    metadata = export_run(tmp_path / "run", tmp_path / "export", only_model=True)
    assert metadata["ways"] == 3
    assert pretrained(tmp_path / "export").network.output_shape == (None, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("small_data")
def test_an_evaluation_with_other_ways_than_its_run_records_those_of_training(tmp_path):
    train(named.get("glyphs", head="shared", **SMALL), tmp_path / "run", verbose=0)
    record = tmp_path / "record.json"
    evaluate_run(tmp_path / "run", ways=5, tasks=2, verbose=0, record=record)
    settings = json.loads(record.read_text())["settings"]
    assert (settings["ways"], settings["train_ways"]) == (5, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("small_data")
def test_runs_that_are_trained_together_validate_with_other_ways(tmp_path):
    recipes = [other(seed=seed, meta_batch_size=1) for seed in (0, 1)]
    paths = [tmp_path / f"{seed}" for seed in (0, 1)]
    train_together(recipes, paths, verbose=0)
    for recipe, path in zip(recipes, paths, strict=True):
        model = RunDirectory(path).restore().with_head(3)
        found = accuracy_of(model, recipe, "validation", 5)
        assert logged(path, "val_accuracy")[-1] == pytest.approx(found, abs=1e-6)


def with_dropout(recipe, image_shape):
    kernels = networks.glorot_uniform(recipe.seed)
    return keras.Sequential(
        [
            keras.Input(image_shape),
            keras.layers.Flatten(),
            keras.layers.Dense(8, kernel_initializer=next(kernels)),
            keras.layers.Dropout(0.5, seed=3),
            keras.layers.Dense(recipe.ways_in_training, kernel_initializer=next(kernels)),
        ]
    )


@pytest.mark.slow
@pytest.mark.usefixtures("small_data")
def test_a_run_with_dropout_that_is_resumed_validates_like_an_undisturbed_one(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(building, "build_network", with_dropout)
    recipe = other(meta_iterations=3, validation_tasks=20, meta_step_size_final=1.0)
    train(recipe, tmp_path / "whole", verbose=0)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, 2, lambda model: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(Interrupted):
            train(recipe, tmp_path / "cut", verbose=0)
    train(recipe, tmp_path / "cut", verbose=0)
    for name in ("val_loss_after", "val_accuracy", "test_accuracy"):
        assert logged(tmp_path / "cut", name) == logged(tmp_path / "whole", name)
    assert len({*logged(tmp_path / "whole", "val_loss_after")}) == 3


class Subclassed(keras.Model):
    """A network whose outputs are not known before its first call."""

    def __init__(self, ways):
        super().__init__()
        self.dense, self.flatten = keras.layers.Dense(ways), keras.layers.Flatten()

    def call(self, inputs):
        return self.dense(self.flatten(inputs))


def test_a_subclassed_network_with_a_separate_head_is_left_as_it_is():
    model = kr.ReptileModel(Subclassed(3))
    assert with_ways(model, 3) is model


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (dict(head="separate"), r"need a shared head.*train_ways=4, ways=3, head='separate'. Use"),
        (dict(train_ways=-1), r"`train_ways` must not be negative. Received: -1"),
    ],
)
def test_ways_of_training_that_cannot_be_are_refused(fields, text):
    with pytest.raises(ValueError, match=text):
        check_settings(other(**fields))
    check_settings(other(head="separate", train_ways=3))


def test_ways_of_training_that_are_those_of_the_tasks_need_not_be_given_again(tmp_path):
    directory = RunDirectory(tmp_path)
    directory.write_json("run.json", {"settings": dataclasses.asdict(other(train_ways=3))})
    assert check_same_run(directory, other(train_ways=0))
    with pytest.raises(RunError, match=r"train_ways=3 \(now 4\)"):
        check_same_run(directory, other(train_ways=4))
    with pytest.raises(RunError, match=r"with other settings: ways=3 \(now 4\)\. Give"):
        check_same_run(directory, other(train_ways=3, ways=4))
    directory.write_json("run.json", {"settings": dataclasses.asdict(other(train_ways=0))})
    with pytest.raises(RunError, match=r"with other settings: ways=3 \(now 4\)\. Give"):
        check_same_run(directory, other(train_ways=0, ways=4))


def test_the_demo_of_a_run_has_as_many_characters_as_its_tasks(tmp_path):
    recipe = other()
    directory = RunDirectory(tmp_path)
    directory.write_json("run.json", {"settings": dataclasses.asdict(recipe)})
    directory.save(building.build_model(recipe, (12, 12, 1)))
    assert load_model(tmp_path).network.output_shape[-1] == 3


def test_ways_of_training_need_as_many_training_classes():
    pools = Pools(*image_pool(classes=15, size=12).split(5, 5, 5))
    text = r"`train_ways` must not exceed the number of training classes. Received: train_ways=6, w"
    with pytest.raises(ValueError, match=text):
        check_pools(other(train_ways=6), pools)
    check_pools(other(train_ways=5), pools)


def test_the_title_of_the_curve_has_both_ways():
    text = "glyphs, 3-way 1-shot (training tasks: 4-way)"
    assert finishing._title(other()) == text
    assert finishing._title(other(train_ways=3)) == "glyphs, 3-way 1-shot"
