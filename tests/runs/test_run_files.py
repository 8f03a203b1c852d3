"""No other program replaces a file of a run."""

from types import SimpleNamespace
from unittest import mock

import pytest

from keras_reptile.programs import compare, demo
from keras_reptile.runs import evaluating
from keras_reptile.runs.run_files import FILES, check_no_file_of_a_run

IN_FOLDERS = ("checkpoints/best.keras", "checkpoints/other", "tensorboard/events.out")


@pytest.mark.parametrize("name", [*FILES, *IN_FOLDERS])
def test_a_file_of_a_run_is_refused(name, tmp_path, monkeypatch):
    check_no_file_of_a_run("record", tmp_path / name)
    (tmp_path / "run.json").touch()
    with pytest.raises(ValueError, match=rf"`record` would replace a .*run. Received: '.*{name}'"):
        check_no_file_of_a_run("record", tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="`output` would replace a file of a run"):
        check_no_file_of_a_run("output", name)
    check_no_file_of_a_run("record", "record.json")
    check_no_file_of_a_run("record", "/dev/stdout")


def test_a_record_is_refused_before_the_work(tmp_path):
    (tmp_path / "run.json").touch()
    directory, workers = SimpleNamespace(path=tmp_path), mock.MagicMock(is_chief=True)
    run = {"settings": {}}
    with (
        mock.patch.object(evaluating, "read_run", return_value=run),
        pytest.raises(ValueError, match="`record` would replace a file of a run"),
    ):
        evaluating._recipe_of_run(directory, tmp_path / "checkpoints" / "best.keras", workers)


def test_pictures_of_comparisons_are_refused(tmp_path, monkeypatch):
    (tmp_path / "run.json").write_text('{"settings": {"dataset": "glyphs"}}')
    log = "meta_iteration,meta_iterations_per_second,accuracy\n10,1.0,0.5\n"
    (tmp_path / "log.csv").write_text(log)
    flags = dict(runs=[str(tmp_path)], names=["a"], reference=None)
    monkeypatch.setattr(
        compare, "FLAGS", SimpleNamespace(**flags, output=str(tmp_path / "log.csv"))
    )
    with pytest.raises(ValueError, match="`output` would replace a file of a run"):
        compare.main()
    assert (tmp_path / "log.csv").read_text() == log


def test_pages_of_the_demo_are_refused(tmp_path, monkeypatch):
    (tmp_path / "run.json").touch()
    flags = {"port": SimpleNamespace(present=False)}
    given = mock.MagicMock(static=str(tmp_path / "run.json"))
    given.__getitem__.side_effect = flags.__getitem__
    monkeypatch.setattr(demo, "FLAGS", given)
    with pytest.raises(ValueError, match="`static` would replace a file of a run"):
        demo.write(tmp_path)
