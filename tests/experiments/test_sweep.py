import csv
import dataclasses
import json
import math
import shutil
from types import SimpleNamespace

import pytest
from helpers import at, draw_no_pictures, one_layer

from keras_reptile import datasets
from keras_reptile.errors import RunError
from keras_reptile.experiments import figures
from keras_reptile.experiments import sweep as module
from keras_reptile.experiments.sweep import choose, sweep
from keras_reptile.experiments.sweep_results import (
    about_run,
    runs_with_other_settings,
    summary_of,
)
from keras_reptile.files.atomic_file import write_csv
from keras_reptile.programs import sweep as sweep_program
from keras_reptile.recipes import building
from keras_reptile.runs import run_classes, training
from keras_reptile.runs.divergence import Diverged
from keras_reptile.runs.run_directory import RunDirectory


@pytest.fixture(scope="module")
def pools():
    return datasets.load("glyphs", classes=20, validation_classes=0, test_classes=6)


@pytest.fixture(autouse=True)
def small_data(pools, monkeypatch):
    monkeypatch.setattr(building, "load_pools", lambda *_: pools)
    monkeypatch.setattr(building, "build_network", one_layer)
    draw_no_pictures(monkeypatch)


SMALL = dict(
    dataset="glyphs",
    meta_iterations=4,
    checkpoint_every=2,
    inner_batch_size=5,
    eval_inner_batch_size=5,
    eval_inner_steps=2,
    curve_tasks=3,
    test_tasks=4,
)


def run(path, only=("g1", "g2"), figure="gradient_combinations", **changes):
    return sweep(figure, path, only=only, verbose=0, **{**SMALL, **changes})


def csv_rows(path, figure="gradient_combinations"):
    with open(path / f"{figure}.csv", newline="") as file:
        return list(csv.DictReader(file))


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, pools):
    """The directory of a small sweep that was never disturbed, and its rows."""
    path = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(building, "load_pools", lambda *_: pools)
        patch.setattr(building, "build_network", one_layer)
        draw_no_pictures(patch)
        return path, run(path)


@pytest.mark.slow
def test_one_csv_holds_the_curves_and_the_final_accuracies(whole):
    path, rows = whole
    found = [(r["run"], r["measured"], r["meta_iteration"], r["tasks"]) for r in rows]
    assert found == [
        (name, *rest)
        for name in ("g1", "g2")
        for rest in (("curve", 2, 3), ("curve", 4, 3), ("final", 4, 4))
    ]
    assert [r["method"] for r in rows] == ["reptile"] * 3 + ["fomaml"] * 3
    assert [r["train_shots"] for r in rows] == [1] * 3 + [2] * 3
    assert all(0 <= r["accuracy"] <= 1 and r["seconds"] > 0 for r in rows)
    assert csv_rows(path) == [{k: str(v) for k, v in r.items()} for r in rows]


@pytest.mark.slow
def test_it_draws_and_names_no_path(whole):
    path, _ = whole
    assert (path / "gradient_combinations.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "/" not in (path / "gradient_combinations.csv").read_text()
    assert {p.name for p in (path / "runs").iterdir()} == {"g1", "g2"}


@pytest.mark.slow
def test_a_csv_alone_is_enough_to_go_on_elsewhere(whole, tmp_path):
    path, rows = whole
    shutil.copy(path / "gradient_combinations.csv", tmp_path)
    found = run(tmp_path, only=("g2", "g3"))
    assert found[: len(rows)] == rows
    assert {r["run"] for r in found} == {"g1", "g2", "g3"}
    assert [p.name for p in (tmp_path / "runs").iterdir()] == ["g3"]


@pytest.mark.parametrize(
    "content", [b"run\ng1\n", b"measured,meta_iteration\nfinal,four\n", b"\xff"]
)
def test_a_csv_that_cannot_be_read_is_an_error_before_training(content, tmp_path):
    (tmp_path / "gradient_combinations.csv").write_bytes(content)
    with pytest.raises(RunError, match=r"gradient_combinations.csv cannot be read \(.*Repair or r"):
        run(tmp_path, only=("g1",))
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"meta_step_size": 0.5}, "meta_step_size='0.25' \\(now '0.5'\\)"),
        ({"seed": 1}, "others='.*' \\(now '.* seed=1'\\)"),
    ],
)
def test_rows_of_other_settings_are_neither_taken_nor_lost(other, words, whole, tmp_path):
    path, _ = whole
    shutil.copy(path / "gradient_combinations.csv", tmp_path)
    with pytest.raises(RunError, match=rf"has results of g1 with other settings: .*{words}"):
        run(tmp_path, only=("g3",), **other)
    assert csv_rows(tmp_path) == csv_rows(path)


