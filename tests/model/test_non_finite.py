"""NaN and infinity: refused in data, never correct in predictions, and seen in the loss."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import scalar_episode, scalar_model, small_episodes, small_linear, small_model, weight

import keras_reptile as kr
from keras_reptile.execution.outcome import Outcome, with_nan_shown

REFUSED = r"Inputs and targets must be finite numbers\. Received: a task with NaN or infinity in"


def diverging_model(**arguments):
    """Its inner loop's weights are beyond the range of float32 after some steps."""
    return small_model(small_linear(), inner_optimizer=keras.optimizers.SGD(3e38), **arguments)


def with_nan(value=np.nan):
    """A change of episodes that leaves one query with a value that is no number."""

    def change(tasks):
        x, y = tasks["query"]
        where = tf.one_hot(tf.size(x) - 1, tf.size(x), on_value=value, off_value=0.0)
        return {**tasks, "query": (x + tf.reshape(where, tf.shape(x)), y)}

    return change


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_pool_refuses_an_image_that_is_not_finite(value, dtype):
    images = np.zeros((6, 4, 4, 1), dtype)
    images[4, 1, 2] = value
    text = r"NaN or infinity in 1 of 6 images. The first is in class 'b'. Replace"
    with pytest.raises(ValueError, match=text):
        kr.ClassPool.from_arrays(images, ["c", "a", "a", "c", "b", "c"])
    with pytest.raises(ValueError, match=r"The first is in class 1\."):
        kr.ClassPool(images, [3, 3])
    # As large as floats are, but finite.
    largest = np.full((2, 300), np.finfo(dtype).max, dtype)
    assert len(kr.ClassPool.from_arrays(largest, [0, 1])) == 2


