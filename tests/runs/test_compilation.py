"""Which kernels a CPU computes a run by: the processor's choice, which a run keeps."""

import json
import os

import pytest

from keras_reptile.errors import RunError
from keras_reptile.files import processor
from keras_reptile.programs import start
from keras_reptile.recipes.recipe import Recipe
from keras_reptile.runs import compilation
from keras_reptile.runs.compilation import KERNELS, Kernels

LONG = Recipe(precision="mixed_bfloat16")
BY_ONEDNN = {"jit_compile": "auto", "onednn": True, "why": "of its processor"}
CPUINFO = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R)\nflags\t\t: fpu {}\n\nprocessor\t: 1\n"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A function that gives this machine other flags of the processor and oneDNN or not."""

    def change(flags, onednn):
        file = tmp_path / "cpuinfo"
        file.write_text(CPUINFO.format(flags))
        monkeypatch.setattr(processor, "CPUINFO", file)
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)

    return change


@pytest.mark.parametrize(
    ("flags", "onednn", "precision", "by_xla"),
    [
        ("amx_bf16 amx_tile", "1", "mixed_bfloat16", "auto"),
        ("amx_bf16 amx_tile", "1", "float32", True),
        ("amx_bf16 amx_tile", "1", "mixed_float16", True),
        ("amx_bf16 amx_tile", "0", "mixed_bfloat16", True),
        ("avx512_bf16 amx_int8", "1", "mixed_bfloat16", True),
    ],
)
def test_onednn_computes_bfloat16_where_a_processor_has_tiles(
    flags, onednn, precision, by_xla, machine
):
    machine(flags, onednn)
    found = compilation.of_training(Recipe(precision=precision))
    assert (found.jit_compile, found.onednn) == (by_xla, onednn == "1")
    reason = "long enough" if by_xla is True else "(amx_bf16)"
    assert f"those of {'XLA' if by_xla is True else 'oneDNN'}: " in str(found)
    assert reason in found.why
    assert processor.processor() == "Intel(R) Xeon(R)"


def test_programs_have_onednn_for_bfloat16_where_a_processor_has_tiles(machine, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"settings": {"precision": "mixed_bfloat16"}}))
    commands = ["--precision=mixed_bfloat16"], [f"--checkpoint={tmp_path}"], ["--precision=float32"]
    for flags, expected in (("amx_bf16", ["1", "1", "0"]), ("avx512_bf16", ["0", "0", "0"])):
        machine(flags, "0")
        assert [start.onednn(arguments) for arguments in commands] == expected


def test_a_run_keeps_the_kernels_that_it_began_with(machine):
    machine("avx512_bf16", "1")
    assert compilation.of_training(LONG).jit_compile is True
    kept = compilation.of_training(LONG, {KERNELS: BY_ONEDNN})
    assert kept == Kernels(**BY_ONEDNN)
    assert str(kept) == "The CPU's kernels are those of oneDNN: of its processor."
    assert compilation.of_other_kernels(kept) is None
    # Runs of earlier versions have none, and a flag comes first.
    assert compilation.of_training(LONG, {}).jit_compile is True
    told = Recipe(precision="mixed_bfloat16", jit_compile="true")
    assert compilation.of_training(told, {KERNELS: BY_ONEDNN}).why == "--jit_compile=true"
    machine("avx512_bf16", "0")
    assert "stop, and set TF_ENABLE_ONEDNN_OPTS=1" in compilation.of_other_kernels(kept)


def test_only_kernels_that_the_run_had_before_are_said_to_be_an_earlier_choice():
    kept, now = Kernels(**BY_ONEDNN), compilation.of_training(Recipe(jit_compile="true"))
    run = {KERNELS: BY_ONEDNN}
    before = "The CPU's kernels are those of oneDNN: of its processor. The run had them before."
    assert compilation.in_words(kept, run) == before
    for changed in (compilation.in_words(now, run), compilation.in_words(now, {})):
        assert changed == "The CPU's kernels are those of XLA: --jit_compile=true."
    assert compilation.in_words(kept, None) == str(kept)


@pytest.mark.parametrize("content", [{"jit_compile": True}, [], {**BY_ONEDNN, "jit_compile": 1}])
def test_kernels_that_no_run_writes_are_refused(content):
    with pytest.raises(RunError, match="its cpu_kernels must have jit_compile, onednn and why"):
        compilation.of_training(LONG, {KERNELS: content})


def test_a_program_that_resumes_starts_with_the_runs_onednn(monkeypatch, tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({KERNELS: BY_ONEDNN, "settings": {}}))
    for given, place, expected in (
        (None, tmp_path, "1"),
        ("0", tmp_path, "0"),
        (None, tmp_path / "new", "0"),
    ):
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
        if given:
            monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
        start.set_environment([])
        start.keep_kernels(str(place))
        assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == expected
