"""The logs of `fit` and `evaluate`, beside plain Keras's names and NumPy's numbers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import episode, scalar_episode, scalar_model, small_episodes, small_model

import keras_reptile as kr
from keras_reptile.metrics.confidence import confidence_95


def one_layer(loss, metrics=None, outputs=1, activation=None):
    """A model whose adapted outputs are a fixed layer's: without a step that moves it."""
    network = keras.Sequential(
        [keras.Input((2,)), keras.layers.Dense(outputs, activation, kernel_initializer="ones")]
    )
    if outputs > 1:
        network.set_weights([np.eye(2, outputs, dtype="f4"), np.zeros(outputs, "f4")])
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.0), inner_state="reset")
    model.compile(keras.optimizers.SGD(0.0), loss=loss, metrics=metrics)
    return model


def points(tasks=8, seed=0):
    """Points of a plane, each with the class of its larger coordinate, or another."""
    rs = np.random.RandomState(seed)
    x = rs.randn(tasks, 6, 2).astype(np.float32)
    labels = (x[..., 1] > x[..., 0]) ^ (rs.rand(tasks, 6) < 0.3)
    return x, labels.astype(np.int32)


def as_data(x, y, size=3):
    order = np.zeros((len(x), 1, 1), np.int32)
    return tf.data.Dataset.from_tensor_slices(episode(x, y, order)).batch(size)


def weighted(y_true, y_pred):
    """Of a user's own: the second class counts twice."""
    each = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
    return each * tf.gather(tf.constant([1.0, 2.0]), tf.cast(y_true, tf.int32))


# The loss, its metrics, the outputs, and the accuracy of each task by NumPy.
SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
CLASSIFIERS = {
    "sparse": (SPARSE, None, 2),
    "one-hot": (keras.losses.CategoricalCrossentropy(from_logits=True), None, 2),
    "binary": (keras.losses.BinaryCrossentropy(from_logits=True), None, 1),
    "weighted": (weighted, [keras.metrics.SparseCategoricalAccuracy("accuracy")], 2),
}


