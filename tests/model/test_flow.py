"""The way of a task from `train_step` down to the equation, and the page that describes it."""

import ast
import inspect
import re
from pathlib import Path

import pytest
from helpers import small_episodes, small_model

import keras_reptile as kr
from keras_reptile.algorithm.methods import METHODS

PACKAGE = Path(kr.__file__).parent
PAGE = PACKAGE.parent / "docs" / "explanation" / "design.md"
PATHS = {
    "separate": ({}, {}),
    "vectorized": ({"task_parallelism": "vectorized"}, {}),
}


def calls_down_to_the_equation(monkeypatch, arguments, compiling):
    """The package's functions on the stack at the call of `adaptation.adapt`, outermost first."""
    stacks, method = [], METHODS["reptile"]

    def adapt(*given):
        frames = [f for f in inspect.stack() if Path(f.filename).is_relative_to(PACKAGE)]
        names = [
            (Path(f.filename).relative_to(PACKAGE).with_suffix(""), f.function) for f in frames
        ]
        stacks.append([f"{module}.{name}" for module, name in reversed(names)])
        return method.adapt(*given)

    monkeypatch.setitem(METHODS, "reptile", method._replace(adapt=adapt))
    model = small_model(**arguments)
    model.compile(model.optimizer, **compiling)
    model.fit(small_episodes(inner_steps=1), steps_per_epoch=1, verbose=0)
    calls = stacks[0]
    return calls[calls.index("reptile_model.train_step") :]


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_few_calls_lie_between_the_step_and_the_equation(path, monkeypatch):
    calls = calls_down_to_the_equation(monkeypatch, *PATHS[path])
    assert len(calls[1:]) <= 8


@pytest.mark.of_a_cpu
def test_the_page_lists_them(monkeypatch):
    calls = calls_down_to_the_equation(monkeypatch, {}, {})
    row = re.compile(r"^\| `(\w+(?:/\w+)?\.(?!py`)\w+)` \| ", re.MULTILINE)
    listed = row.findall(PAGE.read_text())
    assert calls == listed


def test_what_goes_down_is_of_no_model():
    """Neither values nor functions of them are methods of a model."""
    model = small_model()
    loop = vars(model._inner_loop)
    given = [*loop.values(), model._made_once, model._as_taken]
    functions = [getattr(each, "func", each) for each in given]
    assert not any(isinstance(getattr(f, "__self__", f), kr.ReptileModel) for f in functions)
    assert isinstance(model.train_step.__self__, kr.ReptileModel)


# What every room may import.
EVERYWHERE = {"keras_internals", "checks", "errors", "version"}


def imported_by(room):
    """The rooms that a room imports."""
    files = (
        (PACKAGE / room).rglob("*.py") if (PACKAGE / room).is_dir() else [PACKAGE / f"{room}.py"]
    )
    found = set()
    for node in (node for file in files for node in ast.walk(ast.parse(file.read_text()))):
        if isinstance(node, ast.ImportFrom) and node.module == "keras_reptile":
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module.startswith("keras_reptile."):
            found.add(node.module.split(".")[1])
    return found - {room}


def test_the_page_says_what_each_room_imports():
    table = PAGE.read_text().partition("| what it imports |\n| --- | --- | --- |\n")[2]
    above = set(EVERYWHERE)
    for line in table.partition("\n\n")[0].splitlines():
        rooms, _, listed = (re.findall(r"`(\w+)(?:\.py)?`", cell) for cell in line[1:-1].split("|"))
        for room in rooms:
            found = imported_by(room) - EVERYWHERE
            assert found <= above if "any above" in line else found == set(listed), room
            above.add(room)
    rooms = {path.stem for path in PACKAGE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert rooms - above <= {"__init__", "__main__", "__pycache__", "pretrained_models"}


# The rooms below the model.
BELOW = ("kernels", "episodes", "algorithm", "datasets", "distribution", "metrics", "execution")


@pytest.mark.parametrize("room", BELOW)
def test_no_function_below_the_model_takes_one(room):
    found = [
        f"{path.name}: {function.name}"
        for path in (PACKAGE / room).rglob("*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        and "model" in [a.arg for a in (*function.args.args, *function.args.kwonlyargs)]
    ]
    assert found == []