@pytest.mark.slow
def test_fit_evaluate_and_predict_refuse_episodes_that_are_not_finite():
    model, wrong = small_model(), small_episodes(tasks=2).map(with_nan())
    for use in (model.fit, model.evaluate, model.predict):
        with pytest.raises(ValueError, match=REFUSED + r" the inputs of its queries\. Replace"):
            use(wrong, verbose=0)
    for use in (kr.evaluate, kr.evaluate_both, kr.evaluate_loss):
        with pytest.raises(ValueError, match=REFUSED):
            use(model, wrong, verbose=0)
    with pytest.raises(ValueError, match=REFUSED):
        model.fit(small_episodes(), steps_per_epoch=1, validation_data=wrong, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_generators_and_single_meta_batches_are_refused_too():
    model = scalar_model(keras.optimizers.SGD(0.1), keras.optimizers.SGD(1.0))
    wrong = scalar_episode([np.inf])
    text = REFUSED + r" the targets of its support set\."
    for use in (model.train_on_batch, model.test_on_batch, model.predict_on_batch):
        with pytest.raises(ValueError, match=text):
            use(wrong)
    with pytest.raises(ValueError, match=text):
        model.fit((element for element in [scalar_episode([1.0]), wrong]), verbose=0)
    assert np.isfinite(weight(model))


class Elements(keras.utils.PyDataset):
    """Meta-batches, each by its place."""

    def __init__(self, elements, **arguments):
        super().__init__(**arguments)
        self.elements = elements

    def __len__(self):
        return len(self.elements)

    def __getitem__(self, place):
        return (self.elements[place],)


SOURCES = {
    "a generator": lambda elements: ((element,) for element in elements),
    "a PyDataset": Elements,
    "a PyDataset with threads": lambda elements: Elements(elements, workers=2),
}


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_meta_batches_that_python_makes_are_checked_one_by_one(source):
    model = small_model(small_linear())
    right = tf.nest.map_structure(lambda t: t.numpy(), next(iter(small_episodes())))
    x, y = right["support"]
    wrong = {
        REFUSED: {**right, "support": (x * np.nan, y)},
        "Labels must be in 0 to 2, because the network has 3": {**right, "support": (x, y + 1)},
    }
    for text, element in wrong.items():
        for use in (model.fit, model.evaluate, model.predict):
            with pytest.raises(ValueError, match=text):
                use(SOURCES[source]([element]), verbose=0)
    with pytest.raises(ValueError, match=REFUSED):
        model.fit(SOURCES[source]([right, right, wrong[REFUSED]]), verbose=0)
    assert model.meta_iteration == 2
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.slow
def test_queries_to_predict_may_lack_targets():
    model = scalar_model(keras.optimizers.SGD(0.25), keras.optimizers.SGD(1.0))
    element = scalar_episode([2.0])
    element["query"] = element["query"][0], tf.fill((1, 1, 1), np.nan)
    data = tf.data.Dataset.from_tensors(element)
    assert model.predict(data, verbose=0).ravel().tolist() == [1.0]
    assert model.predict_on_batch(element).ravel().tolist() == [1.0]


def test_adapt_refuses_a_support_set_that_is_not_finite_and_an_inner_loop_that_diverges():
    x, y = np.zeros((6, 8, 8, 1), np.float32), np.arange(6) % 3
    wrong = x.copy()
    wrong[2, 1, 1] = np.nan
    with pytest.raises(ValueError, match=r"support set must contain finite numbers. Received: NaN"):
        small_model().adapt(wrong, y, steps=1)
    ones = np.ones((2, 1), np.float32)
    model = scalar_model(keras.optimizers.SGD(1e20), keras.optimizers.SGD(1.0))
    with pytest.raises(ValueError, match=r"The inner loop diverged: .*Received: steps=5\. Use"):
        model.adapt(ones, ones, steps=5)


MODES = {
    "side by side": {},
    "eagerly": {"run_eagerly": True},
    "compiled": {"jit_compile": True},
    "vectorized": {"task_parallelism": "vectorized"},
}


def of_mode(name, **arguments):
    """A model that computes so, and whose inner loop diverges."""
    chosen = dict(MODES[name])
    how = {k: chosen.pop(k) for k in ("run_eagerly", "jit_compile") if k in chosen}
    model = diverging_model(**chosen, **arguments)
    model.compile(keras.optimizers.SGD(0.5), **how)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("name", MODES)
def test_an_inner_loop_that_diverges_is_seen_in_every_number(name):
    model = of_mode(name)
    tests = small_episodes(tasks=4, inner_steps=3, seed=4)
    if name != "eagerly":
        found = kr.evaluate(model, tests, verbose=0)
        assert (found.accuracy, found.non_finite_tasks) == (0.0, 4)
        assert "non_finite_tasks=4" in repr(found)
    logs = model.evaluate(tests, verbose=0, return_dict=True)
    assert logs["accuracy"] == 0.0
    assert np.isnan([logs["loss"], logs["loss_after"]]).all()


@pytest.mark.slow
def test_both_and_the_loss_count_the_tasks_that_diverge(capsys):
    model = diverging_model()
    tests = small_episodes(tasks=3, inner_steps=8, seed=4)
    for found in kr.evaluate_both(model, tests, verbose=1):
        assert (found.accuracy, found.non_finite_tasks) == (0.0, 3)
    assert "transductive_non_finite_tasks: 3" in capsys.readouterr().out
    found = kr.evaluate_loss(model, tests, verbose=0)
    assert np.isnan(found.loss)
    assert found.non_finite_tasks == 3
    assert kr.evaluate(small_model(), tests, verbose=0).non_finite_tasks == 0


def test_a_loss_beyond_the_range_of_floats_is_counted():
    # The query's loss (c / 2)^2 is infinite in float32 for c = 1e25, and the prediction is not.
    model = scalar_model(keras.optimizers.SGD(0.25), keras.optimizers.SGD(1.0))
    data = tf.data.Dataset.from_tensors(scalar_episode([2.0, 1e25]))
    found = kr.evaluate_loss(model, data, verbose=0)
    assert found.losses.tolist() == [1.0, np.inf]
    assert found.non_finite_tasks == 1


@pytest.mark.slow
@pytest.mark.parametrize("queries", [2, 0])
def test_terminate_on_nan_ends_a_training_that_diverges(queries):
    model = diverging_model()
    stop = keras.callbacks.TerminateOnNaN()
    episodes = small_episodes(queries=queries, inner_steps=8)
    history = model.fit(episodes, steps_per_epoch=50, epochs=2, callbacks=[stop], verbose=0)
    assert int(model.meta_iteration) == 1
    assert np.isnan(history.history["loss"]).all()


def test_a_gradient_that_is_not_finite_is_seen_in_the_loss():
    losses, predictions = tf.constant([1.0, 2.0]), tf.zeros((2, 3, 1))
    for gradient, shown in (([1.0, 2.0], False), ([1.0, np.inf], True), ([np.nan, 0.0], True)):
        outcome = Outcome([tf.constant(gradient)], None, losses, predictions)
        assert np.isnan(with_nan_shown(outcome).predictions).all() == shown
        np.testing.assert_array_equal(with_nan_shown(outcome).first_loss, losses)
        without = with_nan_shown(outcome._replace(predictions=()))
        assert np.isnan(without.first_loss).all() == shown
