"""What the benchmark of absent accelerators says where a compiler is not installed."""

import subprocess
import sys
from pathlib import Path

import pytest
from accelerators import compiler, plugins

from keras_reptile.threads import ON_A_GPU

PROGRAM = Path(__file__).resolve().parents[2] / "benchmarks" / "accelerator_programs.py"


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A function that installs packages, by name and version, in an environment without others."""

    def install(device, **versions):
        for name, version in versions.items():
            where = tmp_path / device / f"{name}-{version}.dist-info"
            where.mkdir(parents=True)
            (where / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")

    monkeypatch.setenv(plugins.VARIABLE, str(tmp_path))
    monkeypatch.setattr(sys, "path", [str(tmp_path / "environment")])
    return install


def test_without_jax_the_extra_is_named(installed):
    assert plugins.missing("gpu") == (
        f"needs jax {plugins.JAX}, found none. Install it: pip install '.[accelerators]'"
    )


def test_another_version_of_jax_is_named(installed):
    installed("environment", jax=plugins.JAX, jaxlib="0.1.0")
    assert f"needs jaxlib {plugins.JAX}, found 0.1.0. Install it" in plugins.missing("tpu")


def test_a_compiler_that_is_not_there_is_named_with_the_command(installed, tmp_path):
    installed("environment", jax=plugins.JAX, jaxlib=plugins.JAX)
    folder = tmp_path / "tpu"
    assert plugins.missing("tpu") == (
        f"needs libtpu 0.0.42 in {folder}, found none. Install it: python -m pip install "
        f'--no-deps --target {folder} "libtpu==0.0.42.*"'
    )


def test_another_version_of_a_compiler_is_named(installed):
    installed("environment", jax=plugins.JAX, jaxlib=plugins.JAX)
    installed("gpu", jax_cuda12_plugin=plugins.JAX, jax_cuda12_pjrt="0.10.20")
    assert f"needs jax-cuda12-pjrt {plugins.JAX} in " in plugins.missing("gpu")
    assert "found 0.10.20. Install it" in plugins.missing("gpu")


def test_nothing_is_missing_where_all_is_installed(installed):
    installed("environment", jax=plugins.JAX, jaxlib=plugins.JAX)
    installed("gpu", jax_cuda12_plugin=plugins.JAX, jax_cuda12_pjrt=plugins.JAX)
    installed("tpu", libtpu="0.0.42.1")
    assert (plugins.missing("gpu"), plugins.missing("tpu")) == (None, None)
    of_jax = {"jax": plugins.JAX, "jaxlib": plugins.JAX}
    assert plugins.versions("tpu") == {**of_jax, "libtpu": "0.0.42.1"}


@pytest.mark.process
def test_the_program_says_so_in_a_line_for_each_device(tmp_path):
    command = [sys.executable, str(PROGRAM), f"--plugins={tmp_path}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    first, second = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert first.startswith("accelerator_programs.py: gpu: needs jax") and "pip install" in first
    assert second.startswith("accelerator_programs.py: tpu: needs ") and "pip install" in second


def test_programs_are_compiled_with_the_flags_of_the_programs_in_bin():
    assert {f"--{name}": value for name, value in compiler.XLA_FLAGS.items()} == ON_A_GPU
