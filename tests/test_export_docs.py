import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "export.md"


def test_the_pages_python_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 5
    names = {}
    exec("\n".join(blocks), names)
    assert names["logits"].shape == (8, 5)
    assert float(names["loss"]) < 0.5
    assert names["learner"].predict(names["query_images"], verbose=0).shape == (8, 5)
