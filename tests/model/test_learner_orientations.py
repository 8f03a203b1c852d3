"""Learners that are the mean over orientations of a task."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_convnet, small_episodes, small_model, turned_by_numpy

import keras_reptile as kr

TURNS = {2: (0, 4), 4: (0, 1, 2, 3), 8: range(8)}


@pytest.fixture(scope="module")
def task():
    """The support set and the queries of one task."""
    drawn = next(iter(small_episodes(shots=4, queries=8, seed=2)))
    return [t[0].numpy() for t in (*drawn["support"], *drawn["query"])]


@pytest.fixture(scope="module")
def model():
    """A model with carried moments, which no test changes."""
    model = small_model()
    model.fit(small_episodes(), steps_per_epoch=5, verbose=0)
    return model


def separate(model, x, y, number, **how):
    """The learner of each orientation, made of images that NumPy turned."""
    return [model.adapt(turned_by_numpy(x, r), y, **how) for r in TURNS[number]]


@pytest.mark.slow
@pytest.mark.parametrize("number", [2, 4, pytest.param(8, marks=pytest.mark.slow)])
def test_the_prediction_is_the_mean_of_the_learners_of_turned_images(number, model, task):
    x, y, query_x, _ = task
    before = model.get_weights()
    learner = model.adapt(x, y, steps=3, orientations=number)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    each = separate(model, x, y, number, steps=3)
    outputs = [
        one.predict(turned_by_numpy(query_x, r), verbose=0)
        for one, r in zip(each, TURNS[number], strict=True)
    ]
    found = learner.predict(query_x, verbose=0)
    np.testing.assert_allclose(found, np.mean(outputs, axis=0), atol=1e-5)
    assert np.abs(found - outputs[0]).max() > 0.01


def test_one_orientation_is_the_usual_learner(model, task):
    x, y, *_ = task
    usual, one = model.adapt(x, y, steps=2), model.adapt(x, y, steps=2, orientations=1)
    assert type(one) is type(usual) and one.name == usual.name
    assert all((a == b).all() for a, b in zip(usual.get_weights(), one.get_weights(), strict=True))


def test_bytes_are_scaled_once(task):
    x, y, query_x, _ = (np.rint(255 * t) if t.ndim == 4 else t for t in task)
    model = small_model()
    of_bytes = model.adapt(x.astype(np.uint8), y, steps=2, orientations=2)
    of_floats = model.adapt((x / 255).astype(np.float32), y, steps=2, orientations=2)
    np.testing.assert_allclose(
        of_bytes.predict(query_x.astype(np.uint8), verbose=0),
        of_floats.predict((query_x / 255).astype(np.float32), verbose=0),
        atol=1e-5,
    )


def test_a_file_of_the_learner_is_loaded_by_keras(model, task, tmp_path):
    x, y, query_x, _ = task
    learner = model.adapt(x, y, steps=2, orientations=4)
    learner.save(tmp_path / "learner.keras")
    loaded = keras.saving.load_model(tmp_path / "learner.keras")
    expected = learner.predict(query_x, verbose=0)
    np.testing.assert_array_equal(loaded.predict(query_x, verbose=0), expected)


def test_fit_continues_the_optimizer_of_every_copy(model, task):
    x, y, *_ = task
    learner = model.adapt(x, y, steps=3, orientations=2)
    each = separate(model, x, y, 2, steps=3)
    moments = lambda one: [v.numpy() for v in one.optimizer.variables[2:]]  # noqa: E731
    assert int(learner.optimizer.iterations) == int(each[0].optimizer.iterations) > 3
    expected = [m for one in each for m in moments(one)]
    assert len(expected) == len(moments(learner)) > 0
    for found, moment in zip(moments(learner), expected, strict=True):
        np.testing.assert_allclose(found, moment, rtol=1e-4, atol=1e-9)


def test_a_step_of_fit_is_one_on_the_loss_of_the_mean(task):
    x, y, *_ = task
    network = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
    network.add(keras.layers.Dense(3))
    model = small_model(network, inner_optimizer=keras.optimizers.SGD(0.5))
    learner = model.adapt(x, y, steps=2, orientations=4)
    each = separate(model, x, y, 4, steps=2)
    with tf.GradientTape() as tape:
        outputs = [one(turned_by_numpy(x, r)) for r, one in enumerate(each)]
        losses = keras.losses.sparse_categorical_crossentropy(y, sum(outputs) / 4, from_logits=True)
        loss = tf.reduce_mean(losses)
    weights = [v.value for one in each for v in one.trainable_variables]
    expected = [w - 0.5 * g for w, g in zip(weights, tape.gradient(loss, weights), strict=True)]
    learner.fit(x, y, batch_size=len(x), epochs=1, verbose=0)
    for found, weight in zip(learner.trainable_variables, expected, strict=True):
        np.testing.assert_allclose(found, weight, atol=1e-5)


def test_layers_that_the_inner_loop_keeps_are_frozen_in_every_copy(task):
    x, y, *_ = task
    learner = small_model(inner_trainable="head").adapt(x, y, steps=2, orientations=2)
    assert len(learner.trainable_variables) == 2 * 2
    learner.fit(x, y, epochs=1, verbose=0)


@pytest.mark.slow
def test_a_new_head_is_turned_too(task):
    x, y, query_x, _ = task
    model = kr.pretrained("omniglot_20way_best")
    big = lambda t: np.kron(t, np.ones((1, 3, 3, 1), np.float32))[:, :28, :28]  # noqa: E731
    x, query_x = (np.pad(big(t), ((0, 0), (2, 2), (2, 2), (0, 0))) for t in (x, query_x))
    learner = model.adapt(x, y, steps=1, head="shared", orientations=4)
    each = separate(model, x, y, 4, steps=1, head="shared")
    outputs = [one.predict(turned_by_numpy(query_x, r), verbose=0) for r, one in enumerate(each)]
    found = learner.predict(query_x, verbose=0)
    assert found.shape == (len(query_x), 3)
    np.testing.assert_allclose(found, np.mean(outputs, axis=0), atol=1e-4)


def test_an_input_may_have_a_name(task):
    x, y, query_x, _ = task
    image = keras.Input((8, 8, 1), name="image")
    model = small_model(keras.Model({"image": image}, small_convnet()(image)))
    learner = model.adapt({"image": x}, y, steps=2, orientations=2)
    expected = small_model().adapt(x, y, steps=2, orientations=2).predict(query_x, verbose=0)
    found = learner.predict({"image": query_x}, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_network_that_is_not_built_is_refused_as_ever(task):
    x, y, *_ = task
    model = small_model(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match="built"):
        model.adapt(x, y, steps=1, orientations=2)


@pytest.mark.parametrize("two", [np.int64(2), tf.constant(2)])
def test_any_integer_is_a_number(two, model, task):
    x, y, *_ = task
    expected = model.adapt(x, y, steps=1, orientations=2).get_weights()
    found = model.adapt(x, y, steps=1, orientations=two).get_weights()
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("number", [3, 0, True])
def test_other_numbers_are_refused(number, model, task):
    x, y, *_ = task
    with pytest.raises(ValueError, match=r"`orientations` must be .*Received: orientations="):
        model.adapt(x, y, orientations=number)


def test_support_sets_that_cannot_be_turned_are_refused():
    model = small_model(keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]))
    text = r"one input `\(rows, columns, channels\)`. Received: orientations=4, inputs of shape \("
    with pytest.raises(ValueError, match=text):
        model.adapt(np.zeros((3, 2)), [0, 1, 2], orientations=4)


def test_a_subclassed_network_is_refused(task):
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, images):
            return self.dense(keras.ops.reshape(images, (-1, 64)))

    model, (x, y, *_) = small_model(Own()), task
    model.build((None, 8, 8, 1))
    text = "functional or sequential network. Received: orientations=2, a Own. Wrap it"
    with pytest.raises(ValueError, match=text):
        model.adapt(x, y, steps=1, orientations=2)
