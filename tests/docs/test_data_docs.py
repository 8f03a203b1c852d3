"""docs/how_to/data.md says what `kr.datasets.load` takes, and what the example prints."""

import inspect
import re
from pathlib import Path

import pytest
import warm

from keras_reptile.datasets import class_split, folder, glyphs, mini_imagenet, omniglot, tfds_images

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how_to" / "data.md").read_text()
REQUIRED = inspect.Parameter.empty
SOURCES = {
    "glyphs": [glyphs.load],
    "omniglot": [omniglot.load],
    "mini_imagenet": [mini_imagenet.load],
    "folder": [folder.load, class_split.split_classes],
    "tfds:NAME": [tfds_images.load, class_split.split_classes],
}


def options_on_the_page():
    """By data set, each option with its default."""
    lines = PAGE.splitlines()
    (start,) = [i for i, line in enumerate(lines) if line.startswith("| option |")]
    header, _, *rest = lines[start:]
    rows = [line.strip("|").split("|") for line in rest[: rest.index("")]]
    found = {}
    for place, name in enumerate(header.strip("|").split("|")[2:], start=2):
        cells = {row[0].strip(" `"): row[place].strip() for row in rows}
        found[name.strip(" `")] = {
            option: REQUIRED if cell == "required" else eval(cell.strip("`"))
            for option, cell in cells.items()
            if cell
        }
    return found


@pytest.mark.parametrize("name", SOURCES)
def test_the_options_are_those_of_the_data_set(name):
    taken = {}
    for function in SOURCES[name]:
        taken |= inspect.signature(function).parameters
    named = {
        option: parameter.default
        for option, parameter in taken.items()
        if option not in ("name", "pool") and parameter.kind is not parameter.VAR_KEYWORD
    }
    assert options_on_the_page()[name] == named


@pytest.mark.process
def test_the_example_prints_the_command_of_the_page(tmp_path):
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install '.[examples]'")
    command = ("examples/digits.py", "--test_tasks=20", "--meta_iterations=2")
    status, out, err = warm.run(*command, cwd=tmp_path)
    assert status == 0, err
    (documented,) = re.findall(r"^bin/train --image_dir=runs/digits_png.*$", PAGE, re.MULTILINE)
    printed = out.strip().splitlines()[-1]
    assert printed == documented.replace("--meta_iterations=1000", "--meta_iterations=2")
