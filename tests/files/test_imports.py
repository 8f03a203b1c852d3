"""The contracts of imports hold, and fail where an import runs upwards."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).resolve().parents[2]
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(folder):
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"], cwd=folder, capture_output=True, text=True
    )


def test_an_import_upwards_breaks_the_contract(tmp_path):
    ignored = shutil.ignore_patterns("__pycache__", "pretrained_models")
    shutil.copytree(ROOT / "keras_reptile", tmp_path / "keras_reptile", ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    whole = lint(tmp_path)
    assert whole.returncode == 0, whole.stdout
    with open(tmp_path / "keras_reptile" / "kernels" / "row_sums.py", "a") as file:
        file.write("\nfrom keras_reptile.runs import training\n")
    broken = lint(tmp_path)
    assert broken.returncode == 1
    assert "keras_reptile.kernels.row_sums -> keras_reptile.runs.training" in broken.stdout
