"""The picture of a run's test tasks."""

import numpy as np
import pytest
import tensorflow as tf
from helpers import image_pool, one_block

import keras_reptile as kr
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.recipes import building, named
from keras_reptile.runs import task_pictures, training

PARTS = image_pool(classes=18, images=14, size=12).split(6, 6, 6)
SMALL = dict(
    image_size=12,
    meta_iterations=1,
    meta_batch_size=1,
    inner_steps=1,
    eval_inner_steps=2,
    validation_tasks=0,
    test_tasks=4,
)


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """A run's directory, the arguments of its picture, and the predictions of its model."""
    calls, models = [], []

    def plot(*arguments):
        calls.append(arguments)
        return plain(*arguments)

    def build(*arguments):
        models.append(on_strategy(*arguments))
        return models[-1]

    plain, on_strategy = task_pictures.plot_tasks, building.on_strategy
    monkeypatch.setattr(task_pictures, "plot_tasks", plot)
    monkeypatch.setattr(building, "on_strategy", build)
    monkeypatch.setattr(building, "load_pools", lambda recipe, data_dir: Pools(*PARTS))
    monkeypatch.setattr(building, "build_network", one_block)
    recipe = named.get("glyphs", **SMALL)
    training.train(recipe, tmp_path, verbose=0)
    tests = building.evaluation_episodes(recipe, PARTS[2], task_pictures.TASKS)
    return tmp_path, calls, tests, models[-1].predict(tests, verbose=0)


def images_in(folder):
    """The images in the events of TensorBoard, by tag."""
    found = {}
    for path in folder.glob("events*"):
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            for value in tf.compat.v1.Event.FromString(record).summary.value:
                if value.metadata.plugin_data.plugin_name == "images":
                    found[value.tag] = tf.io.decode_png(value.tensor.string_val[2]).numpy()
    return found


@pytest.mark.slow
def test_a_run_leaves_a_picture_of_its_first_test_tasks_and_puts_it_into_tensorboard(drawn):
    folder, ((episode, predictions, names),), tests, expected = drawn
    (whole,) = tests
    for part in ("support", "query"):
        np.testing.assert_array_equal(episode[part][0], whole[part][0])
    np.testing.assert_allclose(predictions, expected, atol=1e-5)
    classes = whole["classes"].numpy()
    assert names == [[str(PARTS[2].names[c]) for c in row] for row in classes]
    (shown,) = images_in(folder / "tensorboard").values()
    written = tf.io.decode_png((folder / "tasks.png").read_bytes()).numpy()
    np.testing.assert_array_equal(shown, written)


def test_long_names_are_left_out():
    pool = kr.ClassPool.from_arrays(
        np.zeros((3, 8, 8, 1)), ["cat", "dog", "a long name of a class"]
    )
    assert task_pictures.class_names(pool, np.array([2, 1])) == ["cat", "dog"][::-1]
    assert task_pictures.class_names(pool, np.array([0, 1])) is None


def test_names_that_the_font_lacks_are_left_out():
    pool = kr.ClassPool(np.zeros((3, 8, 8, 1)), [1, 1, 1], ["\u732b", "gar\u00e7on", "\udce9"])
    assert task_pictures.class_names(pool, np.array([1, 2])) == ["gar\u00e7on", r"\udce9"]
    assert task_pictures.class_names(pool, np.array([0, 1])) is None


def test_what_is_no_image_has_no_picture():
    points = kr.ClassPool.from_arrays(np.zeros((4, 2)), np.arange(4))
    assert not task_pictures.has_images(points)
    assert not task_pictures.has_images(kr.datasets.load("sinusoid").test)
    assert task_pictures.has_images(PARTS[0])
