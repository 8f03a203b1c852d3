"""Whole runs on sine waves: what they write, how they resume, and which flags they refuse."""

import csv
import json
import re
import shutil

import keras
import numpy as np
import pytest
import warm
from helpers import assert_same_end, draw_no_pictures, one_layer, stop_at

import keras_reptile as kr
from keras_reptile.checkpoint import load_checkpoint
from keras_reptile.recipes import building, named
from keras_reptile.recipes.data_options import data_options
from keras_reptile.recipes.recipe import OF_IMAGES
from keras_reptile.runs import training, wave_plot
from keras_reptile.runs.evaluating import evaluate_run as measure
from keras_reptile.runs.results import best_row, best_validation, score_of
from keras_reptile.runs.run_directory import RunDirectory

PNG = b"\x89PNG\r\n\x1a\n"


def recipe(name="sinusoid", **changes):
    small = dict(meta_iterations=7, checkpoint_every=3, validation_tasks=6, test_tasks=8)
    return named.get(name, **{**small, **changes})


def run(path, name="sinusoid", **changes):
    return training.train(recipe(name, **changes), path, verbose=0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("sine")
    return path, run(path)


@pytest.mark.slow
def test_a_run_ends_with_the_mean_squared_error_of_its_test_waves(finished):
    path, summary = finished
    assert summary == json.loads((path / "summary.json").read_text())
    result = summary["result"]
    assert set(result) == {
        "loss",
        "confidence_95",
        "tasks",
        "non_finite_tasks",
        "shots",
        "inner_steps",
    }
    assert (result["tasks"], result["shots"], result["inner_steps"]) == (8, 10, 32)
    model = RunDirectory(path).restore()
    episodes = kr.sinusoid_dataset("test", 10, inner_steps=32, meta_batch_size=8, tasks=8)
    episode = next(iter(episodes))
    predictions = model.predict(episodes, verbose=0)[..., 0]
    squares = (predictions - episode["query"][1].numpy()[..., 0]) ** 2
    assert result["loss"] == pytest.approx(squares.mean(), rel=1e-5)
    # 2.364624 is the 97.5 % point of Student's t with 7 degrees of freedom.
    half = 2.364624 * squares.mean(axis=1).std(ddof=1) / np.sqrt(8)
    assert result["confidence_95"] == pytest.approx(half, rel=1e-4)


@pytest.mark.slow
def test_a_run_writes_both_pictures_and_validates_by_loss(finished):
    path, summary = finished
    for name in ("curve.png", "predictions.png"):
        assert (path / name).read_bytes()[:8] == PNG
    rows = list(csv.DictReader((path / "log.csv").open()))
    assert {"val_loss_after", "val_confidence_95"} <= set(rows[0])
    best = min(rows, key=lambda row: float(row["val_loss_after"]))
    assert summary["best_validation"] == {
        "meta_iteration": int(best["meta_iteration"]),
        "loss": float(best["val_loss_after"]),
    }
    saved = load_checkpoint(RunDirectory(path).best)
    assert int(saved.optimizer.iterations) == int(best["meta_iteration"])


@pytest.mark.slow
def test_a_run_of_images_draws_no_predictions(tmp_path, monkeypatch):
    monkeypatch.setattr(building, "build_network", one_layer)
    glyphs = named.get(
        "glyphs", meta_iterations=1, validation_tasks=0, test_tasks=0, eval_inner_steps=1
    )
    training.train(glyphs, tmp_path, verbose=0)
    assert not (tmp_path / "predictions.png").exists()


@pytest.mark.slow
def test_a_stopped_run_goes_on_bit_for_bit(finished, tmp_path, monkeypatch):
    def crash(model):
        raise MemoryError

    draw_no_pictures(monkeypatch)
    with monkeypatch.context() as patch:
        stop_at(patch, 5, crash)
        with pytest.raises(MemoryError):
            run(tmp_path)
    resumed = run(tmp_path)
    assert_same_end(finished[0], tmp_path)
    assert resumed["result"] == finished[1]["result"]


@pytest.mark.slow
def test_measuring_a_run_again_gives_its_summary(finished):
    path, summary = finished
    assert measure(path, tasks=8, verbose=0) == [summary["result"]]
    (other,) = measure(path, tasks=4, shots=5, eval_inner_steps=2, split="validation", verbose=0)
    assert (other["tasks"], other["shots"], other["inner_steps"]) == (4, 5, 2)
    with pytest.raises(ValueError, match=r"do not use `image_dir`. Received: dataset='sinusoid'"):
        measure(path, image_dir="x", verbose=0)
    with pytest.raises(ValueError, match=r"`both` evaluates accuracy .* run on sine waves.* Leave"):
        measure(path, both=True, verbose=0)
    with pytest.raises(ValueError, match=r"`orientations` turns images. Received: a run on sine w"):
        measure(path, orientations=4, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sinusoid_fomaml", "sinusoid_maml", "sinusoid_joint"])
def test_every_method_has_a_recipe_that_trains(name, tmp_path, monkeypatch):
    draw_no_pictures(monkeypatch)
    short = dict(meta_iterations=2, validation_tasks=0, eval_inner_steps=2)
    summary = run(tmp_path, name, network="sine_mlp_tanh", **short)
    assert np.isfinite(summary["result"]["loss"])


@pytest.mark.slow
@pytest.mark.process
def test_a_result_that_is_no_number_is_null_and_said_in_words(tmp_path, finished):
    path, _ = finished
    directory = RunDirectory(shutil.copytree(path, tmp_path / "run"))
    model = directory.restore()
    # Finite, and so large that inner steps leave the range of float32.
    model.network.set_weights([1e6 * w for w in model.network.get_weights()])
    directory.save(model)
    (result,) = measure(directory.path, tasks=8, verbose=0)
    assert result["loss"] is None
    assert result["confidence_95"] is None
    assert result["non_finite_tasks"] == 8
    status, out, err = warm.run("bin/evaluate", "--checkpoint=run", "--tasks=8", cwd=tmp_path)
    assert status == 0
    assert json.loads(out.strip().splitlines()[-1]) == result
    said = "The inner loop diverged in 8 of 8 tasks: the loss is not a finite number. Train with a "
    assert f"evaluate: {said}" in err
    # The same command finds the run finished, and tests it.
    _, out, _ = warm.run("bin/train", *flags_of_finished(), cwd=tmp_path)
    assert "\nTest loss not finite (mean squared error after 32 steps" in out
    assert said in out


def flags_of_finished():
    """The flags of `bin/train` that name the run `finished`."""
    small = dict(meta_iterations=7, checkpoint_every=3, validation_tasks=6, test_tasks=8)
    return ["--recipe=sinusoid", "--output_dir=run", *(f"--{k}={v}" for k, v in small.items())]


def test_the_recipes_are_figure_1():
    figure = named.get(dataset="sinusoid")
    assert figure == named.get("sinusoid")
    training_columns = ("train_shots", "inner_batch_size", "inner_steps", "inner_learning_rate")
    assert [getattr(figure, c) for c in training_columns] == [50, 10, 5, 0.02]
    test_columns = ("shots", "eval_inner_batch_size", "eval_inner_steps", "queries")
    assert [getattr(figure, c) for c in test_columns] == [10, 10, 32, 50]
    outer = ("meta_iterations", "meta_batch_size", "meta_step_size", "meta_step_size_final")
    assert [getattr(figure, c) for c in outer] == [30_000, 1, 0.1, 0.0]
    joint = named.get("sinusoid_joint")
    assert (joint.method, joint.inner_steps) == ("reptile", 1)
    assert named.get("sinusoid_maml").method == "maml"
    assert named.run_name(figure) == "sinusoid"


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_the_network_has_the_activation_that_it_is_named_after(activation):
    network = building.build_model(recipe(network=f"sine_mlp_{activation}"), (1,)).network
    hidden = [layer.activation for layer in network.layers[:2]]
    assert hidden == [getattr(keras.activations, activation)] * 2
    assert network.count_params() == 4353


GIVEN = {
    "dataset_split": "authors",
    "validation_classes": 0,
    "test_classes": 0,
    "split_seed": 0,
    "image_dir": "x",
    "split_dir": "x",
    "published_split": "cub",
    "manual_dir": "x",
    "image_size": 28,
    "channels": 1,
}


@pytest.mark.parametrize("name", OF_IMAGES)
def test_fields_of_images_are_refused_whatever_their_value(name):
    text = f"neither classes nor images, and do not use `{name}`. Received: dataset='sinusoid'"
    with pytest.raises(ValueError, match=re.escape(text)):
        named.get(dataset="sinusoid", **{name: GIVEN[name]})


@pytest.mark.parametrize(
    ("name", "changes", "data_dir", "text"),
    [
        ("sinusoid", dict(ways=2), None, r"is a single wave. Received: ways=2. Use ways=1"),
        (
            "sinusoid",
            dict(train_ways=5),
            None,
            r"single wave. Received: train_ways=5. Use tra",
        ),
        ("sinusoid", {}, "d", r"read from no directory. Received: data_dir='d'. Leave"),
        (
            "sinusoid",
            dict(train_queries=False),
            None,
            r"all its points, in training too. Received: train_queries=False. Leave it out",
        ),
        ("glyphs", dict(network="sine_mlp_relu"), None, r"dataset='glyphs', network='sine_mlp"),
        ("sinusoid", dict(network="omniglot_convnet"), None, r"are for sine waves.*'omniglot_con"),
    ],
)
def test_what_waves_have_no_choice_of_is_refused(name, changes, data_dir, text):
    with pytest.raises(ValueError, match=text):
        data_options(named.get(name, **changes), data_dir)


def test_a_curve_of_accuracy_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"sine waves have no accuracy. Received: curve_tasks=5, "):
        run(tmp_path / "run", curve_tasks=5)
    assert not (tmp_path / "run").exists()


def test_more_shots_than_points_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"shots=60, queries=50. Lower `shots`"):
        run(tmp_path / "run", shots=60)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_predictions_after_some_steps_are_those_of_a_plain_keras_learner():
    model = building.build_model(recipe(), (1,))
    episode = next(iter(kr.sinusoid_dataset("test", inner_steps=8)))
    found = wave_plot.predictions_after(model, episode, (0, 2, 8))
    x, y = (t[0] for t in episode["support"])
    for steps, predictions in found.items():
        learner = model.adapt(x, y, steps=steps, inner_batch_size=10)
        expected = learner.predict(episode["query"][0][0], verbose=0)[:, 0]
        np.testing.assert_allclose(predictions[0], expected, atol=1e-4)


def test_checkpoints_are_ranked_by_accuracy_or_else_by_loss():
    by_loss = [{"meta_iteration": i, "val_loss_after": v} for i, v in enumerate([2.0, 1.0, 1.5])]
    assert best_row(by_loss) is by_loss[1]
    assert best_validation(by_loss[1]) == {"meta_iteration": 1, "loss": 1.0}
    both = [row | {"val_accuracy": a} for row, a in zip(by_loss, [0.9, 0.1, 0.9], strict=True)]
    assert best_row(both) is both[0]
    assert best_validation(both[0]) == {"meta_iteration": 0, "accuracy": 0.9}
    assert best_row([{"meta_iteration": 1, "val_loss_after": "nan"}]) is None
    assert best_validation(None) is None
    assert score_of({"meta_iteration": 1, "val_loss_after": ""}) is None
