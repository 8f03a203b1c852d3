"""The README's Python, as a reader runs it, and the README's length."""

import json
import re
from pathlib import Path

import pytest
import warm

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
FIRST_STEPS = ROOT / "docs" / "tutorials" / "first_steps.md"
SHORTER = {
    "meta_iterations=5000": "meta_iterations=40",
    "epochs=5, steps_per_epoch=1000": "epochs=2, steps_per_epoch=20",
    "tasks=1000": "tasks=20",
    'load("glyphs").train': 'load("glyphs", classes=250).train',
    "steps_per_epoch=100)": "steps_per_epoch=3)",
}
LEARNED = """
import json
print(json.dumps(float((predictions.argmax(-1) == task["query"][1][0].numpy()).mean())))
"""


def python_of(page):
    """The page's Python, one block after another, with fewer meta-iterations and tasks."""
    source = "\n".join(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL))
    for long, short in SHORTER.items():
        source = source.replace(long, short)
    return source


def run(source, folder, **variables):
    (folder / "page.py").write_text(source)
    ((status, out, err, _),) = warm.run_together([(folder / "page.py",)], folder, [variables])
    assert status == 0, err
    return out


@pytest.mark.slow
@pytest.mark.process
def test_the_python_of_the_readme_learns_five_characters_and_draws_them(tmp_path):
    out = run(python_of(README) + LEARNED, tmp_path)
    # As the caption of the picture says.
    assert "named all 15 others right" in README.read_text()
    assert json.loads(out.splitlines()[-1]) == 1.0
    assert (tmp_path / "task.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.process
def test_the_python_of_the_first_steps_runs_and_is_better_than_chance(shared, tmp_path):
    shown = "\nprint('predicted', learner.predict(task['query'][0][0], verbose=0).shape)"
    data = str(shared / "tensorflow_datasets")
    out = run(python_of(FIRST_STEPS) + shown, tmp_path, TFDS_DATA_DIR=data)
    (accuracy,) = re.findall(r"^([\d.]+) % ± [\d.]+ \(20 tasks", out, flags=re.MULTILINE)
    assert float(accuracy) > 30
    assert "predicted (5, 5)" in out


def test_the_readme_is_read_in_a_few_minutes():
    assert len(README.read_text().split()) <= 700
