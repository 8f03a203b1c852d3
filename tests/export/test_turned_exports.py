"""Exports that solve each task in several orientations."""

import json

import numpy as np
import pytest
import tensorflow as tf
import warm
from commands import SHORT, run
from helpers import image_pool, small_model, turned_by_numpy

import keras_reptile as kr

KINDS = ("inductive", "transductive")


@pytest.fixture(scope="module")
def task():
    """The support set and the queries of one task."""
    tasks = kr.episode_dataset(image_pool(images=40), ways=3, shots=2, queries=4, scale=True)
    drawn = next(iter(tasks))
    (x, y), (query_x, _) = drawn["support"], drawn["query"]
    return x[0].numpy(), y[0].numpy().astype(np.int64), query_x[0].numpy()


@pytest.mark.slow
def test_the_logits_are_the_mean_of_those_for_images_that_numpy_turned(task, tmp_path):
    model = small_model()
    model.export_learner(tmp_path / "one")
    model.export_learner(tmp_path / "four", orientations=np.int64(4))
    one, four = (tf.saved_model.load(str(tmp_path / name)) for name in ("one", "four"))
    x, y, query_x = task
    for kind in KINDS:
        alone = getattr(one, f"adapt_and_predict_{kind}")
        turned = [[turned_by_numpy(images, r) for images in (x, query_x)] for r in range(4)]
        each = [alone(support_x, y, queries, 3, 0.02) for support_x, queries in turned]
        found = getattr(four, f"adapt_and_predict_{kind}")(x, y, query_x, 3, 0.02)
        np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-5)
        assert np.abs(found - each[0]).max() > 1e-3
    numbers = {"steps": tf.constant(3, tf.int64), "learning_rate": tf.constant(0.02)}
    images = {"support_images": tf.constant(x), "query_images": tf.constant(query_x)}
    given = {**images, "support_labels": tf.constant(y), **numbers}
    served = four.signatures["serving_default"](**given)["logits"]
    np.testing.assert_allclose(served, four.adapt_and_predict(x, y, query_x, 3, 0.02), atol=1e-6)
    for name in ("support_images", "query_images"):
        wrong = {**given, name: given[name][..., 0]}
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{name}` must have"):
            four.signatures["adapt_and_predict_inductive"](**wrong)
    # The other endpoints compute in one orientation.
    np.testing.assert_allclose(four.serve(x), one.serve(x), atol=1e-6)
    for name, number in (("one", 1), ("four", 4)):
        metadata = json.loads((tmp_path / name / "metadata.json").read_text())
        assert metadata["orientations"] == number


def test_orientations_are_checked_before_anything_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"`orientations` must be one of .*orientations=3"):
        small_model().export_learner(tmp_path / "learner", orientations=3)
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
@pytest.mark.process
def test_the_program_exports_orientations_with_a_saved_model_only(tmp_path):
    status, _, err = warm.run("tests/support/train_small.py", *SHORT, cwd=tmp_path)
    assert status == 0, err
    arguments = ("export", "--checkpoint=runs/glyphs", "--output=out", "--orientations=2")
    status, _, err = run(*arguments, "--only_model", cwd=tmp_path)
    assert status == 1 and not (tmp_path / "out").exists()
    assert "Received: orientations=2, only_model=True. Leave one of them out" in err
    assert run(*arguments, cwd=tmp_path)[0] == 0
    metadata = json.loads((tmp_path / "out" / "metadata.json").read_text())
    assert metadata["orientations"] == 2
