import csv
import json
import os
import re
import shutil
import signal
import threading
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import assert_same_end, draw_no_pictures, final_state, one_layer, stop_at

from keras_reptile import checkpoint, datasets
from keras_reptile.checkpoint import load_checkpoint
from keras_reptile.errors import RunError
from keras_reptile.files import provenance
from keras_reptile.recipes import building, named
from keras_reptile.runs import draw_on_device, finishing, run_checks, run_directory, training
from keras_reptile.runs.callbacks import RunLog
from keras_reptile.runs.evaluating import evaluate_run as measure
from keras_reptile.runs.exporting import export_run
from keras_reptile.runs.run_directory import RunDirectory, complete
from keras_reptile.runs.stop_on_signal import Interrupted

PAGE_OF_FILES = Path(__file__).resolve().parents[2] / "docs" / "reference" / "files.md"


@pytest.fixture(scope="module")
def pools():
    return datasets.load("glyphs", classes=40, validation_classes=8, test_classes=8)


def have_small_data(patch, pools):
    patch.setattr(building, "load_pools", lambda *_: pools)
    patch.setattr(building, "build_network", one_layer)


@pytest.fixture(autouse=True)
def small_data(pools, monkeypatch):
    have_small_data(monkeypatch, pools)
    draw_no_pictures(monkeypatch)


@pytest.fixture(scope="module")
def trained(pools, tmp_path_factory):
    """The directory and the summary of a run without a break, once for all who look at it."""
    path = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        have_small_data(patch, pools)
        return path, run(path)


@pytest.fixture(scope="module")
def undisturbed(trained):
    return trained[0]


@pytest.fixture
def finished(undisturbed, tmp_path):
    """The summary of a copy of that run, for who goes on with it, in `tmp_path`."""
    shutil.copytree(undisturbed, tmp_path, dirs_exist_ok=True)
    return json.loads((tmp_path / "summary.json").read_text())


def recipe(**changes):
    small = dict(
        meta_iterations=7,
        checkpoint_every=3,
        meta_batch_size=2,
        inner_steps=2,
        eval_inner_steps=2,
        validation_tasks=4,
        test_tasks=6,
    )
    return named.get("glyphs", **{**small, **changes})


def run(path, verbose=0, **changes):
    return training.train(recipe(**changes), path, verbose=verbose)


