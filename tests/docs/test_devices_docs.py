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
from helpers import one_block_network
import keras_reptile as kr
pools = kr.datasets.load("glyphs", classes=30, validation_classes=8, test_classes=8)
small = dict(ways=5, shots=1, inner_batch_size=5, inner_steps=2, meta_batch_size=2)
episodes = kr.episode_dataset(pools.train, **small)
validation = kr.episode_dataset(pools.validation, tasks=3, **small)
tests = kr.episode_dataset(pools.test, tasks=3, **small)
"""
BETWEEN = """
assert model.meta_iteration == 2
pool = pools.train
layers = [keras.layers.Flatten(), keras.layers.Dense(5)]
model = kr.ReptileModel(keras.Sequential([keras.Input((28, 28, 1)), *layers]))
"""
AFTER = "\nassert model.meta_iteration == 2"


@pytest.mark.slow
@pytest.mark.process
def test_models_are_trained_under_a_strategy_and_draw_on_the_device_as_the_page_says(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert all("steps_per_epoch=1000" in block for block in blocks)
    under_a_strategy, drawing = (b.replace("epoch=1000", "epoch=2") for b in blocks)
    assert "kr.networks.omniglot_convnet(" in under_a_strategy
    under_a_strategy = under_a_strategy.replace("kr.networks.omniglot_convnet", "one_block_network")
    source = BEFORE + under_a_strategy + BETWEEN + drawing + AFTER
    status, _, err = warm.run_source(source, tmp_path)
    assert status == 0, err