@pytest.mark.slow
def test_rows_of_an_earlier_version_are_kept(whole, tmp_path):
    path, rows = whole
    earlier = [{k: v for k, v in row.items() if k != "others"} for row in csv_rows(path)]
    write_csv(tmp_path / "gradient_combinations.csv", earlier)
    assert run(tmp_path) == rows


@pytest.mark.slow
def test_a_single_test_task_has_no_interval_and_is_drawn_all_the_same(tmp_path):
    for _ in range(2):
        *_, final = run(tmp_path, only=("g1",), test_tasks=1)
        assert math.isnan(final["confidence_95"])
    assert csv_rows(tmp_path)[-1]["confidence_95"] == "nan"


@pytest.mark.slow
def test_nothing_is_trained_twice(whole, monkeypatch):
    path, rows = whole

    def train(*arguments, **keywords):
        raise AssertionError("nothing was left to do")

    monkeypatch.setattr(module, "train", train)
    for changes in ({}, {"jit_compile": "false"}, {"task_parallelism": "separate"}):
        assert run(path, draw_only=True, **changes) == rows
        assert run(path, **changes) == rows


@pytest.mark.slow
def test_after_a_crash_the_same_call_ends_with_the_same_results(whole, tmp_path, monkeypatch):
    def crash(model):
        raise MemoryError

    with monkeypatch.context() as patch:
        at(patch, "on_train_batch_end", 3, crash, nth=2)  # in the second run
        with pytest.raises(MemoryError):
            run(tmp_path)
    before = csv_rows(tmp_path)
    assert len(before) == 4
    rows = run(tmp_path)
    assert without_seconds(rows) == without_seconds(whole[1])
    assert without_seconds(csv_rows(tmp_path))[: len(before)] == without_seconds(before)


@pytest.mark.slow
def test_runs_may_be_added_later(whole, tmp_path):
    second = [row for row in csv_rows(whole[0]) if row["run"] == "g2"]
    write_csv(tmp_path / "gradient_combinations.csv", second)
    run(tmp_path, only=("g1",))
    assert without_seconds(csv_rows(tmp_path)) == without_seconds(csv_rows(whole[0]))


@pytest.mark.slow
def test_more_test_tasks_measure_again_and_train_no_more(whole, tmp_path, monkeypatch):
    shutil.copytree(whole[0] / "runs" / "g1", tmp_path / "runs" / "g1")
    monkeypatch.setattr(training, "segments", lambda done, total, every: [] if done == total else 1)
    rows = run(tmp_path, only=("g1",), test_tasks=5)
    assert [r["tasks"] for r in rows] == [3, 3, 5]


@pytest.mark.slow
def test_a_run_that_diverges_does_not_stop_the_others(whole, tmp_path, monkeypatch):
    tried = []

    def train(recipe, path, **keywords):
        tried.append(path.name)
        if recipe.method == "reptile":
            raise Diverged("Training diverged: loss_before is nan.")
        shutil.copytree(whole[0] / "runs" / path.name, path)
        return json.loads((path / "summary.json").read_text())

    monkeypatch.setattr(module, "train", train)
    with pytest.raises(RunError, match=r"1 of 2 runs diverged. g1: Training diverged: loss_before"):
        run(tmp_path)
    assert tried == ["g1", "g2"]
    assert {r["run"] for r in csv_rows(tmp_path)} == {"g2"}


