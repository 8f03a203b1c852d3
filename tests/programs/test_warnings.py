"""A warning of a program is a line that begins with the program's name, as its errors do."""

import logging
import sys
import warnings

import pytest
import warm
from absl import logging as absl_logging

from keras_reptile.programs.command_line import name_the_program_in_warnings


@pytest.fixture
def in_train(monkeypatch):
    handler = absl_logging.get_absl_handler()
    before = handler.formatter
    monkeypatch.setattr(sys, "argv", ["bin/train"])
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    name_the_program_in_warnings()
    yield handler
    handler.setFormatter(before)


def test_a_warning_is_a_line_with_the_programs_name(in_train):
    record = logging.LogRecord("absl", logging.WARNING, "a.py", 3, "%d of %d", (3, 10), None)
    assert in_train.format(record) == "train: 3 of 10"
    text = warnings.formatwarning(UserWarning("Not compiled: why."), UserWarning, "a.py", 3)
    assert text == "train: Not compiled: why.\n"
    numbers = warnings.formatwarning(RuntimeWarning("overflow"), RuntimeWarning, "a.py", 3, "x")
    assert numbers == "a.py:3: RuntimeWarning: overflow\n  x\n"


@pytest.mark.slow
@pytest.mark.process
def test_a_whole_program_warns_in_lines_of_its_own(tmp_path):
    run = ["--dataset=sinusoid", "--meta_iterations=1", "--validation_tasks=1", "--test_tasks=1"]
    how = ["--output_dir=run", "--method=maml", "--jit_compile=true"]
    status, _, err = warm.run("bin/train", *run, *how, cwd=tmp_path)
    assert (status, err) == (
        0,
        "train: Training is not compiled: XLA does not compile MAML's gradient through the loop "
        "for every network.\n",
    )
