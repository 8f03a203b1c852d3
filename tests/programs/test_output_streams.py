"""Standard output and error that are closed, broken, full, or in another encoding."""

import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from processes import environment

from keras_reptile.programs import streams
from keras_reptile.programs.outcome import work

ROOT = Path(__file__).resolve().parents[2]
TRAIN = [sys.executable, str(ROOT / "bin" / "train")]


def run(*arguments, **options):
    options = {"stdout": subprocess.PIPE, "env": environment(), **options}
    return subprocess.run(
        [*TRAIN, *arguments], stderr=subprocess.PIPE, text=True, timeout=300, **options
    )


@pytest.fixture
def broken():
    """The writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.process
@pytest.mark.parametrize("arguments", [["--list_recipes"], ["--help"], ["--show"]])
def test_a_reader_that_went_away_ends_the_program_as_it_ends_cat(arguments, broken):
    ended = run(*arguments, stdout=broken)
    assert (ended.returncode, ended.stderr) == (-signal.SIGPIPE, "")


@pytest.mark.process
def test_an_error_that_nobody_can_read_has_its_status(broken):
    ended = subprocess.run([*TRAIN, "--colour=red"], env=environment(), stderr=broken, timeout=300)
    assert ended.returncode == 2


@pytest.mark.process
def test_a_full_disk_under_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        ended = run("--list_recipes", stdout=full)
    assert ended.returncode == 1
    assert (
        ended.stderr == "train: the standard output cannot be written: No space left on device.\n"
    )


@pytest.mark.process
def test_a_pipe_that_is_full_for_a_while_is_waited_for():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    filled = 0
    while select.select([], [writing], [], 0)[1]:
        filled += os.write(writing, bytes(1 << 12))
    process = subprocess.Popen([*TRAIN, "--list_recipes"], env=environment(), stdout=writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert b"omniglot_5way_fast" in pipe.read()[filled:]
    assert process.wait(300) == 0


@pytest.mark.process
def test_what_ascii_lacks_is_written_in_it():
    ascii_only = environment(PYTHONIOENCODING="ascii")
    ended = run("--recipe=omniglot_5way", "--show", env=ascii_only)
    assert ended.returncode == 0, ended.stderr
    assert "expected, %: 95.39 +- 0.09" in ended.stdout


def test_names_of_files_that_are_no_text_are_written_as_their_bytes(tmp_path, monkeypatch):
    with open(tmp_path / "out", "w", encoding="utf-8") as out:
        monkeypatch.setattr(sys, "stdout", out)
        streams.prepare()
        print(os.fsdecode(b"caf\xe9"), "±")
    assert (tmp_path / "out").read_bytes() == b"caf\xe9 " + "±\n".encode()


def test_a_broken_pipe_of_the_work_itself_is_said(capsys, monkeypatch):
    def main():
        raise BrokenPipeError(32, "Broken pipe", "peer")

    monkeypatch.setattr("keras_reptile.programs.outcome.one_task_per_core", lambda **_: None)
    with pytest.raises(SystemExit) as ended:
        work(main)
    assert ended.value.code == 1
    assert "peer: Broken pipe." in capsys.readouterr().err


@pytest.mark.parametrize("memory", [True, False])
def test_what_is_kept_back_is_shown_after_an_error_and_only_then(memory, capfd, monkeypatch):
    if not memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    with streams.shown_if_it_fails():
        os.write(2, b"noise")
    with pytest.raises(KeyError), streams.shown_if_it_fails():
        os.write(2, b"cause")
        raise KeyError
    assert capfd.readouterr().err == "cause"


@pytest.mark.parametrize("memory", [True, False])
def test_no_folder_for_temporary_files_is_needed(memory, capfd):
    def nowhere(*_):
        raise FileNotFoundError(2, "No usable temporary directory found")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "TemporaryFile", nowhere)
        if not memory:
            patch.delattr(os, "memfd_create", raising=False)
        with streams.shown_if_it_fails():
            os.write(2, b"noise")
    assert capfd.readouterr().err == ("" if memory else "noise")


def test_an_error_that_is_not_of_the_output_is_not_called_so(capsys):
    with pytest.raises(FileNotFoundError), streams.checked():
        raise FileNotFoundError(2, "No such file or directory")
    assert capsys.readouterr().err == ""
