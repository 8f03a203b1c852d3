"""docs/how_to/extending.md, as a reader runs it: from top to bottom, in a process of its own."""

import json
import re
from pathlib import Path

import pytest
import warm

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "extending.md"
SHORTER = {
    "steps_per_epoch=20": "steps_per_epoch=2",
    "meta_iterations=200": "meta_iterations=4",
    "checkpoint_every=100": "checkpoint_every=4, eval_inner_steps=2, "
    "test_tasks=4, validation_tasks=4",
}


@pytest.mark.slow
@pytest.mark.process
def test_the_pages_method_network_and_data_set_are_those_of_its_run(tmp_path):
    source = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL))
    for long, short in SHORTER.items():
        assert long in source
        source = source.replace(long, short)
    status, out, err = warm.run_source(source, tmp_path)
    assert status == 0, err
    settings = json.loads((tmp_path / "runs/stripes/run.json").read_text())["settings"]
    chosen = (settings["method"], settings["network"], settings["dataset"])
    assert chosen == ("last_step_twice", "small_convnet", "stripes")
    classes = json.loads((tmp_path / "runs/stripes/classes.json").read_text())
    assert [len(classes[part]) for part in ("train", "validation", "test")] == [30, 10, 20]
    assert "'accuracy':" in out
