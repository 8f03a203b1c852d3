"""README's Python, as a reader runs it, with fewer meta-iterations and tasks."""

import re
import subprocess
import sys
from pathlib import Path

from processes import environment

README = Path(__file__).resolve().parents[2] / "README.md"
SHORTER = {
    "meta_iterations=5000": "meta_iterations=20",
    "epochs=5, steps_per_epoch=1000": "epochs=2, steps_per_epoch=10",
    "tasks=1000": "tasks=20",
}
SHOWN = "\nprint('predicted', learner.predict(task['query'][0][0], verbose=0).shape)"


def shorter(source):
    for long, short in SHORTER.items():
        assert source.count(long) == 1
        source = source.replace(long, short)
    return source


def test_the_python_of_the_readme_runs_and_is_better_than_chance(shared, tmp_path):
    (source,) = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    ended = subprocess.run(
        [sys.executable, "-c", shorter(source) + SHOWN],
        cwd=tmp_path,
        env=environment(TFDS_DATA_DIR=str(shared / "tensorflow_datasets")),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ended.returncode == 0, ended.stderr
    (accuracy,) = re.findall(r"^Evaluation\(accuracy=([\d.]+)", ended.stdout, flags=re.MULTILINE)
    assert float(accuracy) > 0.3
    assert "predicted (5, 5)" in ended.stdout