def classifier(name):
    """The model, its data, and each task's accuracy as NumPy finds it."""
    loss, metrics, outputs = CLASSIFIERS[name]
    x, labels = points()
    y, best = labels, x.argmax(axis=-1)
    if name == "one-hot":
        y = np.eye(2, dtype=np.float32)[labels]
    if name == "binary":
        y, best = labels[..., None], x.sum(axis=-1) > 0
    return one_layer(loss, metrics, outputs), as_data(x, y), (best == labels).mean(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_accuracy_and_its_interval_are_numpys_whatever_the_loss(name):
    model, data, expected = classifier(name)
    found = kr.evaluate(model, data, verbose=0)
    np.testing.assert_allclose(found.accuracies, expected, rtol=1e-6)
    assert found.confidence_95 == pytest.approx(confidence_95(expected), rel=1e-6)
    logs = model.evaluate(data, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(expected.mean(), rel=1e-6)
    assert logs["confidence_95"] == pytest.approx(confidence_95(expected), rel=1e-5)
    history = model.fit(data, validation_data=data, verbose=0).history
    assert history["val_confidence_95"][0] == pytest.approx(logs["confidence_95"], rel=1e-6)


@pytest.mark.slow
def test_without_an_accuracy_among_the_metrics_the_interval_is_the_losss():
    _, data, expected = classifier("sparse")
    model = one_layer(SPARSE, [], 2)
    logs = model.evaluate(data, verbose=0, return_dict=True)
    losses = kr.evaluate_loss(model, data, verbose=0)
    assert set(logs) == {"loss", "loss_before", "loss_after", "confidence_95"}
    assert logs["confidence_95"] == pytest.approx(losses.confidence_95, rel=1e-5)
    # `kr.evaluate` knows of an accuracy all the same, by the loss.
    np.testing.assert_allclose(kr.evaluate(model, data, verbose=0).accuracies, expected, rtol=1e-6)


def test_the_progress_bar_ends_on_the_mean_over_all_tasks_and_its_interval(capsys):
    # Meta-batches of 3, 3 and 2 tasks: neither the last one's mean nor the mean of means.
    model, data, expected = classifier("sparse")
    kr.evaluate(model, data, verbose=1)
    end = capsys.readouterr().out.splitlines()[-1]
    assert f"accuracy: {expected.mean():.4f}" in end
    assert f"confidence_95: {confidence_95(expected):.4f}" in end
    assert f"{expected[6:].mean():.4f}" != f"{expected.mean():.4f}"
    kr.evaluate_both(model, data, verbose=1)
    end = capsys.readouterr().out.splitlines()[-1]
    assert f"inductive: {expected.mean():.4f}" in end
    assert f"transductive_confidence_95: {confidence_95(expected):.4f}" in end


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mae", "mse", "mean_absolute_error", "cosine_similarity"])
def test_a_metric_is_logged_under_the_name_that_it_was_given(name):
    x, _ = points()
    data = as_data(x, x[..., :1])
    model = one_layer("mean_squared_error", [name])
    logs = model.evaluate(data, verbose=0, return_dict=True)
    plain = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    plain.set_weights(model.network.get_weights())
    plain.compile(loss="mean_squared_error", metrics=[name])
    flat = x.reshape(-1, 2)
    expected = plain.evaluate(flat, flat[:, :1], verbose=0, return_dict=True)
    assert set(expected) == {"loss", name}
    for key in expected:
        assert logs[key] == pytest.approx(expected[key], rel=1e-5)


@pytest.mark.slow
def test_the_loss_is_the_queries_or_the_first_minibatchs_without_queries():
    # From w = 0 to 3 / 2 in a step of 0.25: 9 before, (3 / 2)^2 after it.
    model = scalar_model(keras.optimizers.SGD(0.25), keras.optimizers.SGD(0.0))
    element = scalar_episode([3.0])
    logs = model.train_on_batch(element, return_dict=True)
    assert logs == pytest.approx({"loss": 2.25, "loss_before": 9.0, "loss_after": 2.25})
    logs = model.test_on_batch(element, return_dict=True)
    assert (logs["loss"], logs["loss_after"]) == (2.25, 2.25)
    # As Keras does, `evaluate` gives the loss first.
    data = tf.data.Dataset.from_tensors(element)
    assert model.evaluate(data, verbose=0)[0] == 2.25
    # Another model: this one's graph takes any number of queries by now.
    model = scalar_model(keras.optimizers.SGD(0.25), keras.optimizers.SGD(0.0))
    element["query"] = tuple(t[:, :0] for t in element["query"])
    logs = model.train_on_batch(element, return_dict=True)
    assert logs == pytest.approx({"loss": 9.0, "loss_before": 9.0})


def test_callbacks_work_as_keras_users_write_them():
    # The outer rate is 0: no loss ever improves, and the one of validation is 2.25 throughout.
    model = scalar_model(keras.optimizers.SGD(0.25), keras.optimizers.SGD(0.0), start=0.0)
    data = tf.data.Dataset.from_tensors(scalar_episode([3.0]))
    plateau = keras.callbacks.ReduceLROnPlateau(patience=1, factor=0.5)
    model.optimizer.learning_rate = 1e-9
    callbacks = [
        keras.callbacks.EarlyStopping(patience=3),
        plateau,
        keras.callbacks.TerminateOnNaN(),
    ]
    history = model.fit(data, epochs=20, validation_data=data, callbacks=callbacks, verbose=0)
    assert history.epoch == [0, 1, 2, 3]
    assert history.history["val_loss"] == history.history["val_loss_after"]
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-9 * 0.5**3)


def test_class_weights_are_refused():
    text = r"positions among the task's classes.*Received: class_weight=\{0: 2.0\}\. Leave it out"
    model = small_model()
    with pytest.raises(ValueError, match=text):
        model.fit(small_episodes(), steps_per_epoch=1, class_weight={0: 2.0})
    with pytest.raises(ValueError, match=text):
        model.train_on_batch(next(iter(small_episodes())), class_weight={0: 2.0})
    # By position, after targets and sample weights.
    with pytest.raises(ValueError, match=text):
        model.train_on_batch(next(iter(small_episodes())), None, None, {0: 2.0})