@pytest.mark.slow
def test_a_run_leaves_everything_under_its_directory(trained):
    path, summary = trained
    assert summary == json.loads((path / "summary.json").read_text())
    assert summary["settings"]["meta_iterations"] == 7
    assert set(summary["versions"]) >= {"keras", "keras_reptile", "numpy", "python"}
    assert 0 <= summary["result"]["accuracy"] <= 1
    assert {k: summary["result"][k] for k in ("tasks", "ways", "shots", "transductive")} == {
        "tasks": 6,
        "ways": 5,
        "shots": 1,
        "transductive": False,
    }
    assert summary["meta_iterations_per_second"] == pytest.approx(7 / summary["seconds"])
    names = {p.name for p in (path / "checkpoints").iterdir()}
    assert names == {"best.keras", "iteration-000000006.keras", "iteration-000000007.keras"}
    rows = list(csv.DictReader((path / "log.csv").open()))
    assert [row["meta_iteration"] for row in rows] == ["3", "6", "7"]
    sizes = [float(row["meta_step_size"]) for row in rows]
    assert sizes == pytest.approx([1 - 3 / 7, 1 - 6 / 7, 0.0], abs=1e-6)
    assert (path / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
def test_the_page_of_files_names_all_that_a_run_writes(trained):
    path, summary = trained
    page = PAGE_OF_FILES.read_text()
    first_cells = "".join(re.findall(r"^\| (`.*?) \|", page, re.MULTILINE))
    named = set(re.findall(r"`([\w.]+)/?`", first_cells))
    # A run of one layer draws no tasks here.
    assert {p.name for p in path.iterdir()} <= named
    assert set((path / "log.csv").read_text().splitlines()[0].split(",")) <= named
    assert summary["result"].keys() <= named
    keys = summary.keys() | json.loads((path / "run.json").read_text()).keys()
    keys |= json.loads((path / "classes.json").read_text()).keys()
    assert keys <= set(re.findall(r"`(\w+)`", page))
    columns = page.partition("### log.csv")[2].partition("A run has")[0]
    listed = re.findall(r"^\| (`.*?) \|", columns, re.MULTILINE)
    in_every_row = {"meta_step_size", "meta_iterations_per_second", *run_directory.LOGGED}
    possible = in_every_row | {*run_directory.LOGGED_IN_SOME}
    assert in_every_row <= set(re.findall(r"`(\w+)`", "".join(listed))) <= possible


@pytest.mark.parametrize(
    ("dataset", "device", "reason"),
    [("sinusoid", None, "not an endless stream"), ("glyphs", "cpu:0", "a strategy divides")],
)
def test_what_cannot_be_drawn_on_the_device_is_refused_first(dataset, device, reason, tmp_path):
    strategy = tf.distribute.OneDeviceStrategy(device) if device else None
    impossible = named.get(None, dataset, draw_on_device="true")
    with pytest.raises(ValueError, match=f"{reason}.*Received: draw_on_device=True"):
        training.train(impossible, tmp_path / "run", strategy=strategy)
    assert not (tmp_path / "run").exists()


def log_without_times(path):
    rows = csv.DictReader((path / "log.csv").open())
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


@pytest.mark.of_a_cpu
@pytest.mark.slow
def test_a_run_that_draws_on_the_device_stops_and_goes_on_bit_for_bit(
    undisturbed, tmp_path, capsys, monkeypatch
):
    # Each epoch of three meta-iterations is a program of two and one of one.
    monkeypatch.setattr(draw_on_device, "together", lambda _: 2)
    with monkeypatch.context() as patch:
        stop_at(patch, 2, lambda model: os.kill(os.getpid(), signal.SIGINT), together=2)
        with pytest.raises(Interrupted):
            run(tmp_path, verbose=2, draw_on_device="true", test_tasks=0)
    said = "The CPU draws the tasks (--draw_on_device), and 2 meta-iterations are one program."
    assert said in capsys.readouterr().out
    assert len(log_without_times(tmp_path)) == 1
    run(tmp_path, draw_on_device="true", test_tasks=0)
    assert_same_end(undisturbed, tmp_path)
    whole = log_without_times(undisturbed)
    assert [row for row in log_without_times(tmp_path) if row["meta_iteration"] != "2"][
        1:
    ] == whole[1:]


@pytest.mark.slow
def test_a_run_compiled_by_xla_says_so_and_goes_on_bit_for_bit(tmp_path, capsys, monkeypatch):
    short = dict(jit_compile="true", meta_iterations=2, validation_tasks=0, test_tasks=0)
    run(tmp_path / "whole", verbose=2, **short)
    said = capsys.readouterr().out
    assert "(--task_parallelism), compiled by XLA" in said
    assert "The CPU's kernels are those of XLA: --jit_compile=true." in said
    kernels = json.loads((tmp_path / "whole" / "run.json").read_text())["cpu_kernels"]
    assert kernels["jit_compile"] is True
    with monkeypatch.context() as patch:
        stop_at(patch, 1, lambda model: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            run(tmp_path / "parts", **short)
    run(tmp_path / "parts", **short)
    assert_same_end(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.slow
def test_tensorboard_gets_every_figure_at_its_meta_iteration(undisturbed):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(undisturbed / "tensorboard"))
    events.Reload()
    rows = list(csv.DictReader((undisturbed / "log.csv").open()))
    pictures = {"test tasks"}
    assert set(events.Tags()["tensors"]) == set(rows[0]) - {"meta_iteration"} | pictures
    assert [e.step for e in events.Tensors("val_accuracy")] == [3, 6, 7]
    values = [
        float(np.frombuffer(e.tensor_proto.tensor_content, np.float32)[0])
        if e.tensor_proto.tensor_content
        else e.tensor_proto.float_val[0]
        for e in events.Tensors("loss_before")
    ]
    assert values == pytest.approx([float(row["loss_before"]) for row in rows], rel=1e-5)


@pytest.fixture(scope="module")
def interrupted(interrupted_once, pools, tmp_path_factory):
    """A run that was told to stop half way and begun again, and its log at that time."""
    path = tmp_path_factory.mktemp("interrupted")
    shutil.copytree(interrupted_once, path, dirs_exist_ok=True)
    before = RunDirectory(path)
    assert before.saved()[-1].name == "iteration-000000004.keras"
    rows = before.rows()
    with pytest.MonkeyPatch.context() as patch:
        have_small_data(patch, pools)
        draw_no_pictures(patch)
        run(path)
    return path, rows


@pytest.mark.slow
def test_ctrl_c_saves_and_the_same_call_goes_on_bit_for_bit(undisturbed, interrupted):
    assert_same_end(undisturbed, interrupted[0])


@pytest.mark.slow
def test_the_log_of_an_interrupted_run_counts_every_meta_iteration_and_its_time(interrupted):
    path, before = interrupted
    assert before[-1]["meta_iteration"] == "4"
    assert before[-1]["val_accuracy"] == "" and 0 <= float(before[-1]["accuracy"]) <= 1
    rows = RunDirectory(path).rows()
    assert [row["meta_iteration"] for row in rows] == ["3", "4", "6", "7"]
    times = [float(row["seconds"]) for row in rows]
    assert times == sorted(times)
    assert times[-1] == json.loads((path / "summary.json").read_text())["seconds"]
    took = 1 / float(before[-1]["meta_iterations_per_second"])
    assert times[1] - times[0] == pytest.approx(took)
    assert {row["meta_iteration"] for row in rows if row["val_accuracy"]} == {"3", "6", "7"}


@pytest.mark.slow
def test_a_run_in_another_thread_is_the_same_bit_for_bit(undisturbed, tmp_path):
    # Signals belong to the main thread.
    thread = threading.Thread(target=run, args=(tmp_path,), kwargs={"test_tasks": 0})
    thread.start()
    thread.join()
    assert_same_end(undisturbed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("end", [6, 7])
def test_ctrl_c_after_an_epochs_last_meta_iteration_leaves_it_whole(
    end, undisturbed, tmp_path, monkeypatch
):
    # The validation comes after the signal.
    stop_at(monkeypatch, end, lambda model: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted):
        run(tmp_path)
    assert not (tmp_path / "summary.json").exists()
    monkeypatch.undo()
    rows = RunDirectory(tmp_path).rows()
    assert [row["meta_iteration"] for row in rows] == ["3", "6", "7"][: len(rows)]
    assert rows[-1]["meta_iteration"] == str(end) and rows[-1]["val_accuracy"]


@pytest.mark.slow
def test_checkpoints_without_a_run_json_are_not_gone_on_with(finished, tmp_path):
    (tmp_path / "run.json").unlink()
    with pytest.raises(RunError, match=r"has checkpoints, but no run.json with .* Restore it"):
        run(tmp_path, seed=7)


def test_a_directory_may_have_a_name_of_bytes_that_are_no_text(tmp_path):
    directory = RunDirectory(tmp_path / "caf\udce9")
    RunLog(directory, []).writer.flush()
    assert [path.name.split(".")[0] for path in directory.tensorboard.iterdir()] == ["events"]


def test_a_folder_of_images_is_the_same_from_anywhere_and_in_any_writing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = str(tmp_path / "images")
    for written in ("images", "./images/", f"{folder}/"):
        assert run_checks.with_absolute_paths({"image_dir": written, "ways": 5}) == {
            "image_dir": folder,
            "ways": 5,
        }
    assert run_checks.with_absolute_paths({"image_dir": ""}) == {"image_dir": ""}


@pytest.mark.slow
def test_ctrl_c_saves_also_where_the_log_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "log.csv").mkdir()
    monkeypatch.setattr(RunDirectory, "rows", lambda self: [])
    stop_at(monkeypatch, 2, lambda model: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(RunError, match=r"log.csv cannot be written"):
        run(tmp_path)
    assert [p.name for p in RunDirectory(tmp_path).saved()] == ["iteration-000000002.keras"]


@pytest.mark.slow
def test_a_log_without_seconds_is_no_log(finished, tmp_path):
    (tmp_path / "log.csv").write_text("meta_iteration\n3\n")
    with pytest.raises(
        RunError, match=r"log.csv cannot be read .*Repair or remove it: training does"
    ):
        run(tmp_path)


@pytest.fixture
def half_way(interrupted_once, tmp_path):
    """A copy of that run."""
    shutil.copytree(interrupted_once, tmp_path, dirs_exist_ok=True)
    return RunDirectory(tmp_path)


@pytest.fixture(scope="module")
def interrupted_once(pools, tmp_path_factory):
    """A run that was told to stop after 4 of its 7 meta-iterations."""
    path = tmp_path_factory.mktemp("interrupted_once")
    with pytest.MonkeyPatch.context() as patch:
        have_small_data(patch, pools)
        draw_no_pictures(patch)
        stop_at(patch, 4, lambda model: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            run(path)
    return path


def mark_best(directory, score):
    """Has best.keras, as it is, say that it is so good; nothing, like those of earlier versions."""
    model = load_checkpoint(directory.best)
    checkpoint.save_checkpoint(model, directory.best, score)
    return directory.best.read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("log", ["kept", "lost"])
def test_a_worse_checkpoint_never_replaces_the_best_whatever_becomes_of_the_log(log, half_way):
    best = mark_best(half_way, {"meta_iteration": 3, "val_accuracy": 1.5})
    if log == "lost":
        half_way.log.unlink()
    summary = run(half_way.path, test_tasks=0)
    assert half_way.best.read_bytes() == best
    assert summary["best_validation"] == {"meta_iteration": 3, "accuracy": 1.5}


@pytest.mark.slow
@pytest.mark.parametrize("score", [-1.0, None])
def test_a_better_checkpoint_replaces_the_best_and_one_that_is_gone(score, half_way):
    if score is None:
        half_way.best.unlink()
    else:
        mark_best(half_way, {"meta_iteration": 3, "val_accuracy": score})
    summary = run(half_way.path, test_tasks=0)
    rows = [row for row in half_way.rows() if int(row["meta_iteration"]) > 4]
    wanted = max(rows, key=lambda row: float(row["val_accuracy"]))
    assert summary["best_validation"]["meta_iteration"] == int(wanted["meta_iteration"])
    assert load_checkpoint(half_way.best).meta_iteration == int(wanted["meta_iteration"])


@pytest.mark.slow
def test_a_best_checkpoint_of_an_earlier_version_is_ranked_by_the_log_or_kept(half_way):
    best = mark_best(half_way, None)
    log = half_way.log.read_text()
    half_way.log.unlink()
    text = r"Neither .*best.keras nor log.csv has .* Restore log.csv from a copy, or move"
    with pytest.raises(RunError, match=text):
        run(half_way.path)
    assert half_way.best.read_bytes() == best
    half_way.log.write_text(log)
    assert half_way.best_score(half_way.rows())["meta_iteration"] == "3"


def test_a_damaged_best_checkpoint_is_said_and_replaced(half_way, capsys):
    half_way.best.write_bytes(half_way.best.read_bytes()[:-3])
    assert half_way.best_score(half_way.rows()) is None
    said = capsys.readouterr().out
    assert "best.keras cannot be read" in said
    assert said.endswith("The next validated checkpoint will replace it.\n")


@pytest.mark.slow
def test_the_outer_optimizers_moments_go_on_bit_for_bit_too(tmp_path, monkeypatch):
    adam = dict(meta_optimizer="adam", meta_step_size=1e-3, validation_tasks=0, test_tasks=0)
    run(tmp_path / "whole", **adam)
    with monkeypatch.context() as patch:
        stop_at(patch, 4, lambda model: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            run(tmp_path / "stopped", **adam)
    run(tmp_path / "stopped", **adam)
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")
    optimizer = load_checkpoint(RunDirectory(tmp_path / "stopped").saved()[-1]).optimizer
    assert isinstance(optimizer, keras.optimizers.Adam)
    moments = [v for v in optimizer.variables if v.path.endswith(("momentum", "velocity"))]
    assert [bool(np.any(v)) for v in moments] == [True] * 4


@pytest.mark.slow
def test_adam_as_outer_optimizer_makes_its_first_step_by_the_displacement():
    # m = (1 - 0.9) g and v = (1 - 0.999) g^2, both without their bias: size * g / (|g| + epsilon'),
    # where Keras adds its epsilon of 1e-7 before the bias of v is taken off.
    def moved(**outer):
        model = building.build_model(recipe(**outer), (28, 28, 1))
        before = [weight.numpy() for weight in model.trainable_variables]
        pool = building.load_pools(recipe(), None).train
        model.fit(building.training_episodes(recipe(), pool), steps_per_epoch=1, verbose=0)
        after = [weight.numpy() for weight in model.trainable_variables]
        return [a - b for a, b in zip(after, before, strict=True)]

    steps = moved(meta_optimizer="adam", meta_step_size=0.01)
    for step, g in zip(steps, moved(meta_step_size=1.0), strict=True):
        np.testing.assert_allclose(step, 0.01 * g / (abs(g) + 1e-7 / 0.001**0.5), atol=1e-5)


@pytest.mark.slow
def test_a_crash_goes_on_from_the_last_checkpoint_bit_for_bit(undisturbed, tmp_path, monkeypatch):
    def crash(model):
        raise MemoryError

    with monkeypatch.context() as patch:
        stop_at(patch, 5, crash)
        with pytest.raises(MemoryError):
            run(tmp_path)
    resumed = run(tmp_path)
    assert_same_end(undisturbed, tmp_path)
    assert resumed["result"] == json.loads((undisturbed / "summary.json").read_text())["result"]
    logs = [list(csv.DictReader((p / "log.csv").open())) for p in (undisturbed, tmp_path)]
    for a, b in zip(*logs, strict=True):
        assert {k: v for k, v in a.items() if "second" not in k} == {
            k: v for k, v in b.items() if "second" not in k
        }


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    finished, undisturbed, tmp_path, capsys
):
    newest = RunDirectory(tmp_path).saved()[-1]
    newest.write_bytes(newest.read_bytes()[:5000])
    run(tmp_path, test_tasks=0)
    printed = capsys.readouterr().out
    assert "iteration-000000007.keras cannot be read" in printed
    assert "Trying the previous one." in printed
    assert_same_end(undisturbed, tmp_path)


@pytest.mark.slow
def test_what_a_killed_run_left_half_written_is_never_read_and_removed(
    finished, undisturbed, tmp_path
):
    half = tmp_path / "checkpoints" / ".partial-1-iteration-000000099.keras"
    half.write_bytes(b"half")
    run(tmp_path)
    assert not half.exists()
    assert_same_end(undisturbed, tmp_path)


@pytest.mark.slow
def test_a_directory_that_is_renamed_while_its_run_trains_is_noticed(tmp_path, monkeypatch):
    path, kept = tmp_path / "run", tmp_path / "kept"
    stop_at(monkeypatch, 5, lambda model: path.rename(kept))
    with pytest.raises(
        RunError, match=r"run was renamed or removed during the run. Nothing more is wri"
    ):
        run(path, validation_tasks=0)
    assert not path.exists()
    monkeypatch.undo()
    assert [p.name for p in RunDirectory(kept).saved()] == ["iteration-000000003.keras"]


@pytest.mark.slow
def test_no_readable_checkpoint_is_an_error_and_not_a_new_beginning(finished, tmp_path):
    for path in RunDirectory(tmp_path).saved():
        path.write_bytes(b"not a model")
    with pytest.raises(RunError, match=r"None of the checkpoints in .* can be read"):
        run(tmp_path)


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(finished, tmp_path):
    again = run(tmp_path)
    assert finished["result"] == again["result"]
    assert finished["seconds"] == again["seconds"]


@pytest.mark.slow
def test_another_runs_directory_is_left_alone(finished, tmp_path):
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(
        RunError, match=r"other settings: inner_steps=2 \(now 3\), seed=0 \(now 1\)"
    ):
        run(tmp_path, inner_steps=3, seed=1)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_the_losses_of_earlier_versions_were_means():
    assert complete({})["loss_reduction"] == "mean"
    assert complete({"loss_reduction": "sum"})["loss_reduction"] == "sum"


@pytest.mark.slow
def test_a_run_of_an_earlier_version_goes_on_with_the_defaults_of_newer_settings(
    finished, tmp_path
):
    path = tmp_path / "run.json"
    content = json.loads(path.read_text())
    del content["settings"]["inner_beta_2"]
    path.write_text(json.dumps(content))
    run(tmp_path)
    assert json.loads(path.read_text())["settings"]["inner_beta_2"] == 0.999


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "saved", "spoilt", "noticed"),
    [
        (dict(draw_on_device="false"), 3, 4, 5),
        # The seventh and eighth meta-iteration are one program.
        (dict(draw_on_device="true", meta_iterations=8, checkpoint_every=4), 4, 6, 8),
    ],
)
def test_divergence_stops_the_run_and_keeps_earlier_checkpoints(
    changes, saved, spoilt, noticed, tmp_path, monkeypatch
):
    def poison(model):
        model.trainable_variables[0].assign(model.trainable_variables[0] * np.nan)

    stop_at(monkeypatch, spoilt, poison, together=2)
    message = rf"loss_before is nan at meta-iteration {noticed}.*are intact. Lower"
    with pytest.raises(RunError, match=message):
        run(tmp_path, validation_tasks=0, **changes)
    assert [p.name for p in RunDirectory(tmp_path).saved()] == [f"iteration-{saved:09}.keras"]
    assert np.isfinite(final_state(tmp_path)[0]).all()


@pytest.mark.slow
def test_weights_spoilt_by_the_last_step_of_an_epoch_are_not_kept(tmp_path, monkeypatch):
    def poison(model):
        model.trainable_variables[0].assign(model.trainable_variables[0] * np.inf)

    stop_at(monkeypatch, 6, poison)
    with pytest.raises(RunError, match=r"kernel is not finite at meta-iteration 6.*are intact"):
        run(tmp_path)
    assert [p.name for p in RunDirectory(tmp_path).saved()] == ["iteration-000000003.keras"]


def test_an_unwritable_directory_is_an_error_before_training(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        RunError, match=r"--output_dir=.*file/run cannot be written: Not a directory"
    ):
        run(tmp_path / "file" / "run")


@pytest.mark.parametrize("content", ["{", '{"settings": ' * 100_000], ids=["half", "deep"])
def test_an_unreadable_run_json_is_an_error(content, tmp_path):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(
        RunError, match=r"run.json cannot be read: .* Restore it from a copy or use another run"
    ):
        run(tmp_path)


# What a run.json may hold, and what is said of it.
UNUSABLE = {
    "[]": "a JSON object was expected. Received: list. Restore it from a copy or use",
    "3": "a JSON object was expected. Received: int. Restore it from a copy or use another run.",
    "{}": "it must have the run's `settings`. Received: none. Restore it from",
    '{"settings": [1]}': "it must have the run's `settings`. Received: list. Restore it from a",
    '{"settings": {"ways": 5, "foo": 1}}': "this version has no settings ['foo']. Use the version "
    "of keras_reptile that wrote it, or another run.",
    '{"settings": {"ways": "5"}}': "Received: ways='5'. Repair the file or use another run.",
    '{"settings": {"precision": "int8"}}': "Received: 'int8'. Repair the file or use another run.",
}


@pytest.mark.parametrize("content", UNUSABLE)
def test_settings_that_are_none_are_refused_by_all_that_read_them(content, tmp_path):
    (tmp_path / "run.json").write_text(content)
    text = f"{re.escape(str(tmp_path))}/run.json cannot be used: .*{re.escape(UNUSABLE[content])}"
    for work in (run, measure, lambda path: export_run(path, path / "out")):
        with pytest.raises(RunError, match=text):
            work(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float64", "mixed_bfloat16"])
def test_a_runs_precision_is_not_left_to_the_next(precision, tmp_path):
    short = dict(meta_iterations=1, validation_tasks=0, test_tasks=0)
    run(tmp_path / "other", precision=precision, **short)
    run(tmp_path / "plain", **short)
    works = (
        lambda path: measure(path, tasks=2, verbose=0),
        lambda path: export_run(path, path / "out", only_model=True),
    )
    for work in works:
        work(tmp_path / "other")
        assert keras.config.floatx() == ("float64" if precision == "float64" else "float32")
        assert keras.config.dtype_policy().name == precision
        work(tmp_path / "plain")
        assert keras.config.floatx() == keras.config.dtype_policy().name == "float32"


def test_the_seed_decides_weights_and_tasks_and_not_the_test(tmp_path):
    a, b = (
        building.build_model(recipe(), (28, 28, 1)),
        building.build_model(recipe(seed=1), (28, 28, 1)),
    )
    assert (a.trainable_variables[0].numpy() != b.trainable_variables[0].numpy()).any()
    pool = datasets.load("glyphs", classes=12, validation_classes=0, test_classes=6).test

    def first(dataset):
        return next(iter(dataset))["support"][0].numpy()

    tests = [first(building.evaluation_episodes(recipe(seed=s), pool, 4)) for s in (0, 1)]
    np.testing.assert_array_equal(*tests)
    trains = [
        first(building.training_episodes(recipe(seed=s, train_shots=3), pool)) for s in (0, 1)
    ]
    assert (trains[0] != trains[1]).any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        dict(
            inner_optimizer="sgd",
            inner_momentum=0.5,
            inner_learning_rate=0.01,
            inner_state="reset",
            minibatches="replacement",
        ),
        dict(task_order="serial", inner_weight_decay_rate=0.99, transductive=True),
        dict(validation_tasks=0, test_tasks=0, train_queries=False, train_shots=20),
    ],
    ids=["sgd, reset", "serial", "no evaluation, all images support"],
)
def test_every_setting_trains(changes, tmp_path):
    summary = run(tmp_path, meta_iterations=2, **changes)
    model = load_checkpoint(RunDirectory(tmp_path).saved()[-1])
    for name in ("inner_state", "task_order", "inner_weight_decay_rate", "transductive"):
        assert getattr(model, name) == summary["settings"][name]
    if not summary["settings"]["test_tasks"]:
        assert summary["result"] is None
        assert summary["best_validation"] is None


@pytest.mark.slow
def test_measuring_a_run_again_on_its_test_tasks_gives_its_summary(finished, tmp_path):
    assert measure(tmp_path, tasks=6, verbose=0) == [finished["result"]]
    (other,) = measure(tmp_path, tasks=4, shots=3, transductive=True, which="best", verbose=0)
    assert (other["tasks"], other["shots"], other["transductive"]) == (4, 3, True)


def strictly(path):
    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


@pytest.fixture(scope="module")
def of_one_task(pools, tmp_path_factory):
    """The directory and the summary of a run that was tested on a single task."""
    path = tmp_path_factory.mktemp("of_one_task")
    with pytest.MonkeyPatch.context() as patch:
        have_small_data(patch, pools)
        draw_no_pictures(patch)
        return path, run(path, test_tasks=1, validation_tasks=0)


@pytest.mark.slow
def test_the_interval_of_a_single_task_is_null_wherever_it_is_written(of_one_task, tmp_path):
    path, summary = of_one_task
    shutil.copytree(path, tmp_path, dirs_exist_ok=True)
    assert summary["result"]["confidence_95"] is None
    assert strictly(tmp_path / "summary.json") == summary
    (found,) = measure(tmp_path, tasks=1, record=tmp_path / "found.json", verbose=0)
    assert found == summary["result"]
    record = strictly(tmp_path / "found.json")
    assert record["results"] == [found]
    about = [record[name] for name in ("run", "checkpoint", "split", "classes")]
    assert about == [str(tmp_path), "last", "test", 8]
    export_run(tmp_path, tmp_path / "out", only_model=True)
    assert strictly(tmp_path / "out" / "metadata.json")["result"] == found


@pytest.mark.slow
def test_what_earlier_versions_wrote_for_it_is_read_as_null(of_one_task, tmp_path):
    shutil.copytree(of_one_task[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "summary.json"
    path.write_text(path.read_text().replace('"confidence_95": null', '"confidence_95": NaN'))
    metadata = export_run(tmp_path, tmp_path / "out", only_model=True)
    assert metadata["result"]["confidence_95"] is None


@pytest.mark.slow
def test_the_checkpoint_and_the_classes_that_are_chosen_are_measured(half_way):
    record = half_way.path / "found.json"
    chosen = dict(record=record, verbose=0)
    measure(half_way.path, tasks=1, **chosen)
    assert strictly(record)["meta_iteration"] == 4
    (best,) = measure(half_way.path, which="best", split="validation", tasks=4, **chosen)
    assert strictly(record)["meta_iteration"] == 3
    # The run has measured this checkpoint on the same tasks of validation classes.
    row = half_way.rows()[0]
    for name in ("accuracy", "confidence_95"):
        assert best[name] == pytest.approx(float(row[f"val_{name}"]), abs=1e-6)


@pytest.mark.slow
def test_a_finished_run_without_its_log_gives_its_summary(finished, tmp_path):
    (tmp_path / "log.csv").unlink()
    again = run(tmp_path)
    assert again["result"] == finished["result"]
    assert again["meta_iterations_per_second"] is None
    assert strictly(tmp_path / "summary.json") == again


@pytest.mark.slow
def test_a_finished_run_that_is_not_tested_again_keeps_its_result_and_its_origin(
    finished, tmp_path, monkeypatch
):
    before = (tmp_path / "run.json").read_text()
    versions = provenance.facts()["versions"]
    elsewhere = {"command": ["elsewhere"], "versions": versions, "machine": {"cores": 99}}
    monkeypatch.setattr(provenance, "facts", lambda: elsewhere)
    again = run(tmp_path, test_tasks=0, jit_compile="false")
    for name in ("result", "test_seconds", "settings", "command", "machine"):
        assert again[name] == finished[name]
    assert (tmp_path / "run.json").read_text() == before
    assert strictly(tmp_path / "summary.json") == again


@pytest.mark.parametrize(
    ("dataset", "tasks", "text"),
    [
        ("glyphs", 1, "Testing on 1 task of 1 unseen class.\n"),
        ("glyphs", 2000, "Testing on 2,000 tasks of 1 unseen class.\n"),
        ("sinusoid", 1, "Testing on 1 fresh sine wave.\n"),
    ],
)
def test_what_is_tested_on_is_said_in_numbers(dataset, tasks, text, monkeypatch, capsys):
    for module, name in (
        (building, "evaluation_episodes"),
        (finishing, "say_evaluation_batch"),
        (finishing, "measure"),
    ):
        monkeypatch.setattr(module, name, lambda *_: None)
    pools = SimpleNamespace(test=["a class"])
    model = SimpleNamespace(set_execution=lambda **_: None)
    finishing._test(named.get(dataset, test_tasks=tasks), pools, model, verbose=2)
    assert capsys.readouterr().out == text


@pytest.mark.slow
def test_a_run_that_begins_anew_has_no_summary_until_its_end(finished, tmp_path, monkeypatch):
    shutil.rmtree(tmp_path / "checkpoints")
    stop_at(monkeypatch, 2, lambda model: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted):
        run(tmp_path)
    assert not (tmp_path / "summary.json").exists()


@pytest.mark.parametrize(
    ("tasks", "classes", "said"), [(7, 0, True), (100, 0, False), (7, 1, False)]
)
def test_validation_tasks_without_validation_classes_are_said_to_have_no_effect(
    tasks, classes, said
):
    pools = datasets.load("glyphs", classes=12, validation_classes=classes, test_classes=6)
    text = run_checks.without_effect(recipe(validation_tasks=tasks), pools)
    assert text.startswith("There are no validation classes: validation_tasks=7 has no") == said
    assert bool(text) == said


@pytest.mark.parametrize(("first", "rate"), [(3, 2.0), (6, None), (None, None)])
def test_the_speed_is_unknown_if_the_log_lacks_the_first_rows(first, rate):
    rows = [] if first is None else [{"meta_iteration": str(first)}, {"meta_iteration": 7}]
    log = SimpleNamespace(rows=rows, seconds=3.5 if rows else 0.0)
    assert finishing._rate(recipe(), log) == rate


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (dict(which="Best"), r"`which` must be one of \('last', 'best'\). Received: which='Best'"),
        (dict(split="val"), r"`split` must be one of .*Received: split='val'"),
    ],
)
def test_a_choice_that_is_none_is_refused(arguments, text, tmp_path):
    with pytest.raises(ValueError, match=text):
        measure(tmp_path, **arguments)
    if "which" in arguments:
        with pytest.raises(ValueError, match=text):
            export_run(tmp_path, tmp_path / "out", **arguments)


@pytest.mark.slow
def test_the_curve_is_the_accuracy_on_the_first_test_tasks_and_changes_nothing(
    undisturbed, tmp_path
):
    run(tmp_path, curve_tasks=5)
    assert_same_end(undisturbed, tmp_path)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row["meta_iteration"] for row in rows if row["test_accuracy"]] == ["3", "6", "7"]
    (last,) = measure(tmp_path, tasks=5, verbose=0)
    assert float(rows[-1]["test_accuracy"]) == pytest.approx(last["accuracy"], abs=1e-6)
    assert float(rows[-1]["test_confidence_95"]) == pytest.approx(last["confidence_95"], abs=1e-6)


