"""What the wheel and the source distribution hold, by their lists; .ci/run installs the package."""

import fnmatch
import re
import tomllib
from pathlib import Path

import pytest

from keras_reptile.programs import start

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# What setuptools takes by itself.
TAKEN = {"LICENSE", "MANIFEST.in", "README.md", "keras_reptile", "pyproject.toml"}


def test_the_wheel_has_every_file_of_the_package():
    patterns = ["*.py", *PROJECT["tool"]["setuptools"]["package-data"]["*"]]
    files = [p for p in (ROOT / "keras_reptile").rglob("*") if p.is_file()]
    files = [p for p in files if "__pycache__" not in p.parts]
    assert len(files) > 150
    for path in files:
        assert any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns), path
        # Data lies in packages: of other folders setuptools takes nothing.
        assert path.suffix == ".py" or any((p / "__init__.py").exists() for p in path.parents)


def test_the_source_distribution_has_what_the_tests_read():
    lines = [line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines()]
    listed = {name for line in lines if line[0] in ("graft", "include") for name in line[1:]}
    assert all(list(ROOT.glob(pattern)) for pattern in listed)
    sources = [path.read_text() for path in (ROOT / "tests").rglob("*.py")]
    read = {name for source in sources for name in re.findall(r'ROOT / "([\w.]+)"', source)}
    assert {"README.md", "docs", "bin"} <= read
    for name in read - TAKEN | {"benchmarks", "conftest.py", "examples", "tests"}:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in listed), name


@pytest.mark.parametrize("name", PROJECT["project"]["scripts"])
def test_the_installed_command_is_there(name):
    module, function = PROJECT["project"]["scripts"][name].split(":")
    assert module == start.__name__ and callable(getattr(start, function))
