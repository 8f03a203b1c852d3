"""The Python of docs/how_to/devices.md, on the devices that there are."""

import re
from pathlib import Path

import pytest
import warm

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how_to" / "devices.md"
# What the page takes for granted, and small.
BEFORE = """
import keras
import tensorflow as tf
import keras_reptile as kr
pools = kr.datasets.load("glyphs", classes=30, validation_classes=8, test_classes=8)
small = dict(ways=5, shots=1, inner_batch_size=5, inner_steps=2, meta_batch_size=2)
episodes = kr.episode_dataset(pools.train, **small)
validation = kr.episode_dataset(pools.validation, tasks=3, **small)
tests = kr.episode_dataset(pools.test, tasks=3, **small)
"""
AFTER = "\nassert model.meta_iteration == 2"


@pytest.mark.slow
@pytest.mark.process
def test_a_model_is_built_and_trained_under_a_strategy_as_the_page_says(tmp_path):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert "steps_per_epoch=1000" in block
    shorter = block.replace("steps_per_epoch=1000", "steps_per_epoch=2")
    status, _, err = warm.run_source(BEFORE + shorter + AFTER, tmp_path)
    assert status == 0, err
