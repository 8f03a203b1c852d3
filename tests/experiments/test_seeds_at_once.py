"""A sweep that trains several seeds at once, against the same sweep one by one."""

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from helpers import at, draw_no_pictures, final_state, one_layer

from keras_reptile import datasets
from keras_reptile.errors import RunError
from keras_reptile.experiments.figures import runs_of
from keras_reptile.experiments.sweep import choose, groups, sweep
from keras_reptile.kernels import devices
from keras_reptile.recipes import building, named
from keras_reptile.runs.divergence import diverged
from keras_reptile.runs.run_directory import RunDirectory
from keras_reptile.runs.stop_on_signal import Interrupted
from keras_reptile.runs.together import check_together, train_together
from keras_reptile.runs.training import train

RUNS = ("reset_s0", "reset_s1")
SMALL = dict(
    dataset="glyphs",
    meta_iterations=4,
    checkpoint_every=2,
    inner_batch_size=5,
    eval_inner_batch_size=5,
    eval_inner_steps=2,
    curve_tasks=2,
    test_tasks=2,
)
PICTURES = {"curve.png", "tasks.png"}
# What depends on the time, and not on the numbers.
OF_TIME = ("seconds", "test_seconds", "meta_iterations_per_second")


@pytest.fixture(scope="module", autouse=True)
def small_data():
    pools = datasets.load("glyphs", classes=20, validation_classes=0, test_classes=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "load_pools", lambda *_: pools)
        patch.setattr(building, "build_network", one_layer)
        yield


def run(path, seeds_at_once=1, figure="study", only=RUNS, **changes):
    settings = {**SMALL, **changes}
    return sweep(figure, path, only=only, seeds_at_once=seeds_at_once, verbose=0, **settings)


@pytest.fixture(scope="module")
def one_by_one(small_data, tmp_path_factory):
    path = tmp_path_factory.mktemp("one_by_one")
    with pytest.MonkeyPatch.context() as patch:
        draw_no_pictures(patch)
        return path, run(path)


def untimed(row):
    return {k: v for k, v in row.items() if k not in OF_TIME}


def files_of(path):
    names = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    return {name for name in names if "tfevents" not in name and Path(name).name not in PICTURES}


def assert_same_run(path, expected):
    """Compares all files of a run, pictures aside: their names, and what they say but for times."""
    assert files_of(path) == files_of(expected)
    mine, others = RunDirectory(path), RunDirectory(expected)
    assert list(map(untimed, mine.rows())) == list(map(untimed, others.rows()))
    for name in ("run.json", "classes.json", "summary.json"):
        assert untimed(mine.read_json(name)) == untimed(others.read_json(name))
    for a, b in zip(final_state(path), final_state(expected), strict=True):
        np.testing.assert_array_equal(a, b)


def assert_same_sweep(found, path, expected, expected_path):
    assert list(map(untimed, found)) == list(map(untimed, expected))
    assert files_of(path) == files_of(expected_path)
    for name in RUNS:
        assert_same_run(path / "runs" / name, expected_path / "runs" / name)


@pytest.mark.slow
def test_it_writes_the_files_and_the_numbers_of_one_by_one(one_by_one, tmp_path):
    expected_path, expected = one_by_one
    found = run(tmp_path, seeds_at_once=2)
    assert_same_sweep(found, tmp_path, expected, expected_path)
    first, second = (RunDirectory(tmp_path / "runs" / name) for name in RUNS)
    for folder in (first, second):
        assert all((folder.path / name).stat().st_size > 1000 for name in PICTURES)
    assert first.rows()[-1]["loss_before"] != second.rows()[-1]["loss_before"]


@pytest.mark.slow
def test_the_device_may_draw_the_tasks_of_all(one_by_one, tmp_path, monkeypatch):
    draw_no_pictures(monkeypatch)
    expected_path, expected = one_by_one
    found = run(tmp_path, seeds_at_once=2, draw_on_device="true")
    assert list(map(untimed, found)) == list(map(untimed, expected))
    for name in RUNS:
        folder, other = (RunDirectory(path / "runs" / name) for path in (tmp_path, expected_path))
        assert list(map(untimed, folder.rows())) == list(map(untimed, other.rows()))
        for a, b in zip(final_state(folder.path), final_state(other.path), strict=True):
            np.testing.assert_array_equal(a, b)


def fails(model):
    raise MemoryError


def is_asked_to_stop(model):
    os.kill(os.getpid(), signal.SIGTERM)


def diverges(model):
    raise diverged(model, "loss is nan")


