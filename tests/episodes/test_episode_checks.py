"""Episodes of one's own that are not as `episode_dataset` yields them, in every way to use them."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_episodes

import keras_reptile as kr


@functools.cache
def arrays():
    return tf.nest.map_structure(lambda t: t.numpy(), next(iter(small_episodes(queries=2))))


@functools.cache
def model(jit_compile=False):
    network = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    made = kr.ReptileModel(network, "sgd")
    made.compile("sgd", jit_compile=jit_compile)
    return made


def changed(**changes):
    return {**arrays(), **changes}


def of(part, *places):
    return tuple(arrays()[part][i] for i in places)


def grey():
    return arrays()["support"][0][..., 0]


def ragged():
    return tf.RaggedTensor.from_tensor(arrays()["support"][0], lengths=[10, 12])


WRONG = {
    "an unknown key": (lambda: changed(extra=np.zeros(2)), r"Unknown keys: \['extra'\]"),
    "no order": (
        lambda: {k: v for k, v in arrays().items() if k != "order"},
        r"missing keys: \['order'\]",
    ),
    "ragged tasks": (
        lambda: changed(support=(ragged(), arrays()["support"][1])),
        "have the same sizes. Received: a ragged or sparse tensor",
    ),
    "support without labels": (
        lambda: changed(support=of("support", 0)),
        "'support' of an episode must be a tuple of inputs and targets. Received: a tuple of 1",
    ),
    "several targets": (
        lambda: changed(support=(arrays()["support"][0], {"digit": arrays()["support"][1]})),
        "targets in 'support' of an episode must be one tensor.*Received: a dict of targets",
    ),
    "a query alone": (
        lambda: changed(query=arrays()["query"][0]),
        "'query' of an episode must be a tuple of inputs and targets. Received: one tensor",
    ),
    "an order of floats": (
        lambda: changed(order=arrays()["order"].astype("float32")),
        r"'order' of an episode must be integers.*Received: shape \(2, 3, 6\), dtype float32",
    ),
    "an order without steps": (
        lambda: changed(order=arrays()["order"][:, 0]),
        r"'order' of an episode must be integers.*Received: shape \(2, 6\), dtype int32",
    ),
    "a tail with steps": (
        lambda: changed(tail=arrays()["order"]),
        r"'tail' of an episode must be integers \(tasks, images\)",
    ),
    "fewer orders than tasks": (
        lambda: changed(order=arrays()["order"][:1]),
        "must have the same number of tasks, along axis 0",
    ),
    "fewer labels than images": (
        lambda: changed(support=(arrays()["support"][0], arrays()["support"][1][:, :5])),
        "must have the same number of examples in 'support', along axis 1",
    ),
    "one-hot labels": (
        lambda: changed(support=(arrays()["support"][0], np.eye(3)[arrays()["support"][1]])),
        r"one integer for each example.*Received: 'support' with labels of shape \(2, 12, 3\). "
        r"Of one-hot labels give `labels.argmax\(axis=-1\)`",
    ),
    "images without channels": (
        lambda: changed(support=(grey(), arrays()["support"][1])),
        r"takes inputs of shape \(8, 8, 1\). Received: episodes.*\(8, 8\). Grey images",
    ),
    "a position beyond the support set": (
        lambda: changed(order=arrays()["order"] + 12),
        "`order` and `tail` must hold positions in the support set",
    ),
    "a position before it": (
        lambda: changed(order=arrays()["order"] - 12),
        "`order` and `tail` must hold positions in the support set",
    ),
    "a tail beyond it": (
        lambda: changed(tail=np.full((2, 3), 12, np.int32)),
        "`order` and `tail` must hold positions in the support set",
    ),
}

USES = {
    "fit": lambda m, e: m.fit(tf.data.Dataset.from_tensors(e), verbose=0),
    "fit on arrays": lambda m, e: m.fit(e, batch_size=2, verbose=0),
    "evaluate": lambda m, e: m.evaluate(tf.data.Dataset.from_tensors(e), verbose=0),
    "kr.evaluate": lambda m, e: kr.evaluate(m, tf.data.Dataset.from_tensors(e), verbose=0),
    "predict": lambda m, e: m.predict(tf.data.Dataset.from_tensors(e), verbose=0),
    "train_on_batch": lambda m, e: m.train_on_batch(e),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_episode_is_refused_in_words_by_all_that_take_episodes(name):
    make, text = WRONG[name]
    before = model().meta_iteration
    for use in USES.values():
        with pytest.raises(ValueError, match=text):
            use(model(), make())
    assert model().meta_iteration == before


@pytest.mark.parametrize("run_eagerly", [False, True])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_positions_from_a_generator_are_checked_where_tasks_are_computed(run_eagerly, jit_compile):
    network = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    made = kr.ReptileModel(network, "sgd")
    made.compile("sgd", jit_compile=jit_compile, run_eagerly=run_eagerly)
    wrong = changed(order=arrays()["order"] + 6)
    with pytest.raises(ValueError, match=r"^`order` and `tail` must hold positions"):
        made.fit(((wrong,) for _ in range(1)), verbose=0)


@pytest.mark.slow
def test_an_evaluation_without_queries_is_refused_after_traces_of_several_sizes():
    support, queries = of("support", 0, 1), of("query", 0, 1)
    for number in (6, 4):
        some = tuple(t[:, :number] for t in queries)
        model().evaluate(changed(support=support, query=some), batch_size=2, verbose=0)
    none = changed(query=tuple(t[:, :0] for t in queries))
    with pytest.raises(ValueError, match=r"evaluated on their queries. Received: .*queries=0"):
        model().evaluate(none, batch_size=2, verbose=0)


@pytest.mark.parametrize("as_dataset", [True, False])
def test_predictions_need_no_labels_of_queries_at_all(as_dataset):
    expected = model().predict(tf.data.Dataset.from_tensors(arrays()), verbose=0)
    alone = changed(query=of("query", 0))
    data = tf.data.Dataset.from_tensors(alone) if as_dataset else alone
    np.testing.assert_allclose(model().predict(data, verbose=0), expected, rtol=1e-6)
    np.testing.assert_allclose(model().predict_on_batch(alone), expected, rtol=1e-6)


def test_a_network_that_is_not_built_names_the_missing_channels():
    network = keras.Sequential(
        [keras.layers.Conv2D(2, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    made = kr.ReptileModel(network, "sgd")
    made.compile("sgd")
    examples = grey(), arrays()["support"][1]
    with pytest.raises(ValueError, match=r"\(8, 8\). If they are grey images, add a channel axis"):
        made.fit(tf.data.Dataset.from_tensors(changed(support=examples, query=examples)), verbose=0)


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda m, e: m.fit(e, steps_per_epoch=0), "`steps_per_epoch` must be at least 1"),
        (lambda m, e: m.evaluate(e, steps=0), "`steps` must be at least 1"),
        (lambda m, e: m.predict(e, steps=0), "`steps` must be at least 1"),
        (
            lambda m, e: m.fit(e, steps_per_epoch=1, validation_data=e, validation_steps=0),
            "`validation_steps` must be at least 1",
        ),
        (lambda m, e: m.predict(e), "`predict` would never end. Received: an endless dataset"),
    ],
)
def test_no_steps_and_no_end_are_refused_at_once(use, text):
    with pytest.raises(ValueError, match=text):
        use(model(), small_episodes())
