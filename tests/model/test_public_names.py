"""What `import keras_reptile` shows, and what it loads."""

import subprocess
import sys

import keras
import pytest

import keras_reptile as kr

# What a program that trains and adapts has no use for.
NOT_LOADED = ("demo", "experiments", "files", "programs", "recipes", "runs")
LOADED = (
    "import keras_reptile, sys; print(*[n for n in sys.modules if n.startswith('keras_reptile.')])"
)
INTERNAL = (
    "adapt_task",
    "adaptation_function",
    "at_once",
    "build_for",
    "is_classifier",
    "judge",
    "loss_of",
    "meta_iteration_variable",
    "minibatch_loss",
    "starting_state",
)


def test_completion_shows_the_public_names_only():
    assert dir(kr) == sorted(kr.__all__)
    assert all(hasattr(kr, name) for name in kr.__all__)


@pytest.mark.slow
@pytest.mark.process
def test_importing_it_loads_neither_recipes_nor_programs_nor_locks():
    out = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    rooms = {name.split(".")[1] for name in out.stdout.split()}
    assert {"algorithm", "episodes"} <= rooms
    assert not rooms & set(NOT_LOADED)


@pytest.mark.parametrize("name", INTERNAL)
def test_a_model_has_no_public_name_of_its_inside(name):
    assert not hasattr(kr.ReptileModel, name)


def test_a_run_error_can_be_caught_by_its_public_name(tmp_path):
    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]).save(path)
    (tmp_path / "metadata.json").write_text("{}")
    with pytest.raises(kr.RunError, match="holds a Sequential, not a ReptileModel"):
        kr.pretrained(tmp_path)