@pytest.mark.slow
def test_it_goes_on_after_a_failure_and_a_signal_in_either_way(one_by_one, tmp_path, monkeypatch):
    draw_no_pictures(monkeypatch)
    expected_path, expected = one_by_one
    folders = [RunDirectory(tmp_path / "runs" / name) for name in RUNS]
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        # In the second run, after the checkpoint of the first.
        at(patch, "on_epoch_end", 2, fails, nth=2)
        run(tmp_path, seeds_at_once=2)
    assert [folder.newest_iteration() for folder in folders] == [2, 0]
    assert not any(name.endswith(".lock") for name in files_of(tmp_path))
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        # The second has caught up.
        at(patch, "on_train_batch_end", 3, is_asked_to_stop, nth=1)
        run(tmp_path, seeds_at_once=2)
    assert all(folder.newest_iteration() in (3, 4) for folder in folders)
    assert threading.active_count() < 10
    found = run(tmp_path)
    assert list(map(untimed, found)) == list(map(untimed, expected))
    for name, folder in zip(RUNS, folders, strict=True):
        for a, b in zip(
            final_state(folder.path), final_state(expected_path / "runs" / name), strict=True
        ):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_seed_that_diverges_does_not_stop_the_other(one_by_one, tmp_path, monkeypatch):
    draw_no_pictures(monkeypatch)
    expected_path, _ = one_by_one
    at(monkeypatch, "on_train_batch_end", 1, diverges, nth=1)
    with pytest.raises(RunError, match=r"^1 of 2 runs diverged. reset_s0: Training diverged: loss"):
        run(tmp_path, seeds_at_once=2)
    assert_same_run(tmp_path / "runs" / RUNS[1], expected_path / "runs" / RUNS[1])


def test_seeds_of_one_setting_make_a_group():
    runs = choose(runs_of("study"), ("paper_*", "serial_s1", "reset_s0", "reset_s2"))
    assert groups(runs, 3) == [
        ["paper_s0", "paper_s1", "paper_s2"],
        ["reset_s0", "reset_s2"],
        ["serial_s1"],
    ]
    assert groups(runs, 1) == [[name] for name in runs]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (dict(seeds_at_once=0), r"`seeds_at_once` must be at least 1. Received: seeds_at_once=0"),
        (
            dict(seeds_at_once=2.0),
            r"`seeds_at_once` must be an integer of at least 1. Received: seeds_at_once=2.0",
        ),
        (
            dict(seeds_at_once=3, figure="tail_overlap", only=(), curve_tasks=0),
            r"^Each setting of tail_overlap has one seed only. Received: seeds_at_once=3. Leave i",
        ),
    ],
)
def test_what_cannot_go_together_is_refused_before_anything_is_written(changes, text, tmp_path):
    changes = {**({"inner_batch_size": None} if "figure" in changes else {}), **changes}
    with pytest.raises(ValueError, match=text):
        run(tmp_path / "sweep", **changes)
    assert not (tmp_path / "sweep").exists()


def test_runs_that_differ_in_more_than_the_seed_do_not_go_together():
    recipes = [named.get("study", seed=seed) for seed in (0, 1)]
    check_together(recipes)
    other = named.get("study", seed=2, inner_steps=3, method="fomaml")
    with pytest.raises(ValueError, match=r"in their seed only. Received: method='reptile' and 'fo"):
        check_together([*recipes, other])
    with (
        tf.distribute.OneDeviceStrategy("CPU:0").scope(),
        pytest.raises(ValueError, match=r"Received: the scope of a OneDeviceStrategy. Leave the"),
    ):
        check_together(recipes)


@pytest.mark.slow
def test_a_gpus_choices_give_the_numbers_of_a_cpu(tmp_path, monkeypatch, capsys, float64):
    small = dict(precision="float64", meta_iterations=2, meta_batch_size=2, inner_steps=2)
    changes = {**SMALL, **small, "curve_tasks": 0, "test_tasks": 2}
    draw_no_pictures(monkeypatch)
    recipes = [named.get("study", seed=seed, **changes) for seed in (0, 1)]
    paths = [tmp_path / f"s{recipe.seed}" for recipe in recipes]
    with monkeypatch.context() as patch:
        patch.setattr(devices, "device_kinds", lambda: {"GPU"})
        train_together(recipes, paths, verbose=2)
    said = capsys.readouterr().out
    assert "Tasks run as one batch on a GPU" in said
    assert "The GPU draws the tasks (--draw_on_device), and 2 meta-iterations are one prog" in said
    # The second one: it would differ if both had the tasks of the first.
    train(recipes[1], tmp_path / "alone", verbose=0)
    for a, b in zip(final_state(paths[1]), final_state(tmp_path / "alone"), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
