"""A run that is made shorter or longer on the way."""

import json
import os
import shutil
import signal
import sys

import numpy as np
import pytest
from helpers import assert_same_end, draw_no_pictures, one_block, stop_at

from keras_reptile import datasets
from keras_reptile.errors import RunError
from keras_reptile.recipes import building, named
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs import evaluating, run_length, training
from keras_reptile.runs.exporting import run_metadata
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.run_length import HISTORY
from keras_reptile.runs.stop_on_signal import Interrupted


@pytest.fixture(scope="module", autouse=True)
def small_data():
    pools = datasets.load("glyphs", classes=24, validation_classes=6, test_classes=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "load_pools", lambda *_: pools)
        patch.setattr(building, "build_network", one_block)
        draw_no_pictures(patch)
        yield


def run(path, meta_iterations, verbose=0):
    small = dict(meta_batch_size=2, inner_steps=2, eval_inner_steps=2, checkpoint_every=2)
    recipe = named.get(
        "glyphs", **small, meta_iterations=meta_iterations, validation_tasks=0, test_tasks=0
    )
    return training.train(recipe, path, verbose=verbose)


def stopped(path, meta_iterations, at):
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, at, lambda model: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            run(path, meta_iterations)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run that was stopped after 3 of its 10 meta-iterations."""
    path = tmp_path_factory.mktemp("begun")
    stopped(path, 10, at=3)
    return path


@pytest.fixture
def copy(begun, tmp_path):
    return lambda name="run": shutil.copytree(begun, tmp_path / name)


@pytest.mark.slow
@pytest.mark.parametrize("total", [6, 20])
def test_another_number_anneals_the_run_anew_and_resumes_bit_for_bit(
    total, copy, capsys, monkeypatch
):
    whole, parts = copy("whole"), copy("parts")
    began = list(sys.argv)
    monkeypatch.setattr(sys, "argv", ["train", f"--meta_iterations={total}"])
    summary = run(whole, total, verbose=2)
    assert (
        f"New schedule: {total} meta-iterations in all instead of 10. In the remaining {total - 3} "
        "the meta-step size goes from 0.7 to 0."
    ) in capsys.readouterr().out
    sizes = [float(row["meta_step_size"]) for row in RunDirectory(whole).rows()]
    at = [int(row["meta_iteration"]) for row in RunDirectory(whole).rows()]
    np.testing.assert_allclose(sizes, np.interp(at, [0, 3, total], [1, 0.7, 0]), atol=1e-6)
    settings = json.loads((whole / "run.json").read_text())
    assert settings["settings"]["meta_iterations"] == total == at[-1]
    assert settings["meta_iterations_history"] == [[0, 10], [3, total]]
    assert summary["meta_iterations_history"] == [[0, 10], [3, total]]
    assert settings["command"] == began
    (later,) = settings["resumed"]
    assert (later["meta_iteration"], later["command"]) == (3, sys.argv)
    stopped(parts, total, at=5)
    run(parts, total)
    assert_same_end(whole, parts)


@pytest.mark.slow
def test_another_number_in_run_json_is_refused(copy):
    path = copy()
    content = json.loads((path / "run.json").read_text())
    content["settings"]["meta_iterations"] = 20
    (path / "run.json").write_text(json.dumps(content))
    with pytest.raises(
        RunError, match=r"0.7 at meta-iteration 3. .*iterations=20, by .* 0.85. Restore that number"
    ):
        run(path, 20)
    with pytest.raises(RunError, match=r"0.7 at meta-iteration 3. Received: .*iterations=30, by"):
        run(path, 30)


@pytest.mark.slow
def test_an_export_has_the_result_and_the_best_validation_of_its_own_checkpoint(copy):
    directory = RunDirectory(copy())
    run = directory.read_run()
    model = directory.restore()
    run["settings"]["meta_iterations"] = 3
    old = {"result": {"accuracy": 0.5}, "best_validation": {"meta_iteration": 2, "accuracy": 0.9}}
    score = {"meta_iteration": 3, "val_accuracy": 0.25, "val_loss_after": 1.0}
    directory.save(model, best=True, score=score)
    for total, history, found in (
        (2, {}, None),
        (3, {HISTORY: [[0, 2], [1, 3]]}, None),
        (3, {}, 0.5),
    ):
        settings = {**run["settings"], "meta_iterations": total}
        directory.write_json("summary.json", {**old, "settings": settings, **history})
        metadata = run_metadata(directory, run, model, "best")
        assert metadata["result"] == (found and {"accuracy": found})
        assert metadata["best_validation"] == {"meta_iteration": 3, "accuracy": 0.25}
    directory.save(model, best=True, score={**score, "meta_iteration": 4})
    assert run_metadata(directory, run, model, "best")["best_validation"] is None


@pytest.mark.slow
def test_an_evaluation_says_that_a_run_is_not_finished(copy, caplog):
    directory = RunDirectory(copy())
    for total, said in (10, True), (3, False):
        settings = {**directory.read_run()["settings"], "meta_iterations": total}
        evaluating._saved_model(directory, "last", Recipe(**settings), Recipe(**settings))
        text = (
            f"run in {directory.path} is not finished: its checkpoint of meta-iteration 3 of 10 is"
        )
        assert (text in caplog.text) == said
        caplog.clear()


@pytest.mark.slow
def test_a_run_that_falls_back_behind_its_change_goes_on_bit_for_bit_too(copy):
    whole, fallen = copy("whole"), copy("fallen")
    run(whole, 6)
    stopped(fallen, 6, at=4)
    for path in RunDirectory(fallen).saved():
        if path.stem != "iteration-000000002":
            path.unlink()
    shutil.copy(RunDirectory(copy("again")).saved()[0], RunDirectory(fallen).checkpoints)
    assert RunDirectory(fallen).newest_iteration() == 2
    run(fallen, 6)
    assert_same_end(whole, fallen)


@pytest.mark.parametrize("total", [3, 2])
def test_a_number_that_is_reached_is_refused(total, copy):
    path = copy()
    before = {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}
    text = rf"with 3 meta-iterations done. Received: meta_iterations={total}. Give a larger number"
    with pytest.raises(RunError, match=text):
        run(path, total)
    assert before == {p: p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.slow
def test_a_finished_run_is_not_made_longer(copy):
    path = copy()
    run(path, 4)
    text = r"finished run: its meta-step size has reached its final value after 4 .*tions=9. Choos"
    with pytest.raises(RunError, match=text):
        run(path, 9)


HISTORIES = {
    "never changed": (None, 100, 20, [[0, 100]]),
    "changed": (None, 60, 20, [[0, 100], [20, 60]]),
    "changed before": ([[0, 300], [10, 100]], 100, 20, [[0, 300], [10, 100]]),
    "changed again": ([[0, 300], [10, 100]], 60, 20, [[0, 300], [10, 100], [20, 60]]),
    "changed twice at once": ([[0, 300], [20, 100]], 60, 20, [[0, 300], [20, 60]]),
    "changed back at once": ([[0, 300], [20, 100]], 300, 20, [[0, 300]]),
    "fallen behind the change": ([[0, 300], [20, 100]], 100, 15, [[0, 300], [20, 100]]),
    "begun anew": ([[0, 300], [20, 100]], 60, 0, [[0, 60]]),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_the_history_has_every_number_that_some_meta_iteration_had(name):
    past, now, done, expected = HISTORIES[name]
    content = {"settings": {"meta_iterations": 100}}
    if past:
        content["meta_iterations_history"] = past
    assert run_length.history(content, Recipe(meta_iterations=now), done) == expected


@pytest.mark.parametrize("past", [3, [[0]], [[0, "x"]], [[5, 100]], [[0, 90]], [[0, 5], [9, 100]]])
def test_a_history_that_is_none_is_refused(past):
    content = {"settings": {"meta_iterations": 100}, "meta_iterations_history": past}
    with pytest.raises(RunError, match=r"its meta_iterations_history must be pairs .*Received"):
        run_length.history(content, Recipe(meta_iterations=60), 20)