INCOMPLETE = {
    "no result": lambda summary: summary.pop("result"),
    "half a result": lambda summary: summary["result"].pop("accuracy"),
    "no accuracy": lambda summary: summary["result"].update(accuracy="high"),
    "no seconds": lambda summary: summary.pop("seconds"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", INCOMPLETE)
def test_an_incomplete_summary_is_named(name, whole, tmp_path):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    path = tmp_path / "runs" / "g1" / "summary.json"
    summary = json.loads(path.read_text())
    INCOMPLETE[name](summary)
    path.write_text(json.dumps(summary))
    with pytest.raises(RunError, match=r"The results in .*g1 are incomplete \(.*remove summary.js"):
        run(tmp_path, draw_only=True)


@pytest.mark.slow
def test_an_incomplete_log_is_named(whole, tmp_path):
    shutil.copytree(whole[0], tmp_path, dirs_exist_ok=True)
    log = tmp_path / "runs" / "g2" / "log.csv"
    text = log.read_text()
    log.write_text(text.replace("test_confidence_95", "other"))
    with pytest.raises(RunError, match=r"g2 are incomplete \(KeyError: 'test_confidence_95'\)"):
        run(tmp_path, draw_only=True)
    rows = list(csv.DictReader(text.splitlines()))
    write_csv(log, [row | {"test_accuracy": "high"} for row in rows])
    with pytest.raises(RunError, match=r"log.csv cannot be read \(ValueError: could not convert"):
        run(tmp_path, draw_only=True)


@pytest.mark.slow
def test_a_sweep_is_not_made_longer(whole):
    with pytest.raises(RunError, match=r"other settings: meta_iterations=4 \(now 8\)"):
        run(whole[0], meta_iterations=8, checkpoint_every=2)


@pytest.mark.slow
def test_a_tail_overlaps_in_the_other_figure(tmp_path):
    changes = dict(SMALL, train_shots=6, curve_tasks=0)
    del changes["inner_batch_size"]
    rows = sweep("tail_overlap", tmp_path, only=("fomaml_separate_k2_*",), verbose=0, **changes)
    assert [(r["curve"], r["panels"], r["tail_shots"], r["measured"]) for r in rows] == [
        ("fomaml_separate", "a", 5, "final")
    ]
    assert (tmp_path / "tail_overlap.png").exists()


def test_all_runs_of_a_figure_have_the_same_classes(pools, tmp_path, monkeypatch):
    recipe = figures.runs_of("gradient_combinations", **SMALL)["g1"].recipe
    result = dict(accuracy=0.5, confidence_95=0.1, tasks=4)
    done = dict(settings=dataclasses.asdict(recipe), result=result, seconds=1.0)
    for name, content in (("classes", run_classes.describe(pools)), ("summary", done)):
        path = tmp_path / "runs" / "g1" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    others = datasets.load("glyphs", classes=21, validation_classes=0, test_classes=6)
    monkeypatch.setattr(building, "load_pools", lambda *_: others)
    with pytest.raises(RunError, match=r"data have changed since the run in .*/runs/g1 began. Cl"):
        run(tmp_path, only=("g2",))
    assert not (tmp_path / "runs" / "g2").exists()


def test_ways_of_training_that_are_those_of_the_tasks_lose_no_final_result(tmp_path):
    def run_of(train_ways):
        changes = dict(SMALL, head="shared", train_ways=train_ways)
        return figures.runs_of("gradient_combinations", **changes)["g1"]

    result = dict(accuracy=0.5, confidence_95=0.1, tasks=4)
    done = dict(settings=dataclasses.asdict(run_of(0).recipe), result=result, seconds=1.0)
    directory = RunDirectory(tmp_path / "runs" / "g1")
    directory.write_json("summary.json", done)
    found = [summary_of(run_of(n), directory) is not None for n in (0, 5, 1)]
    assert found == [True, True, False]
    rows = run(tmp_path, draw_only=True, head="shared", train_ways=5)
    assert [(r["measured"], r["accuracy"]) for r in rows] == [("final", 0.5)]


def test_the_names_of_runs_may_contain_a_setting_that_is_given():
    runs = runs_with_other_settings("tail_overlap", meta_step_size=0.5, seed=3)
    assert runs["fomaml_shared_k8_b25_e0.125"].recipe.meta_step_size == 0.125
    assert {run.other_settings for run in runs.values()} == {"seed=3"}


def test_results_of_runs_that_a_figure_does_not_have_with_these_flags_are_not_lost(tmp_path):
    name, run_of = next(iter(runs_with_other_settings("tail_overlap").items()))
    final = dict(measured="final", meta_iteration=4, accuracy=0.5, confidence_95=0.1, tasks=4)
    write_csv(tmp_path / "tail_overlap.csv", [{**about_run(name, run_of), **final, "seconds": 1}])
    before = csv_rows(tmp_path, "tail_overlap")
    with pytest.raises(RunError, match=rf"tail_overlap.csv has results of .* flags: {name}. Give"):
        sweep("tail_overlap", tmp_path, draw_only=True, meta_step_size=0.5)
    assert csv_rows(tmp_path, "tail_overlap") == before


def test_names_and_patterns_choose_runs_in_the_figures_order():
    runs = figures.runs_of("gradient_combinations")
    assert list(choose(runs, ("g4", "g1"))) == ["g1", "g4"]
    assert list(choose(runs, ("*g1_g2",))) == ["half_g1_g2", "g1_g2"]
    assert list(choose(runs, ())) == list(runs)


def test_a_curve_has_ten_points_or_more_unless_told_otherwise():
    def every(**changes):
        runs = figures.runs_of("gradient_combinations", **changes)
        return {run.recipe.checkpoint_every for run in runs.values()}

    assert every() == {2000}
    assert every(meta_iterations=4000) == {400}
    assert every(meta_iterations=5) == {1}
    assert every(meta_iterations=4000, checkpoint_every=1000) == {1000}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (dict(figure="nope"), r"`figure` must be one of \['gradient_com.*Received: 'nope'"),
        (dict(only=("g9",)), r"`only` must be names of r.*Received: 'g9', with the runs g1, g2, h"),
        (dict(method="maml"), r"sets its own `method`. Received: method='maml'. Leave it out, and"),
        (dict(inner_batch_size=7), r"multiple of `ways`. Received: inner_batch_size=7, ways=5"),
        (
            dict(dataset="sinusoid", curve_tasks=0),
            r"sine waves have none. Received: dataset='sinus",
        ),
        (dict(meta_iterations=0), r"`meta_iterations` must be at least 1"),
        (dict(curve_tasks=-1), r"`curve_tasks` must not be negative. Received: -1"),
        (dict(task_order="nope"), r"`task_order` must be one of .*Received: 'nope'"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(changes, text, tmp_path):
    with pytest.raises(ValueError, match=text):
        run(tmp_path / "sweep", **changes)
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_another_sweeps_directory_is_left_alone(whole):
    path, rows = whole
    with pytest.raises(RunError, match=r"g1 has a run with other settings: seed=0 \(now 1\)"):
        run(path, only=("g4",), seed=1)
    assert csv_rows(path) == [{k: str(v) for k, v in r.items()} for r in rows]


def test_there_must_be_something_to_draw(tmp_path):
    with pytest.raises(RunError, match=r"has no results of gradient_combinations yet. Train"):
        run(tmp_path, draw_only=True)


def test_a_listed_run_of_one_step_has_no_plural(monkeypatch, capsys):
    flags = SimpleNamespace(figure="gradient_combinations", only=["g1"])
    monkeypatch.setattr(sweep_program, "FLAGS", flags)
    sweep_program.list_runs({})
    assert capsys.readouterr().out.startswith("g1: reptile, 1 step of 25 images, ")
