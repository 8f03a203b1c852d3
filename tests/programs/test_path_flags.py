"""Paths from the shell: in the home folder, and elsewhere than on this machine."""

import os
from pathlib import Path

import pytest
from commands import run
from helpers import small_model

from keras_reptile.checks import local_path
from keras_reptile.programs.path_flags import PathParser
from keras_reptile.runs.evaluating import evaluate_run as measure
from keras_reptile.runs.run_directory import RunDirectory

PATHS = {
    "train": ("output_dir", "data_dir", "image_dir", "split_dir", "manual_dir"),
    "evaluate": ("checkpoint", "data_dir", "image_dir", "split_dir", "record"),
    "export": ("checkpoint", "output"),
    "sweep": ("output_dir", "data_dir", "image_dir", "split_dir", "manual_dir"),
    "compare": ("runs", "output"),
    "demo": ("model",),
}
FLAGS = [(program, flag) for program, flags in PATHS.items() for flag in flags]


def test_a_path_of_this_machine_is_as_it_was_but_for_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("runs/a", "/tmp/a", "a:b/c", "C:/a", "./~/a", "a/~"):
        assert local_path(path) == path
    assert local_path(Path("a/b")) == "a/b"
    assert local_path("~/a") == f"{tmp_path}/a"
    assert RunDirectory("~/a").path == tmp_path / "a"
    assert PathParser().parse("~/a") == f"{tmp_path}/a"


@pytest.mark.parametrize(
    "path", ["gs://a/b", "s3://a", "file:///a", Path("gs://a"), "hdfs://h:1/a"]
)
def test_what_is_elsewhere_is_no_folder_here(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = "Files and folders must be on this machine. Received: '.*'. Mount or copy the remote"
    for use in (
        local_path,
        RunDirectory,
        lambda path: small_model().export_learner(path),
        lambda path: measure("run", record=path),
    ):
        with pytest.raises(ValueError, match=text):
            use(path)
    assert os.listdir() == []


def test_the_home_of_nobody_is_refused():
    text = (
        r"There is no such home folder. Received: '~nobody_at_all/a'. For a folder of that name, g"
    )
    with pytest.raises(ValueError, match=text):
        local_path("~nobody_at_all/a")


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(("program", "flag"), FLAGS)
def test_every_path_flag_refuses_what_is_elsewhere(program, flag, tmp_path):
    needed = ["--figure=study"] if program == "sweep" else []
    status, out, err = run(program, *needed, f"--{flag}=gs://bucket/a", cwd=tmp_path)
    assert (status in (1, 2), out) == (True, "")
    assert "Files and folders must be on this machine. Received: 'gs://bucket/a'." in err
    assert len(err.strip().splitlines()) == 1
    assert os.listdir(tmp_path) == []
