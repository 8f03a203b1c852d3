"""The programs for data other than images run, on a few tasks."""

import re

import pytest
import warm

LABELS = {
    "text": ["Random weights, after", "Meta-learned, before", "Meta-learned, after"],
    "time_series": ["Random weights, after", "Meta-learned, before", "Meta-learned, after"],
    "several_inputs": ["Random weights, after", "Meta-learned, before", "Meta-learned, after"],
    "frozen_backbone --backbone=outer": [
        "before meta-training, after",
        "training, before",
        "training, after",
    ],
}


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("name", LABELS)
def test_the_example_prints_results_with_intervals(name, tmp_path):
    program, *flags = name.split()
    command = (f"examples/{program}.py", "--meta_iterations=2", "--test_tasks=5", *flags)
    status, out, err = warm.run(*command, cwd=tmp_path)
    assert status == 0, err
    printed = [line for line in out.splitlines() if "adaptation:" in line]
    for line, label in zip(printed, LABELS[name], strict=True):
        assert label in line
        assert re.search(r"adaptation: +[\d.]+ (% )?± [\d.]+ \(5 tasks, ", line)


REFUSED = {
    "frozen_backbone --backbone=frozn": "It must be one or more of frozen, outer, both.",
    "time_series --test_tasks=7": "It must be a multiple of 5.",
    "several_inputs --test_tasks=0": "0 is not integer >= 5",
    "new_alphabet --shots=5,15": "They must be 1 to 10.",
    "new_alphabet --data_dir=nowhere": "new_alphabet.py: data_dir='nowhere' is not a directory.",
    "other_test_classes --data_dir=nowhere": "other_test_classes.py: data_dir='nowhere' is not",
    "text 300": "Only flags are accepted. Received: ['300'].",
}


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("command", REFUSED)
def test_what_an_example_would_ignore_or_fail_with_is_refused_at_its_start(command, tmp_path):
    program, *words = command.split()
    status, out, err = warm.run(f"examples/{program}.py", *words, cwd=tmp_path)
    assert status == 1 and REFUSED[command] in out + err
    assert "Traceback" not in err and "adaptation" not in out


def test_every_example_refuses_what_is_no_flag():
    programs = [*(warm.ROOT / "examples").glob("*.py")]
    assert len(programs) > 5
    assert all("raise app.UsageError" in program.read_text() for program in programs)
