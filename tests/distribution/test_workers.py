"""Two workers on loopback: one is killed, and all are started again."""

import json

import numpy as np
import processes
import pytest
import warm

from keras_reptile.checkpoint import load_checkpoint
from keras_reptile.runs.run_directory import RunDirectory

pytestmark = [pytest.mark.process, pytest.mark.slow]

# The coordination service misses a worker's heartbeats for so long before it tells the others.
NOTICED_SECONDS = 120


def train(folder, name, chief=(), **variables):
    """Trains on two workers; the second's own working directory must stay empty."""
    return run(folder, (f"--output_dir={name}",), dict(chief), variables)


def run(folder, flags, *variables):
    """What became of the chief and another worker, with environment variables of their own."""
    addresses = processes.free_addresses(2)
    for worker in ("chief", "other"):
        (folder / worker).mkdir(exist_ok=True)
    command = ("tests/support/train_small.py", *flags, "--connect_timeout=200")
    environments = [
        {**worker, **own}
        for worker, own in zip(processes.of_workers(addresses), variables, strict=True)
    ]
    return warm.run_together([command] * 2, [folder / "chief", folder / "other"], environments)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run left alone; one whose second worker is killed at meta-iteration 5, and its rest."""
    folder = tmp_path_factory.mktemp("runs")
    # The chief alone draws, and must not wait for another.
    whole = train(folder, "whole", {"PICTURES": "1"})
    program = {"PROGRAM": "evaluate"}
    flags = ("--checkpoint=whole", "--tasks=5")
    evaluated = run(folder, flags, program, program)
    ended = train(folder, "killed", KILL_AT="5")
    left = [path.name for path in RunDirectory(folder / "chief" / "killed").saved()]
    half = folder / "chief" / "killed" / "checkpoints" / ".partial-1-iteration-000000099.keras"
    half.write_bytes(b"half")
    again = train(folder, "killed")
    return dict(
        folder=folder,
        whole=whole,
        evaluated=evaluated,
        ended=ended,
        left=left,
        half=half,
        again=again,
    )


def test_two_workers_train_and_the_chief_alone_reports_and_writes(runs):
    (status, out, err, _), (other_status, other_out, other_err, _) = runs["whole"]
    assert (status, other_status) == (0, 0), err + other_err
    assert "Trained 6 meta-iterations in " in out
    assert "5-way 1-shot, inductive, 5 tasks" in out
    assert other_out == ""
    assert list((runs["folder"] / "other").iterdir()) == []
    files = {path.name for path in (runs["folder"] / "chief" / "whole").iterdir()}
    assert {"summary.json", "curve.png", "tasks.png"} <= files


def test_two_workers_evaluate_the_chiefs_run(runs):
    (status, out, err, _), (other_status, other_out, other_err, _) = runs["evaluated"]
    assert (status, other_status) == (0, 0), err + other_err
    summary = json.loads((runs["folder"] / "chief" / "whole" / "summary.json").read_text())
    found = json.loads(out.splitlines()[-1])
    assert found == {name: summary["result"][name] for name in found}
    assert found["tasks"] == 5
    assert other_out == ""


def test_where_a_worker_is_killed_the_others_end_with_a_clear_line(runs):
    (status, _, err, ended_at), (killed, _, _, killed_at) = runs["ended"]
    assert killed == -9
    assert status == 1
    assert (
        err.strip()
        .splitlines()[-1]
        .startswith("train: Another worker stopped or cannot be reached (")
    )
    assert "Start all workers again with the same command" in err
    assert "Traceback" not in err
    assert ended_at - killed_at < NOTICED_SECONDS


def test_started_again_they_go_on_from_the_chiefs_last_checkpoint(runs):
    assert runs["left"][-1] == "iteration-000000004.keras"
    (status, out, err, _), (other_status, _, other_err, _) = runs["again"]
    assert (status, other_status) == (0, 0), err + other_err
    assert "Resuming at meta-iteration 4 in " in out
    assert not runs["half"].exists()


def test_and_end_with_the_run_that_was_left_alone_bit_for_bit(runs):
    def ended(name):
        directory = RunDirectory(runs["folder"] / "chief" / name)
        model = load_checkpoint(directory.saved()[-1])
        summary = json.loads((directory.path / "summary.json").read_text())
        state = [v.numpy() for v in [*model.variables, *model.optimizer.variables]]
        return state, summary["result"]

    (whole, result), (killed, result_of_killed) = ended("whole"), ended("killed")
    assert result == result_of_killed
    for a, b in zip(whole, killed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_keeps_workers_apart_is_one_clear_line_before_training(tmp_path):
    addresses = processes.free_addresses(2)
    alone = (processes.tf_config(addresses, 0), ("--connect_timeout=1",))
    no_such_worker = (processes.tf_config(addresses, 2), ())
    uneven = ("", ("--devices=cpu:0,cpu:1", "--meta_batch_size=5"))
    cases = (alone, no_such_worker, uneven)
    programs = [("tests/support/train_small.py", *flags) for _, flags in cases]
    found = warm.run_together(programs, tmp_path, [{"TF_CONFIG": config} for config, _ in cases])
    expected = [
        f"answered within 1 s. Missing: {addresses[1]}. Start every worker",
        "TF_CONFIG is inconsistent: the task's `index` must be from 0 to 1",
        "meta_batch_size=5, with 2 replicas. Use a meta_batch_size of 4",
    ]
    for (status, _, err, _), text in zip(found, expected, strict=True):
        assert status == 1
        assert text in err.strip().splitlines()[-1]
        assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
