"""Flags that XLA takes, and those at which it would end the process."""

import os

import pytest
import warm

from keras_reptile.programs import xla_flags


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "--xla_cpu_enable_fast_math=false --xla_nonsense=1",
            "XLA_FLAGS='--xla_cpu_enable_fast_math=false --xla_nonsense=1' cannot be used: Unknown "
            "flag in XLA_FLAGS: --xla_nonsense=1. Correct it, or unset it.",
        ),
        ("--xla_cpu_enable_fast_math=false", "--checkpoint is missing"),
    ],
)
def test_a_flag_that_xla_does_not_know_is_said_before_the_work(given, said, tmp_path):
    (ended,) = warm.run_together([("bin/evaluate",)], tmp_path, [{"XLA_FLAGS": given}])
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith(f"evaluate: {said}") and len(ended.err.splitlines()) == 1


def test_a_value_that_xla_does_not_read_is_its_reason():
    line = "E0000 00:00:1 7 flags.cc:93] Couldn't interpret value maybe for flag xla_hlo_profile.\n"
    assert xla_flags.reason_in("noise\n" + line + "F0000 Check failed: usage") == (
        "Couldn't interpret value maybe for flag xla_hlo_profile."
    )
    assert xla_flags.reason_in("F0000 another cause") is None


def test_without_flags_nothing_is_tried(monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setattr(os, "fork", None)
    xla_flags.check(None)