@pytest.mark.slow
def test_what_cannot_be_measured_is_refused(tmp_path, pools, monkeypatch):
    with pytest.raises(RunError, match=r"has no run: there is no run.json in it"):
        measure(tmp_path)
    run(tmp_path, validation_tasks=0)
    with pytest.raises(RunError, match=r"network has 5 outputs. Received: ways=3. Use --ways=5"):
        measure(tmp_path, ways=3)
    with pytest.raises(RunError, match=r"has no best checkpoint: the run had no validation"):
        measure(tmp_path, which="best")
    # The run does not know that its classes are others below.
    (tmp_path / "classes.json").unlink()
    few = pools._replace(validation=pools.validation.subset([0, 1]))
    monkeypatch.setattr(building, "load_pools", lambda *_: few)
    text = r"of validation classes. Received: ways=5, with 2 classes. Lower `ways`, or choose anot"
    with pytest.raises(ValueError, match=text):
        measure(tmp_path, split="validation")
    with pytest.raises(ValueError, match=r"`tasks` must be at least 1. Received: tasks=0"):
        measure(tmp_path, tasks=0)
    with pytest.raises(ValueError, match=r"`queries` must be at least 1. Received: queries=0"):
        measure(tmp_path, queries=0)
    with pytest.raises(ValueError, match=r"`transductive` must be True or False"):
        measure(tmp_path, transductive="yes")
    for path in RunDirectory(tmp_path).saved():
        path.unlink()
    for which in ("last", "best"):
        with pytest.raises(RunError, match=r"has no checkpoint yet"):
            measure(tmp_path, which=which)


