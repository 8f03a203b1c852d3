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
