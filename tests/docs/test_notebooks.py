"""The notebooks run from top to bottom without a network, and keep what they showed."""

import dataclasses
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import warm

from keras_reptile.recipes.recipe import NOTES, Recipe

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "notebooks"
RESULTS = FOLDER.parent / "results"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
NOWHERE = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}
ALONE = {**NOWHERE, "CUDA_VISIBLE_DEVICES": ""}


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def printed(notebook):
    """What all cells printed."""
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    stdout = [output for output in outputs if output.get("name") == "stdout"]
    return "".join("".join(output["text"]) for output in stdout)


def stored(name):
    return json.loads((FOLDER / f"{name}.ipynb").read_text())


# What a test runs less of: the same cells with fewer steps and tasks.
SHORTER = {
    "reproduce": {
        "meta_iterations=300": 'meta_iterations=4, jit_compile="false", eval_inner_steps=5',
        "checkpoint_every=150": "checkpoint_every=2",
        "validation_tasks=40": "validation_tasks=4",
        "test_tasks=100": "test_tasks=5",
        "(50, 200)": "(5, 20)",
    },
    "the_idea": {
        "steps_per_epoch=1000": "steps_per_epoch=100",
        "1000 * epoch": "100 * epoch",
        "meta_batch_size=20, tasks=100": "meta_batch_size=20, tasks=20",
    },
    "your_images": {
        "meta_iterations=400": "meta_iterations=60",
        "steps_per_epoch=200": "steps_per_epoch=30",
        '"test", 200)': '"test", 20)',
        '"validation", 40)': '"validation", 4)',
    },
}


def check_the_idea(text, gain=4, tasks=100, accuracy=96.4, queries=2):
    """Waves are fitted after meta-training only, and the network that ships has its accuracy.

    A few queries may be named otherwise on another processor.
    """
    losses = [float(x) for x in re.findall(r"^([\d.]+) ± [\d.]+ \(100 tasks", text, re.MULTILINE)]
    assert len(losses) == 2 and losses[1] < losses[0] / gain
    found = rf"^([\d.]+) % ± [\d.]+ \({tasks} tasks, 5-way"
    (percent,) = re.findall(found, text, re.MULTILINE)
    assert abs(float(percent) - accuracy) < 100 * (queries + 0.5) / (5 * tasks)


def check_your_images(text, gain=25, least=71):
    """Meta-training helps, and the learner and the export name most images."""
    before, after = re.findall(r"(?:weights|trained): +([\d.]+) %", text)
    assert float(after) > float(before) + gain
    named = re.findall(r"^(\d+) of 90 other images are named rightly", text, re.MULTILINE)
    assert len(named) == 2 and all(int(number) >= least for number in named)


def check_reproduce(text, meta_iterations=300):
    """A run, its evaluation of two kinds, and the paper's numbers beside the recorded ones."""
    assert f"meta_iterations: {meta_iterations} (the paper's run: 100000)" in text
    intervals = re.findall(r"5-way 1-shot, (?:in|trans)ductive: [\d.]+ ± ([\d.]+) %", text)
    few, _, many, _, *recorded = map(float, intervals)
    assert 0 < many < few and len(recorded) == 2
    assert "95.39 ± 0.09" in text and "97.68 ± 0.04" in text


CHECKS = {
    "reproduce": check_reproduce,
    "the_idea": check_the_idea,
    "your_images": check_your_images,
}
# What is asked of the shorter ones.
LESS = {
    "reproduce": {"meta_iterations": 4},
    # Of the first 20 tasks: if another network ships, run the notebook again and change both.
    "the_idea": {"gain": 1.5, "tasks": 20, "accuracy": 95.0, "queries": 1},
    "your_images": {"gain": 5, "least": 45},
}


def shorter(name):
    """The text of a notebook that runs less."""
    text = (FOLDER / f"{name}.ipynb").read_text()
    for whole, less in SHORTER[name].items():
        whole, less = (json.dumps(each)[1:-1] for each in (whole, less))
        assert text.count(whole) == 1, f"{whole} is not in {name}.ipynb once: change SHORTER"
        text = text.replace(whole, less)
    return text


@pytest.fixture
def alone(monkeypatch):
    """Without a network and a GPU."""
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package, reason="needs pip install '.[notebooks]'")
    for variable, value in ALONE.items():
        monkeypatch.setenv(variable, value)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_from_top_to_bottom(name, alone, tmp_path):
    (tmp_path / "shorter.ipynb").write_text(shorter(name))
    program = "tests/support/notebook_cells.py", tmp_path / "shorter.ipynb"
    ((status, text, err, _),) = warm.run_together([program], FOLDER, [ALONE])
    assert status == 0, text + err
    CHECKS[name](text, **LESS[name])


@pytest.mark.slow
@pytest.mark.process
def test_a_kernel_runs_a_notebook_whose_outputs_are_kept(alone, tmp_path):
    spec = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    notebook = stored("the_idea")
    drawn = "import matplotlib.pyplot as plt\n%matplotlib inline\nplt.plot([1]);"
    code = [drawn, "import os\nprint(os.listdir())\nlen('ab')"]
    cell = code_cells(notebook)[0]
    notebook["cells"] = [{**cell, "id": f"{i}", "source": each} for i, each in enumerate(code)]
    (tmp_path / "short.ipynb").write_text(json.dumps(notebook))
    ran = module.executed(tmp_path / "short.ipynb")
    assert "the_idea.ipynb" in printed(ran)
    kinds = [[output["output_type"] for output in cell["outputs"]] for cell in ran.cells]
    assert kinds == [["display_data"], ["stream", "execute_result"]]


@pytest.mark.parametrize("which", [0, 1])
def test_a_notebook_shows_the_recorded_results_of_today(which):
    record = json.loads((RESULTS / "omniglot_5way_1_shot.json").read_text())["results"][which]
    percent, half = (100 * record[name] for name in ("accuracy", "confidence_95"))
    assert f": {percent:.2f} ± {half:.2f} %, {record['tasks']:,} tasks" in printed(
        stored("reproduce")
    )


def test_a_notebook_shows_every_field_that_a_recipe_has_today():
    text = printed(stored("reproduce"))
    listed = text[text.index("dataset:") : text.index("\nsource:")]
    fields = [field.name for field in dataclasses.fields(Recipe) if field.name not in NOTES]
    assert re.findall(r"^(\w+): ", listed, re.MULTILINE) == fields


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_keeps_what_it_showed_and_is_small(name):
    notebook = stored(name)
    CHECKS[name](printed(notebook))
    numbers = [cell["execution_count"] for cell in code_cells(notebook)]
    assert numbers == [*range(1, len(numbers) + 1)]
    kinds = {o.get("name", o["output_type"]) for c in code_cells(notebook) for o in c["outputs"]}
    assert kinds <= {"stdout", "display_data", "execute_result"}
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 300_000


@pytest.mark.parametrize(
    ("program", "words", "message"),
    [
        (
            "notebooks/run.py",
            ["the_ida"],
            "run.py: there is no notebook 'the_ida'. Use reproduce, ",
        ),
        ("demo_gif.py", [], "demo_gif.py: give the page that bin/demo --static=page.html has writ"),
        ("demo_gif.py", ["no.html"], "demo_gif.py: give the page that bin/demo --static=page.h"),
    ],
)
def test_the_programs_of_the_pages_refuse_what_is_not_there_in_one_line(program, words, message):
    command = [sys.executable, FOLDER.parent / program, *words]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
    assert ended.stderr.startswith(message)
