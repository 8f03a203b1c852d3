"""A run and an export that are killed 25 times end as if nothing had happened.

Each start goes on where the last was killed, so that the end would show a fault of any. `step`,
`sync best` and the like are events, see `disturbed.py`.
"""

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import warm
from helpers import EAGER_RUN, assert_same_end, final_state

import keras_reptile as kr
from keras_reptile.checkpoint import check_checksum, load_checkpoint
from keras_reptile.files.atomic_directory import whole_directory
from keras_reptile.runs.run_directory import RunDirectory

TRAIN = [
    "--dataset=sinusoid",
    "--output_dir=run",
    "--meta_iterations=30",
    *EAGER_RUN,
    "--test_tasks=21",
]
# Where each start is killed, how far it gets first, and what it is in the middle of.
KILLS = [
    ("step", 1, "training"),
    ("sync best", 1, "checkpointing"),
    ("rename best", 1, "checkpointing"),
    ("sync checkpoint", 1, "checkpointing"),
    ("rename checkpoint", 1, "checkpointing"),
    ("rename checkpoint", 2, "checkpointing"),
    ("remove checkpoint", 3, "checkpointing"),
    ("validation", 1, "validating"),
    ("validation", 2, "validating"),
    ("step", 4, "training"),
    ("sync log.csv", 1, "logging"),
    ("rename log.csv", 2, "logging"),
    ("sync run.json", 1, "logging"),
    *[("random", float(f), "anywhere") for f in np.random.RandomState(0).rand(4)],
    ("sync curve.png", 1, "logging"),
    ("test", 1, "testing"),
    ("test", 2, "testing"),
    ("sync summary.json", 1, "logging"),
]
EXPORT = ["--checkpoint=run", "--output=exported"]
# The first of a SavedModel; the others of what replaces an earlier export.
EXPORT_KILLS = [
    ("sync saved_model.pb", 1, "exporting"),
    ("sync model", 1, "exporting"),
    ("rename exported", 1, "exporting"),
    ("rename exported", 2, "exporting"),
]


def start(folder, program, flags, *moment):
    folder.mkdir(exist_ok=True)
    moment = json.dumps(["kill", *moment] if moment else [])
    return warm.run("tests/support/disturbed.py", moment, program, *flags, cwd=folder)


def events(folder):
    return (folder / "events").read_text().splitlines()


def assert_nothing_is_half_written(run):
    """Of what has its own name, all is whole, however much lies beside it."""
    for path in (run / "checkpoints").glob("[!.]*"):
        check_checksum(path)
    for path in run.glob("[!.]*.json"):
        assert json.loads(path.read_text())
    for path in run.glob("[!.]*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert all(None not in row.values() for row in rows(run))


def rows(run):
    """The rows of log.csv without times."""
    path = run / "log.csv"
    found = list(csv.DictReader(path.open())) if path.exists() else []
    return [{k: v for k, v in row.items() if "second" not in k} for row in found]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    status, _, err = start(folder, "train", TRAIN)
    assert status == 0, err
    return folder / "run"


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The same run, killed at each moment, and what each start was in the middle of."""
    folder = tmp_path_factory.mktemp("killed")
    last = []
    for event, n, _ in KILLS:
        status, _, err = start(folder, "train", TRAIN, event, n)
        assert status == -9, (event, n, err)
        assert_nothing_is_half_written(folder / "run")
        last.append(events(folder)[-1])
    status, out, err = start(folder, "train", TRAIN)
    assert status == 0, err
    assert "Resuming at meta-iteration 30" in out
    return folder / "run", last


@pytest.mark.slow
@pytest.mark.process
def test_a_run_killed_21_times_ends_bit_for_bit_like_an_undisturbed_one(whole, killed):
    run, _ = killed
    assert_same_end(whole, run)
    summaries = [json.loads((r / "summary.json").read_text()) for r in (whole, run)]
    for name in ("result", "best_validation", "settings"):
        assert summaries[0][name] == summaries[1][name]
    assert rows(whole) == rows(run)


@pytest.mark.slow
@pytest.mark.process
def test_the_best_checkpoint_is_that_of_the_undisturbed_run(whole, killed):
    run, _ = killed
    best = [load_checkpoint(RunDirectory(r).best) for r in (whole, run)]
    for a, b in zip(*[model.get_weights() for model in best], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.process
def test_killed_runs_leave_nothing_behind(whole, killed):
    def names(run):
        return {str(p.relative_to(run)) for p in run.rglob("*") if "tfevents" not in p.name}

    assert names(killed[0]) == names(whole)
    assert not any(Path(name).name.startswith((".", "tmp")) for name in names(whole))


@pytest.mark.slow
@pytest.mark.process
def test_each_kill_landed_where_it_was_to(killed):
    """2 in training, 2 validating, 2 testing, 6 in checkpoints, 5 in logs, 4 wherever it was."""
    _, last = killed
    for (event, _, _), found in zip(KILLS, last, strict=True):
        assert event in (found, "random")
    assert Counter(where for *_, where in KILLS) == {
        "training": 2,
        "validating": 2,
        "testing": 2,
        "checkpointing": 6,
        "logging": 5,
        "anywhere": 4,
    }
    assert len(KILLS) + len(EXPORT_KILLS) == 25


@pytest.mark.slow
@pytest.mark.process
def test_an_export_killed_four_times_is_whole_or_absent_and_then_complete(killed):
    folder = killed[0].parent
    path = folder / "exported"
    flags = EXPORT
    for event, n, _ in EXPORT_KILLS:
        earlier = sorted(p.name for p in path.rglob("*"))
        status, _, err = start(folder, "export", flags, event, n)
        assert status == -9, err
        assert events(folder)[-1] == event
        # Between two renames there is none; the next export finds it again.
        assert sorted(p.name for p in path.rglob("*")) == ([] if n == 2 else earlier)
        if flags == EXPORT:
            status, _, err = start(folder, "export", flags)
            assert status == 0, err
            assert (path / "saved_model.pb").exists()
            flags = [*EXPORT, "--overwrite", "--only_model"]
    status, _, err = start(folder, "export", flags)
    assert status == 0, err
    assert sorted(p.name for p in path.iterdir()) == ["metadata.json", "model.keras"]
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []
    exported = kr.pretrained(path).get_weights()
    for a, b in zip(exported, final_state(killed[0]), strict=False):
        np.testing.assert_array_equal(a, b)


def test_an_export_that_was_being_replaced_is_back_before_the_next_begins(tmp_path):
    (tmp_path / ".replaced-7-a").mkdir()
    (tmp_path / ".replaced-7-a" / "mark").write_text("earlier")
    (tmp_path / ".replaced-7-b-a").mkdir()
    with (
        pytest.raises(ValueError, match="exists already"),
        whole_directory(tmp_path / "a", False, ["mark"]),
    ):
        pass
    assert (tmp_path / "a" / "mark").read_text() == "earlier"
    assert {p.name for p in tmp_path.iterdir()} == {"a", ".replaced-7-b-a"}
