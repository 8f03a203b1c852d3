"""What a program meets before its work: signals, closed streams, someone's settings of Keras."""

import gc
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import pytest
from processes import environment

import keras_reptile as kr
from keras_reptile.programs import start
from keras_reptile.recipes.named import RECIPES

ROOT = Path(__file__).resolve().parents[2]
BIN_TRAIN = f"""
import sys
sys.argv = [{str(ROOT / "bin" / "train")!r}]
sys.path.insert(0, {str(ROOT)!r})
"""
START = """
from keras_reptile.programs import start
start.begin([])
start.load_tensorflow()
"""
# Ctrl-C as TensorFlow is looked for.
INTERRUPTED = (
    """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "tensorflow":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
"""
    + START
)
PRINTS = START + "sys.stdout.write('a'); sys.stderr.write('b'); print('c')"


@pytest.fixture
def quick(tmp_path):
    """Variables that put a stand-in in TensorFlow's place, which takes seconds to import."""
    (tmp_path / "tensorflow.py").write_text("class config:\n    list_physical_devices = list\n")
    return {"PYTHONPATH": str(tmp_path)}


def python(program, shell="", **variables):
    command = ["sh", "-c", f'exec "$0" "$@" {shell}', sys.executable, "-c", BIN_TRAIN + program]
    return subprocess.run(
        command,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.process
def test_ctrl_c_while_modules_are_imported_is_one_line():
    ended = python(INTERRUPTED)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "train: stopped.\n")


@pytest.mark.process
def test_a_process_that_ignores_ctrl_c_goes_on_ignoring_it(quick):
    program = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + INTERRUPTED
    ended = python(program, **quick)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.process
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_printed_into_without_an_error(closed, quick):
    ended = python(PRINTS, closed, **quick)
    assert ended.returncode == 0, ended.stderr


def test_a_run_in_the_home_folder_is_looked_at_and_one_that_is_nested_too_deep_is_not(
    tmp_path, monkeypatch
):
    run = {"settings": {"dataset": "mini_imagenet", "network": "mini_imagenet_convnet"}}
    for name, content in {"run": json.dumps(run), "deep": "[" * 100_000}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(content)
    flags = [["--checkpoint=~/run"], ["--checkpoint", "~/deep"], ["--checkpoint=nowhere"]]
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [start.onednn(given) for given in flags] == ["1", "0", "0"]


def test_recipes_with_mini_imagenets_network_compute_by_onednn():
    found = {name for name in RECIPES if start.onednn([f"--recipe={name}"]) == "1"}
    assert found == {n for n, r in RECIPES.items() if r.network == "mini_imagenet_convnet"}
    assert {"cub_5way", "mini_imagenet_5way_1shot"} <= found
    assert start.onednn(["--recipe=none"]) == "0"


@pytest.mark.slow
@pytest.mark.process
def test_programs_start_with_someones_settings_of_keras_and_where_streams_are_closed(tmp_path):
    settings = {"backend": "numpy", "image_data_format": "channels_first", "floatx": "float32"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    found = tmp_path / "found"
    program = f"""
from keras_reptile.programs import start
start.begin([])
start.load_package()
import keras, numpy as np
import keras_reptile as kr
sys.stdout.write('a'); sys.stderr.write('b')
file = open({str(found)!r}, "w")
for network in (kr.networks.omniglot_convnet(3, seed=0), kr.networks.mini_imagenet_convnet(3)):
    x = np.ones((2, *network.input_shape[1:]), "float32")
    print(keras.config.image_data_format(), network(x).shape, file=file)
"""
    ended = python(program, ">&- 2>&-", KERAS_HOME=str(tmp_path))
    assert ended.returncode == 0
    assert found.read_text().splitlines() == ["channels_first (2, 3)"] * 2


def test_another_backend_is_refused_where_the_package_is_imported(monkeypatch):
    # Another backend needs packages of its own, so that none is there to be tried.
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    text = r"needs Keras's TensorFlow backend. Received: 'jax'. Set .* KERAS_BACKEND=tensorflow bef"
    with pytest.raises(ImportError, match=text):
        importlib.reload(kr)
    monkeypatch.undo()
    importlib.reload(kr)


def test_without_a_folder_for_temporary_files_one_is_named(monkeypatch):
    def nowhere():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_get_default_tempdir", nowhere)
    with pytest.raises(FileNotFoundError):
        tempfile.gettempdir()
    start.name_a_temporary_folder()
    assert os.path.isdir(tempfile.gettempdir())


def test_what_imports_make_is_not_looked_through_for_garbage():
    with pytest.raises(ImportError), start.collecting_no_garbage():
        assert not gc.isenabled()
        module = [[]]
        raise ImportError
    assert gc.isenabled()
    assert not any(found is module for found in gc.get_objects())
