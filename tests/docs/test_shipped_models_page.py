"""The page of shipped models has a card for each, with what the model's own file says."""

from pathlib import Path

import keras_reptile as kr

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "shipped_models.md").read_text()


def test_each_model_has_a_card_with_its_use_and_limits():
    sections = {part.split("\n", 1)[0]: part for part in PAGE.split("\n## ")[1:]}
    assert sorted(sections) == kr.pretrained_names()
    for name, text in sections.items():
        assert f"<!-- table: card_{name} -->" in text
        for needed in ("Intended use", "Not intended", "Limits", "Licence", f"--recipe={name}"):
            assert needed in text, needed


def test_a_card_says_what_the_model_says():
    for name in kr.pretrained_names():
        settings = kr.pretrained(name).metadata["settings"]
        assert f"| seed | {settings['seed']} |" in PAGE
        assert f"{settings['method']}, {settings['meta_iterations']:,} meta-iterations" in PAGE
