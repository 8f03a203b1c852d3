"""How benchmarks start, what they refuse before they measure, and what they keep."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import warm

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
PROGRAM = """
import sys
from absl import flags
from benchmark import define_json, figures, run
from only import define_only

define_only(["first", "second", "broken"], "What to measure.")
define_json("File for the figures.")


def main():
    with figures(lambda: {"command": "of a test"}) as found:
        for name in flags.FLAGS.only:
            if name == "broken":
                sys.exit("program.py: it is broken.")
            print("measured", name)
            found[name] = [1.5]


run(main)
"""


def ended(folder, *arguments, program=PROGRAM):
    (folder / "program.py").write_text(program)
    command = [sys.executable, "program.py", *arguments]
    environment = {"PATH": "", "PYTHONPATH": str(BENCHMARKS)}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def test_figures_are_written_with_the_facts(tmp_path):
    found = ended(tmp_path, "--only=first,second", "--json=found.json")
    assert found.returncode == 0, found.stderr
    content = json.loads((tmp_path / "found.json").read_text())
    assert content == {"first": [1.5], "second": [1.5], "command": "of a test"}


def test_what_was_measured_before_a_failure_is_kept_as_incomplete(tmp_path):
    found = ended(tmp_path, "--only=first,broken", "--json=found.json")
    assert found.returncode == 1 and found.stderr == "program.py: it is broken.\n"
    content = json.loads((tmp_path / "found.json").read_text())
    assert content == {"first": [1.5], "incomplete": True, "command": "of a test"}


def test_an_error_of_the_user_is_one_line_and_any_other_a_traceback(tmp_path):
    errors = tmp_path / "keras_reptile" / "errors.py"
    errors.parent.mkdir()
    (errors.parent / "__init__.py").touch()
    errors.write_text("class RunError(Exception):\n    pass\n")
    body = "from benchmark import run\nfrom keras_reptile.errors import RunError\n\n\n"
    for error, is_line in (("RunError", True), ("ValueError", True), ("KeyError", False)):
        program = f"{body}def main():\n    raise {error}('It is wrong.')\n\n\nrun(main)\n"
        found = ended(tmp_path, program=program)
        assert found.returncode == 1
        assert (found.stderr == "program.py: It is wrong.\n") == is_line
        assert ("Traceback" in found.stderr) != is_line


def test_a_file_stays_if_nothing_was_measured(tmp_path):
    (tmp_path / "found.json").write_text("before")
    assert ended(tmp_path, "--only=broken", "--json=found.json").returncode == 1
    assert (tmp_path / "found.json").read_text() == "before"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--json=nowhere/found.json", "--json=nowhere/found.json: It must be a file in a folder"),
        ("--json=.", "--json=.: It must be a file in a folder"),
        ("second", "program.py: only flags are accepted, as --name=value. Received: second"),
        ("--only=", "It must be one or more of first, second, broken."),
        ("--only=third", "It must be one or more of first, second, broken."),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_measured(argument, message, tmp_path):
    found = ended(tmp_path, argument)
    assert found.returncode == 1 and found.stdout == ""
    assert message in found.stderr and "Traceback" not in found.stderr


def test_every_benchmark_starts_so():
    programs = {path for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text()}
    assert len(programs) > 10
    for path in programs:
        source = path.read_text()
        assert source.endswith("    run(main)\n"), path.name
        assert ('"json"' in source) is False, path.name


def started(program, *arguments, before=""):
    """What becomes of a benchmark that does not begin to measure."""
    source = f"import runpy, sys\nsys.argv = {[program, *arguments]}\n{before}\n"
    source += f"runpy.run_path({str(BENCHMARKS / program)!r}, run_name='__main__')"
    command = [sys.executable, "-c", source]
    environment = {"PATH": "", "PYTHONPATH": str(BENCHMARKS)}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


def test_packages_that_are_not_installed_are_named_before_anything_is_timed():
    hide = "import importlib.util\nfound = importlib.util.find_spec\n"
    hide += "hidden = lambda name: None if name in ('jax', 'torch') else found(name)\n"
    hide += "importlib.util.find_spec = hidden"
    status, err = started("compare.py", "--only=jax_vmap,pytorch_loop", before=hide)
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("compare.py: jax, torch not installed. Install: pip install '.[benchma")


def test_processes_that_share_no_meta_batch_are_refused_before_anything_is_timed():
    status, err = started("scale.py", "--processes=1,3", "--tasks=4,8")
    assert (status, err.count("\n")) == (1, 1)
    assert err.startswith("scale.py: 3 processes must share a meta-batch evenly. Received: --tasks")


@pytest.mark.slow
def test_a_candidate_of_another_search_is_refused_before_anything_is_trained():
    status, err = started("recipe_search.py", "--recipe=omniglot_20way", "--only=paper,batch_5")
    assert status == 1 and "--only must name candidates of --recipe's search" in err


KERNELS = """
import os, sys
sys.path.insert(0, {benchmarks!r})
os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
import meta_step, made_up
from absl import flags
from keras_reptile.recipes import named

flags.FLAGS(["meta_step.py"])
for name in ("omniglot_5way", "mini_imagenet_5way_5shot", "cub_5way", "sinusoid"):
    shape = made_up.training_pool(named.get(name)).image_shape
    print(name, meta_step.onednn(name), *shape)
"""


@pytest.mark.process
@pytest.mark.slow
def test_a_recipe_is_timed_with_its_own_kernels_and_images(tmp_path):
    source = KERNELS.format(benchmarks=str(BENCHMARKS))
    status, out, err = warm.run_source(source, tmp_path)
    assert status == 0, err
    assert out.splitlines() == [
        "omniglot_5way 0 28 28 1",
        "mini_imagenet_5way_5shot 1 84 84 3",
        "cub_5way 1 84 84 3",
        "sinusoid 0 1",
    ]
