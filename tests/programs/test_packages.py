"""What the wheel and the source distribution hold, by their lists; .ci/run installs the package."""

import fnmatch
import tomllib
from pathlib import Path

import pytest

from keras_reptile.programs import start

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# What a build makes, and a run that is going on.
LEFT_OUT = {"build", "dist", "runs", "site", "unfinished"}
# What setuptools takes by itself.
TAKEN = {"LICENSE", "MANIFEST.in", "README.md", "keras_reptile", "pyproject.toml"}
# What it writes into a source distribution.
TAKEN |= {"PKG-INFO", "setup.cfg"}


def test_the_wheel_has_every_file_of_the_package():
    patterns = ["*.py", *PROJECT["tool"]["setuptools"]["package-data"]["*"]]
    files = [p for p in (ROOT / "keras_reptile").rglob("*") if p.is_file()]
    files = [p for p in files if "__pycache__" not in p.parts]
    assert len(files) > 150
    for path in files:
        assert any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns), path
        # Data lies in packages: of other folders setuptools takes nothing.
        assert path.suffix == ".py" or any((p / "__init__.py").exists() for p in path.parents)


def test_the_source_distribution_has_the_tests_and_what_they_read():
    lines = [line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines()]
    listed = {name for line in lines if line[0] in ("graft", "include") for name in line[1:]}
    there = {p.name for p in ROOT.iterdir() if p.name[0] != "." and "egg-info" not in p.name}
    assert there - LEFT_OUT <= listed | TAKEN
    assert all((ROOT / name).exists() for name in listed)


@pytest.mark.parametrize("name", PROJECT["project"]["scripts"])
def test_the_installed_command_is_there(name):
    module, function = PROJECT["project"]["scripts"][name].split(":")
    assert module == start.__name__ and callable(getattr(start, function))
