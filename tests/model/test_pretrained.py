import json
import sys

import keras
import numpy as np
import pytest
from helpers import differences, small_episodes, small_model

import keras_reptile as kr
from keras_reptile.errors import RunError
from keras_reptile.export.portable import export_portable
from keras_reptile.pretrained import MODELS

pretrained = sys.modules["keras_reptile.pretrained"]


@pytest.fixture(scope="module")
def model():
    """A model whose outer optimizer has slots. No test changes it."""
    model = small_model(transductive=True)
    model.compile(keras.optimizers.Adam(0.01))
    model.fit(small_episodes(), steps_per_epoch=4, verbose=0)
    return model


@pytest.fixture
def exported(model, tmp_path):
    export_portable(model, tmp_path / "small", metadata={"result": {"accuracy": 0.5}})
    return tmp_path / "small"


def test_a_path_may_begin_with_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "small").mkdir()
    for name in pretrained.NEEDED:
        (tmp_path / "small" / name).touch()
    assert pretrained._directory("~/small") == tmp_path / "small"


@pytest.mark.slow
def test_an_exported_model_comes_back_with_its_carried_state(model, exported):
    loaded = kr.pretrained(exported)
    assert differences(model, loaded) == 0.0
    assert len(loaded.inner_variables) > 0
    assert max(np.abs(v.numpy()).max() for v in loaded.inner_variables) > 0
    assert loaded.transductive is True
    assert loaded.metadata["result"] == {"accuracy": 0.5}
    assert json.loads(json.dumps(loaded.metadata)) == loaded.metadata
    tests = small_episodes(tasks=6)
    assert loaded.evaluate(tests, verbose=0) == model.evaluate(tests, verbose=0)


@pytest.mark.slow
def test_the_outer_optimizers_slots_stay_behind(exported):
    loaded = kr.pretrained(exported)
    assert [v.name for v in loaded.optimizer.variables] == ["iteration", "learning_rate"]
    loaded.fit(small_episodes(), steps_per_epoch=1, verbose=0)


@pytest.mark.parametrize("name", kr.pretrained_names())
def test_what_ships_is_small_and_says_how_good_it_is(name):
    files = list((MODELS / name).iterdir())
    assert {f.name for f in files} == {"model.keras", "metadata.json"}
    assert sum(f.stat().st_size for f in files) < 2e6
    metadata = kr.pretrained(name).metadata
    assert metadata["result"]["tasks"] >= 1000
    assert 0 < metadata["result"]["confidence_95"] < 0.02
    settings = metadata["settings"]
    assert metadata["meta_iteration"] == settings["meta_iterations"]
    of_images = [settings[name] for name in ("dataset", "image_size", "channels")]
    assert metadata["images"] == kr.datasets.describe(*of_images)


@pytest.mark.slow
def test_the_accuracy_is_what_it_says(shared):
    model = kr.pretrained("omniglot_5way")
    stated = model.metadata["result"]
    pools = kr.datasets.load("omniglot", data_dir=str(shared / "tensorflow_datasets"))
    tasks = kr.episode_dataset(
        pools.test, 5, 1, inner_batch_size=5, inner_steps=50, meta_batch_size=20, seed=7, tasks=40
    )
    measured = kr.evaluate(model, tasks, verbose=0)
    apart = abs(measured.accuracy - stated["accuracy"])
    assert apart < 1.5 * (measured.confidence_95 + stated["confidence_95"])


def test_an_unknown_name_is_refused_with_the_names_there_are(tmp_path):
    names = r"\['omniglot_20way', 'omniglot_20way_best', 'omniglot_5way'\]"
    text = f"one of {names}, or a directory that .*: 'nope"
    with pytest.raises(ValueError, match=text):
        kr.pretrained("nope")
    with pytest.raises(ValueError, match=r"Received: .*test_an_unknown"):
        kr.pretrained(tmp_path)


@pytest.mark.slow
def test_a_damaged_model_is_named(exported):
    (exported / "model.keras").write_bytes(b"damaged")
    with pytest.raises(RunError, match=r"model\.keras cannot be read"):
        kr.pretrained(exported)


@pytest.mark.slow
def test_a_model_that_would_run_code_is_refused(exported):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x + 1)])
    network.save(exported / "model.keras")
    with pytest.raises(RunError, match=r"cannot be read \(ValueError: .*[Ll]ambda"):
        kr.pretrained(exported)
