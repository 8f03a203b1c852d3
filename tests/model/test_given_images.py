"""Episodes of given images, and models for another number of classes."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import image_pool, small_convnet, small_episodes, small_model

import keras_reptile as kr

POOL = image_pool()
X, Y = POOL.images[:30], np.repeat([0, 1, 2], [12, 12, 6])
QUERY_X, QUERY_Y = POOL.images[30:36], np.full(6, 2)


def plain_model():
    """A network that treats each image by itself, so that a learner predicts as an episode."""
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    return small_model(keras.Sequential(layers))


@pytest.mark.slow
def test_an_episode_of_given_images_has_the_minibatches_of_adapt():
    model = plain_model()
    arguments = dict(steps=7, inner_batch_size=4, seed=5)
    task = kr.episode((X, Y), (QUERY_X, QUERY_Y), **arguments)
    expected = model.adapt(X, Y, **arguments).predict(QUERY_X, verbose=0)
    found = model.predict(task, verbose=0)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    alone = kr.episode((X, Y), (QUERY_X,), **arguments)
    np.testing.assert_array_equal(model.predict(alone, verbose=0), found)
    right = np.mean(expected.argmax(axis=-1) == QUERY_Y)
    assert kr.evaluate(model, task, verbose=0).accuracy == pytest.approx(right)
    assert model.evaluate(task, verbose=0, return_dict=True)["accuracy"] == pytest.approx(right)


def test_a_model_trains_on_an_episode_of_given_images():
    model = plain_model()
    before = model.network.get_weights()[0]
    model.fit(kr.episode((X, Y), (QUERY_X, QUERY_Y), steps=2), verbose=0)
    assert model.meta_iteration == 1
    assert (model.network.get_weights()[0] != before).any()


def test_inputs_may_be_several():
    task = kr.episode(((X, Y), Y), ({"a": X, "b": Y},), steps=0)
    assert [tuple(t.shape)[:2] for t in tf.nest.flatten(task)] == [(1, 0)] + 5 * [(1, 30)]


def test_inputs_and_labels_may_be_lists_of_numbers():
    x, y = X[:3, 0, :, 0].astype("float32"), Y[:3].astype("int32")
    wanted, found = (
        kr.episode(support, support[:1], steps=2) for support in ((x, y), (x.tolist(), y.tolist()))
    )
    tf.nest.map_structure(np.testing.assert_array_equal, found, wanted)


@pytest.mark.parametrize(
    ("support", "query", "arguments", "message"),
    [
        (X, (X, Y), {}, r"`support` must be \(x, y\). Received:"),
        ((X,), (X, Y), {}, r"`support` must be \(x, y\). Received: a tuple of 1"),
        ((X, Y), X, {}, r"`query` must be \(x, y\), or \(x,\) to predict. Received:"),
        ((X, Y[:3]), (X, Y), {}, r"same number of examples in 'support'"),
        ((X[:0], Y[:0]), (X, Y), {}, r"at least one example"),
        ((X, 3), (X, Y), {}, r"`support` must hold arrays.*a single number, 3"),
        ((X, Y), (X, Y), dict(steps=-1), r"`steps` must not be negative"),
        ((X, Y), (X, Y), dict(inner_batch_size=0), r"`inner_batch_size` must be at least 1"),
        ((X, Y), (X, Y), dict(seed=-1), r"`seed` must not be negative"),
        (
            (list(np.zeros((6, 8, 8, 1))), np.arange(6)),
            (np.zeros((2, 8, 8, 1)), [0, 1]),
            {},
            r"`support` must hold 6 inputs in an array. Received: a list of 6 arrays.*`np.stack",
        ),
    ],
)
def test_what_is_no_episode_is_refused(support, query, arguments, message):
    with pytest.raises(ValueError, match=message):
        kr.episode(support, query, **arguments)


@pytest.fixture(scope="module")
def trained():
    model = small_model()
    model.fit(small_episodes(), steps_per_epoch=3, verbose=0)
    return model


def test_another_number_of_classes_has_the_body_and_its_state_and_a_new_head(trained):
    other = trained.with_head(7, seed=3)
    assert other.network.output_shape == (None, 7)
    assert other.meta_iteration == trained.meta_iteration == 3
    pairs = list(zip(other.network.weights, trained.network.weights, strict=True))
    for a, b in pairs[:-2]:
        np.testing.assert_array_equal(a, b)
    slots = list(zip(other.inner_variables, trained.inner_variables, strict=True))
    for a, b in slots[:-2]:
        np.testing.assert_array_equal(a, b)
    assert all((a.numpy() == 0).all() for a, _ in slots[-2:])
    again, another = (trained.with_head(7, seed=seed).get_weights() for seed in (3, 4))
    for a, b in zip(again, other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(another, again, strict=True))


@pytest.mark.slow
def test_a_model_with_another_head_adapts_as_adapt_does_and_is_evaluated_and_trained(trained):
    model = plain_model()
    model.fit(small_episodes(), steps_per_epoch=3, verbose=0)
    other = model.with_head(5, seed=2)
    y = np.arange(30) % 5
    task = kr.episode((X, y), (QUERY_X, QUERY_Y), steps=6, seed=2)
    expected = model.adapt(X, y, steps=6, seed=2, head="replace").predict(QUERY_X, verbose=0)
    np.testing.assert_allclose(other.predict(task, verbose=0)[0], expected, atol=1e-5)
    before = [v.numpy() for v in trained.variables]
    wide = trained.with_head(5)
    found = kr.evaluate(wide, small_episodes(ways=5, tasks=4), verbose=0)
    assert (found.ways, len(found.accuracies)) == (5, 4)
    wide.fit(small_episodes(ways=5), steps_per_epoch=2, verbose=0)
    assert wide.meta_iteration == 5
    assert int(wide.optimizer.iterations) == 2
    for variable, value in zip(trained.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_its_loss_metrics_and_optimizer_are_those_of_the_model_and_not_shared():
    model = small_model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    metric = keras.metrics.SparseCategoricalAccuracy(name="right")
    model.compile(keras.optimizers.Adam(0.25), loss=loss, metrics=[metric])
    other = model.with_head(4)
    assert other.task_loss.reduction == "sum"
    assert type(other.optimizer) is keras.optimizers.Adam
    assert float(other.optimizer.learning_rate) == 0.25
    assert other.optimizer is not model.optimizer
    (own,) = other.task_metrics.query_metrics
    assert (own.name, own is metric) == ("right", False)


def test_a_model_that_is_not_compiled_gives_one_that_is_not_compiled():
    model = kr.ReptileModel(small_convnet())
    assert not model.with_head(2).compiled


def test_what_has_no_other_head_is_refused(trained):
    for ways, message in ((0, "be at least 1"), (2.5, "be an integer")):
        with pytest.raises(ValueError, match=f"`ways` must {message}"):
            trained.with_head(ways)
    layers = [keras.Input((8, 8, 1)), *small_convnet().layers, keras.layers.Softmax()]
    soft = kr.ReptileModel(keras.Sequential(layers))
    with pytest.raises(ValueError, match="A new head needs a functional or sequential network"):
        soft.with_head(3)
    unbuilt = kr.ReptileModel(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(ValueError, match="A learner or a new head needs a network that is built"):
        unbuilt.with_head(3)


class OwnMetric(keras.metrics.Mean):
    def __init__(self):
        super().__init__(name="own")


@pytest.mark.parametrize(
    ("metric", "error"),
    [
        (OwnMetric, "unexpected keyword argument 'name'"),
        (lambda: keras.metrics.MeanMetricWrapper(lambda y, p: p, name="own"), "`?lambda"),
    ],
)
def test_a_metric_that_keras_cannot_make_again_is_refused_by_its_name(metric, error):
    model = small_model()
    model.compile(keras.optimizers.SGD(1.0), metrics=[metric()])
    text = rf"from their configuration\. Received: the metric 'own', .*{error}(.|\n)*without it"
    with pytest.raises(ValueError, match=text):
        model.with_head(4)
    model.compile(keras.optimizers.SGD(1.0))
    assert model.with_head(4).compiled


MASKED = np.ma.masked_equal(np.arange(30.0).reshape(5, 6), 7)
FORMS = {
    "masked": (MASKED, "must have no masked entries. Received: a masked array, 1 of its 30 ent"),
    "complex": (np.zeros((5, 6), np.complex64), "must be real numbers.*Received: .*complex64"),
    "wide": (np.zeros((5, 6), np.longdouble), "must be real numbers of at most 64 bits"),
    "complex tensors": (tf.zeros((5, 6), tf.complex64), "must be real numbers.*complex64"),
}


@pytest.mark.parametrize("form", FORMS)
def test_numbers_that_would_become_others_are_refused(form):
    if form == "wide" and np.dtype(np.longdouble).itemsize == 8:
        pytest.skip("float64 by another name")
    x, text = FORMS[form]
    y, plain = np.arange(5) % 2, np.zeros((5, 6))
    model = small_model(keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)]))
    for name, use in {
        "support": lambda: kr.episode((x, y), (plain, y)),
        "query": lambda: kr.episode((plain, y), (x,)),
        "support_x": lambda: model.adapt(x, y, steps=1),
        "support_y": lambda: model.adapt(plain, x[:, 0] if form != "masked" else x[1], steps=1),
        "images": lambda: kr.ClassPool.from_arrays(x, y),
    }.items():
        # A row has other numbers of masked entries.
        match = text.split(", 1 of")[0] if name == "support_y" else text
        with pytest.raises(ValueError, match=f"`{name}` {match}"):
            use()


def test_a_masked_array_without_masked_entries_is_an_array():
    pool = kr.ClassPool.from_arrays(np.ma.masked_equal(np.ones((4, 2)), 7), [0, 0, 1, 1])
    np.testing.assert_array_equal(pool.images, np.ones((4, 2)))
    with pytest.raises(ValueError, match="`labels` must have no masked entries"):
        kr.ClassPool.from_arrays(np.ones((4, 2)), np.ma.masked_equal([0, 0, 1, 1], 1))
