"""One run at a time in a directory; reading it is free."""

import contextlib
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import filelock
import pytest
import warm
from helpers import small_model

from keras_reptile import datasets
from keras_reptile.errors import RunError
from keras_reptile.experiments.sweep import sweep
from keras_reptile.files import locks
from keras_reptile.files.atomic_directory import whole_directory
from keras_reptile.files.atomic_file import remove_partial, replacing, write_text
from keras_reptile.recipes import building
from keras_reptile.runs.run_directory import RunDirectory

TRAIN = Path(__file__).resolve().parents[2] / "bin" / "train"
# Holds a lock until it is killed. It does not import TensorFlow, which takes seconds: it begins as
# programs of bin/ do, and has a stand-in for the classes of errors.
HOLDER = """
import sys, time, pathlib, unittest.mock
sys.argv[0] = sys.argv.pop()
import keras_reptile
sys.modules["tensorflow"] = unittest.mock.MagicMock()
from keras_reptile.files.locks import held, only_one
context = only_one if sys.argv[2] == "folder" else held
with context(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holding():
    """Starts processes that hold a lock, and kills them."""
    started = []

    def hold(path, kind):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(path), kind, str(TRAIN)],
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.process
def test_a_second_run_in_a_directory_is_refused_until_the_first_is_killed(tmp_path, holding):
    (tmp_path / "run").mkdir()
    first = holding(tmp_path / "run", "folder")
    flags = ["--dataset=sinusoid", "--output_dir=run", "--meta_iterations=2", "--test_tasks=3"]
    flags += ["--validation_tasks=2", "--inner_steps=2", "--eval_inner_steps=2"]
    train = ["tests/support/disturbed.py", "[]", "train", *flags]
    status, _, err = warm.run(*train, cwd=tmp_path)
    assert status == 1
    assert err.strip().startswith(
        f"train: run is being written by another run (process {first.pid} on "
    )
    assert err.strip().endswith("Wait for it to end or stop it, or choose another --output_dir.")
    assert len(err.strip().splitlines()) == 1
    assert list(RunDirectory(tmp_path / "run").saved()) == []
    first.kill()
    first.wait()
    assert (tmp_path / "run" / ".lock").exists()
    status, _, err = warm.run(*train, cwd=tmp_path)
    assert status == 0, err
    assert not (tmp_path / "run" / ".lock").exists()


@pytest.mark.slow
def test_a_sweep_is_refused_a_run_that_another_trains(tmp_path, monkeypatch):
    pools = datasets.load("glyphs", classes=40, validation_classes=8, test_classes=8)
    monkeypatch.setattr(building, "load_pools", lambda *_: pools)
    small = dict(dataset="glyphs", inner_batch_size=5, eval_inner_batch_size=5, meta_iterations=2)
    with (
        RunDirectory(tmp_path / "runs" / "g1").locked(),
        pytest.raises(RunError, match=r"runs/g1 is being written by another run \(process "),
    ):
        sweep("gradient_combinations", tmp_path, only=("g1",), verbose=0, **small)


def test_a_run_beside_another_in_the_same_process_is_refused_too(tmp_path):
    directory = RunDirectory(tmp_path)
    with directory.locked():
        assert (tmp_path / ".lock").read_text().startswith(f"{os.getpid()} on ")
        with pytest.raises(RunError, match=r"another run \(process \d+ on "), directory.locked():
            pass
    with directory.locked():
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]


def test_a_lock_with_a_name_in_another_encoding_is_taken_all_the_same(tmp_path):
    directory = RunDirectory(tmp_path)
    with directory.locked():
        (tmp_path / ".lock").write_bytes(b"1 on caf\xe9")
        with (
            pytest.raises(RunError, match=r"another run .process 1 on caf\ufffd"),
            directory.locked(),
        ):
            pass


def test_of_many_that_start_at_once_one_at_a_time_has_the_directory(tmp_path):
    inside, most, refused = [], [], []

    def take(_):
        for _ in range(50):
            try:
                with locks.only_one(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except RunError:
                refused.append(1)

    threads = [threading.Thread(target=take, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) + len(refused) == 400
    assert set(most) == {1}


@pytest.mark.parametrize("moment", ["before it is opened", "before it is locked"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_another_process_took_for_a_leftover_is_made_anew(kind, moment, tmp_path, monkeypatch):
    taken, remove = [], Path.unlink if kind == "file" else Path.rmdir

    @contextlib.contextmanager
    def slowly(path, wait=False):
        taken.append(path)
        if len(taken) == 1 and moment == "before it is opened":
            remove(path)
        with locks.held(path, wait) as held:
            if len(taken) == 1 and moment == "before it is locked":
                remove(path)
            yield held

    monkeypatch.setattr("keras_reptile.files.atomic_file.held", slowly)
    if kind == "file":
        write_text(tmp_path / "a", "whole")
        assert (tmp_path / "a").read_text() == "whole"
    else:
        with whole_directory(tmp_path / "a", False, []) as partial:
            (partial / "b").write_text("whole")
        assert (tmp_path / "a" / "b").read_text() == "whole"
    assert taken == 2 * [tmp_path / f".partial-{os.getpid()}-a"]
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def failing(number):
    def flock(descriptor, how):
        raise OSError(number, os.strerror(number))

    return flock


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_there_are_no_locks_runs_go_on_and_nothing_is_removed(number, tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing(number))
    left = tmp_path / ".partial-1-log.csv"
    left.write_text("half")
    with RunDirectory(tmp_path).locked():
        RunDirectory(tmp_path).tidy()
    assert left.exists()


def test_a_disk_that_fails_while_it_locks_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    text = r".lock cannot be written: Input/output error. The disk may be failing"
    with pytest.raises(RunError, match=text), RunDirectory(tmp_path).locked():
        pass


def test_a_lock_keeps_out_who_uses_filelock_and_the_other_way_round(tmp_path):
    lock = filelock.FileLock(tmp_path / ".lock", blocking=False)
    with locks.only_one(tmp_path), pytest.raises(filelock.Timeout):
        lock.acquire()
    with lock, pytest.raises(RunError, match="is being written by another run"):
        locks.FolderLock(tmp_path)


def test_a_directory_that_cannot_be_locked_for_writing_is_an_error(tmp_path):
    (tmp_path / ".lock").mkdir()
    text = r".lock cannot be written: Is a directory. Move that directory elsewhere, or choose a"
    with pytest.raises(RunError, match=text), RunDirectory(tmp_path).locked():
        pass


def test_evaluation_beside_a_training_run_leaves_alone_what_that_is_writing(tmp_path):
    directory, model = RunDirectory(tmp_path), small_model()
    model.optimizer.build(model.trainable_variables)
    directory.save(model)
    with replacing(directory.checkpoints / "iteration-000000002.keras") as partial:
        model.save(partial)
        assert directory.restore().meta_iteration == 0
        directory.tidy()
        assert partial.exists()
    assert [p.name for p in directory.saved()][-1] == "iteration-000000002.keras"


def test_a_checkpoint_that_a_run_removes_while_it_is_read_is_looked_for_anew(tmp_path, monkeypatch):
    directory, model = RunDirectory(tmp_path), small_model()
    model.optimizer.build(model.trainable_variables)
    directory.save(model)
    real = RunDirectory.saved
    gone = [directory.checkpoints / "iteration-000000001.keras"]
    monkeypatch.setattr(RunDirectory, "saved", lambda self: (gone and [gone.pop()]) or real(self))
    assert directory.restore().meta_iteration == 0


def test_what_keras_leaves_of_a_killed_run_where_memory_is_short_is_removed(tmp_path):
    directory = RunDirectory(tmp_path)
    with directory.locked():
        (directory.checkpoints / "tmpabc").write_text("half")
        directory.tidy()
    assert list(directory.checkpoints.iterdir()) == []


@pytest.mark.slow
@pytest.mark.process
def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_is_not(
    tmp_path, holding
):
    for name in (".partial-1-a.csv", ".partial-2-b.csv", ".partial-x", "partial-1-a.csv"):
        (tmp_path / name).write_text("half")
    (tmp_path / ".partial-3-export").mkdir()
    living = holding(tmp_path / ".partial-2-b.csv", "file")
    remove_partial(tmp_path)
    left = {".partial-2-b.csv", ".partial-x", "partial-1-a.csv"}
    assert {p.name for p in tmp_path.iterdir()} == left
    living.kill()
    living.wait()
    remove_partial(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == left - {".partial-2-b.csv"}


# What happens to a directory while its run trains


def saving(directory):
    model = small_model()
    model.optimizer.build(model.trainable_variables)
    directory.save(model)


@pytest.mark.parametrize("what", ["renamed", "removed", "replaced"])
def test_a_directory_that_is_gone_is_noticed_and_not_made_anew(what, tmp_path):
    directory = RunDirectory(tmp_path / "run")
    with directory.locked():
        saving(directory)
        if what == "removed":
            shutil.rmtree(directory.path)
        else:
            directory.path.rename(tmp_path / "kept")
        if what == "replaced":
            directory.path.mkdir()
        text = r"run was renamed or removed during the run. Nothing more is written there."
        for write in (
            lambda: saving(directory),
            lambda: directory.write_rows([{"a": 1}]),
            lambda: directory.write_json("summary.json", {}),
        ):
            with pytest.raises(RunError, match=text):
                write()
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    kept = {"kept/checkpoints/iteration-000000000.keras", "kept/.lock"}
    assert left == (set() if what == "removed" else kept)


def test_a_lock_that_someone_removes_is_taken_again(tmp_path, capsys):
    directory = RunDirectory(tmp_path / "run")
    with directory.locked():
        (directory.path / ".lock").unlink()
        saving(directory)
        assert "/.lock was removed during the run, and is locked again." in capsys.readouterr().out
        with pytest.raises(RunError, match="another run"), RunDirectory(directory.path).locked():
            pass
        saving(directory)
        assert capsys.readouterr().out == ""
    assert not (directory.path / ".lock").exists()


def test_a_lock_that_is_removed_and_taken_by_another_run_stops_the_first(tmp_path):
    directory, other = RunDirectory(tmp_path / "run"), RunDirectory(tmp_path / "run")
    with contextlib.ExitStack() as first:
        first.enter_context(directory.locked())
        (directory.path / ".lock").unlink()
        with other.locked():
            with pytest.raises(RunError, match=r"is being written by another run \(process \d+ on"):
                saving(directory)
            first.close()
            saving(other)
            assert (directory.path / ".lock").exists()