@pytest.mark.parametrize("strategy", [None, tf.distribute.get_strategy()])
@pytest.mark.parametrize("setting", ["inner_learning_rate", "precision", "inner_steps", "colour"])
def test_what_an_evaluation_cannot_choose_is_refused(setting, strategy, tmp_path):
    text = (
        rf"cannot change the settings of the trained.*Received: {setting}=0.5. It can change data"
    )
    with pytest.raises(ValueError, match=text):
        measure(tmp_path, strategy=strategy, **{setting: 0.5})


def test_a_path_in_a_runs_directory_is_no_run_and_the_run_is_suggested(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "run.json").touch()
    for path in ("run/checkpoints", "run/checkpoints/best.keras"):
        with pytest.raises(RunError, match=r"no run.json in it. Did you mean /.*/run\? --which"):
            measure(tmp_path / path)
    with pytest.raises(RunError, match=r"no run.json in it.$"):
        measure(tmp_path / "other" / "path")


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.keras"
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(path)
    with pytest.raises(RunError, match=r"holds a Sequential, not a ReptileModel"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (dict(meta_iterations=0), r"`meta_iterations` must be at least 1"),
        (dict(queries=0), r"`queries` must be at least 1"),
        (dict(checkpoint_every=0), r"`checkpoint_every` must be at least 1"),
        (dict(test_tasks=-1), r"`test_tasks` must not be negative. Received: -1"),
        (dict(curve_tasks=-1), r"`curve_tasks` must not be negative. Received: -1"),
        (dict(validation_tasks=-1), r"`validation_tasks` must not be negative"),
        (dict(inner_learning_rate=0.0), r"`inner_learning_rate` must be positive. Received: 0.0"),
        (dict(ways=30), r"number of training classes. Received: ways=30, with 24 classes. Lower"),
        (dict(ways=10), r"number of validation classes. Received: ways=10, with 8 classes. Lower"),
        (
            dict(ways=10, validation_tasks=0),
            r"of test classes. Received: ways=10, with 8 classes. Lower `ways`, or raise --test_c",
        ),
        (dict(shots=20), r"shots=20, queries=1, with 20 images"),
    ],
)
def test_numbers_that_do_not_fit_are_refused_before_anything_is_written(changes, text, tmp_path):
    with pytest.raises(ValueError, match=text):
        run(tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_recipes_refuse_what_they_do_not_know():
    with pytest.raises(ValueError, match=r"`recipe` must be one of \[.*\]. Received: 'nope'"):
        named.get("nope")
    with pytest.raises(ValueError, match=r"`dataset` must be one of .*Received: 'nope'"):
        named.get(dataset="nope")
    with pytest.raises(ValueError, match=r"`task_order` must be one of .*Received: 'nope'"):
        named.get("glyphs", task_order="nope")


def test_the_papers_recipes_have_the_papers_numbers():
    five, twenty = named.get("omniglot_5way"), named.get("omniglot_20way")
    columns = ("train_shots", "inner_batch_size", "inner_steps", "inner_learning_rate")
    columns += ("meta_iterations", "eval_inner_batch_size", "eval_inner_steps", "meta_batch_size")
    assert [getattr(five, c) for c in columns] == [10, 10, 5, 1e-3, 100_000, 5, 50, 5]
    assert [getattr(twenty, c) for c in columns] == [10, 20, 10, 5e-4, 200_000, 10, 50, 5]
    for r in (five, twenty):
        assert (r.inner_beta_1, r.inner_beta_2, r.inner_epsilon) == (0.0, 0.999, 1e-8)
        assert (r.meta_step_size, r.meta_step_size_final) == (1.0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"inner_learning_rate": 0.05}, "inner_optimizer="),
        ({"meta_step_size": 0.5}, "meta_step_size="),
        ({"inner_state": "reset"}, "inner_state='carried' "),
    ],
)
def test_a_checkpoint_of_another_run_than_run_json_says_is_refused(
    settings, text, finished, tmp_path
):
    told = json.loads((tmp_path / "run.json").read_text())
    told["settings"] |= settings
    (tmp_path / "run.json").write_text(json.dumps(told))
    with pytest.raises(RunError, match=rf"does not belong to its run.json: {text}"):
        run(tmp_path, **settings)
    with pytest.raises(RunError, match=rf"does not belong to its run.json: {text}"):
        measure(tmp_path, tasks=2, verbose=0)
