"""Episodes, networks and targets other than the usual ones: as one expects, or refused in words."""

import functools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import episode, of_examples, small_convnet, small_dense, small_episodes, small_model

import keras_reptile as kr

SGD = keras.optimizers.SGD
LOGITS = functools.partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True)


def points(tasks=1, images=9):
    rs = np.random.RandomState(0)
    return rs.rand(tasks, images, 2).astype(np.float32), np.arange(tasks * images).reshape(
        tasks, images
    ) % 3


def dense_model(reduction="sum_over_batch_size", **arguments):
    kernel = keras.initializers.GlorotUniform(seed=0)
    dense = keras.layers.Dense(3, kernel_initializer=kernel)
    network = keras.Sequential([keras.Input((2,)), dense])
    model = kr.ReptileModel(network, SGD(0.1), inner_state="reset", **arguments)
    model.compile(SGD(0.0), loss=LOGITS(reduction=reduction))
    return model


def shown(model, data):
    return model.evaluate(tf.data.Dataset.from_tensors(data), return_dict=True, verbose=0)


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_a_first_minibatch_that_is_the_tail_has_its_loss(reduction):
    (x,), (y,) = data = points()
    tail_alone = {**episode(*data, np.zeros((1, 0, 4))), "tail": tf.range(9)[None]}
    model = dense_model(reduction)
    by_hand = LOGITS()(y, model.network(x))
    assert shown(model, tail_alone)["loss_before"] == pytest.approx(float(by_hand))


def test_without_an_inner_step_there_is_no_loss_before_it():
    found = shown(dense_model(), episode(*points(), np.zeros((1, 0, 4))))
    assert math.isnan(found["loss_before"])
    assert math.isfinite(found["loss_after"])


def test_positions_may_be_integers_of_any_dtype():
    order = np.arange(256).reshape(1, 2, 128)
    tasks = episode(*points(images=256), order)
    expected = shown(dense_model(), tasks)
    assert shown(dense_model(), {**tasks, "order": order.astype(np.uint8)}) == pytest.approx(
        expected, nan_ok=True
    )


@pytest.mark.parametrize("task_parallelism", ["separate", "vectorized"])
def test_training_without_an_inner_step_moves_nothing(task_parallelism):
    model = dense_model(task_parallelism=task_parallelism)
    model.compile(SGD(1.0))
    before = model.network.get_weights()
    model.train_on_batch(episode(*points(tasks=2), np.zeros((2, 0, 4))))
    for a, b in zip(model.network.get_weights(), before, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-7)


@pytest.mark.parametrize("method", ["fomaml", "maml"])
def test_methods_by_the_last_step_refuse_to_have_none(method):
    data = tf.data.Dataset.from_tensors(episode(*points(), np.zeros((1, 0, 4))))
    with pytest.raises(
        ValueError, match=r"at least one inner step. Received: episodes without 'tai"
    ):
        dense_model(method=method).fit(data, verbose=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reduction", "jit_compile"), [("sum", False), ("sum_over_batch_size", True)]
)
def test_sizes_that_are_not_known_before(reduction, jit_compile):
    x, y = points(tasks=2)
    known = episode(x, y, np.tile(np.arange(4), (2, 3, 1)))
    loose = lambda t: tf.TensorSpec((2, *[None] * (len(t.shape) - 1)), t.dtype)  # noqa: E731
    spec = tf.nest.map_structure(loose, known)
    for part in ("support", "query"):
        spec[part] = tf.TensorSpec((2, None, 2), tf.float32), spec[part][1]
    data = tf.data.Dataset.from_generator(lambda: [known], output_signature=spec)
    data = data.apply(tf.data.experimental.assert_cardinality(1))
    model, other = dense_model(reduction), dense_model(reduction)
    for each in (model, other):
        each.compile(SGD(0.5), loss=LOGITS(reduction=reduction), jit_compile=jit_compile)
    expected = other.fit(tf.data.Dataset.from_tensors(known), verbose=0).history
    found = model.fit(data, verbose=0).history
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5)


class OfIntegers(keras.Model):
    """A network that takes positions, of which there is no float."""

    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(tf.one_hot(x[..., 0], 10))


@pytest.mark.slow
@pytest.mark.parametrize("built", [False, True])
def test_a_subclassed_network_may_take_integers(built):
    network = OfIntegers()
    if built:
        network(tf.zeros((1, 1), tf.int32))
    pool = kr.ClassPool.from_arrays(np.arange(30, dtype=np.int32)[:, None] % 10, np.arange(30) % 5)
    tasks = kr.episode_dataset(pool, ways=3, shots=2, meta_batch_size=2, tasks=2)
    model = small_model(network)
    model.fit(tasks, verbose=0)
    assert kr.evaluate(model, tasks, verbose=0).accuracies.shape == (2,)


class Several(keras.Model):
    def __init__(self, returned):
        super().__init__()
        self.dense, self.returned = keras.layers.Dense(3), returned

    def call(self, x):
        y = self.dense(keras.ops.reshape(x, (-1, 64)))
        return self.returned(y)


@pytest.mark.parametrize(
    ("returned", "name"), [(lambda y: (y, y), "tuple"), (lambda y: {"y": y}, "dict")]
)
@pytest.mark.parametrize("queries", [0, 1])
def test_a_call_that_returns_several_outputs_is_refused(returned, name, queries):
    text = f"`network` must have one output. Received: a network whose `call` returns a {name}."
    with pytest.raises(ValueError, match=text):
        small_model(Several(returned)).fit(small_episodes(tasks=2, queries=queries), verbose=0)


def words(ends_in=()):
    embedding = keras.layers.Embedding(10, 4, mask_zero=True)
    return keras.Sequential([keras.Input((5,)), embedding, *ends_in, keras.layers.Dense(3)])


def test_outputs_that_carry_a_mask_are_refused():
    x = np.random.RandomState(0).randint(0, 10, (30, 5)).astype(np.float32)
    pool = kr.ClassPool.from_arrays(x, np.arange(30) % 3)
    tasks = kr.episode_dataset(pool, ways=3, shots=2, meta_batch_size=2, tasks=2)
    by_word = tasks.map(of_examples(lambda x, y: (x, tf.repeat(y[..., None], 5, axis=-1))))
    text = "Received: a network whose output has a mask. End it in a layer that passes no mask on"
    with pytest.raises(ValueError, match=text):
        small_model(words()).fit(by_word, verbose=0)
    small_model(words([keras.layers.GlobalAveragePooling1D()])).fit(tasks, verbose=0)


def squares(y_true, y_pred):
    return tf.square(y_true - y_pred)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_targets_in_a_column_and_of_other_dtypes_are_compared_each_with_its_output(dtype):
    (x,), (y,) = points()
    layers = [keras.Input((2,)), keras.layers.Dense(1), keras.layers.Reshape(())]
    model = kr.ReptileModel(keras.Sequential(layers), SGD(0.0), inner_state="reset")
    model.compile(SGD(1.0), loss=squares)
    by_hand = np.mean((model.network.predict(x, verbose=0) - y) ** 2)
    data = episode(x[None], y[None, :, None].astype(dtype), np.zeros((1, 1, 4)))
    found = kr.evaluate_loss(model, tf.data.Dataset.from_tensors(data), verbose=0)
    assert found.loss == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.slow
def test_class_labels_stay_integers_for_a_loss_of_ones_own():
    def entropy(y_true, y_pred):
        return tf.nn.sparse_softmax_cross_entropy_with_logits(y_true, y_pred)

    own, usual = small_model(), small_model()
    own.compile(SGD(0.5), loss=entropy)
    for model in (own, usual):
        model.fit(small_episodes(), steps_per_epoch=2, verbose=0)
    for a, b in zip(own.get_weights(), usual.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_moving_averages_that_take_nothing_up_are_refused():
    layer = keras.layers.BatchNormalization(momentum=1.0, name="fixed")
    with pytest.raises(
        ValueError, match=r"which momentum=1.0 fixes. Received: .* \['fixed'\]. Use"
    ):
        kr.ReptileModel(keras.Sequential([keras.Input((2,)), layer]))


def test_an_evaluation_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"at least one task. Received: an empty dataset."):
        kr.evaluate(small_model(), small_episodes(tasks=2).take(0), verbose=0)


@pytest.mark.slow
def test_a_network_compiled_with_a_function_of_ones_own_adapts():
    network = small_convnet()
    network.compile("sgd", loss=squares)
    tasks = small_episodes(tasks=2)
    (x, y), model = next(iter(tasks))["support"], small_model(network)
    model.fit(tasks, verbose=0)
    assert model.adapt(x[0], y[0], steps=1).predict(x[0], verbose=0).shape == (12, 3)


def test_frozen_layers_stay_as_they_are_in_later_learners():
    model = small_model(inner_state="reset")
    x, y = next(iter(small_episodes(tasks=2)))["support"]
    model.adapt(x[0], y[0], steps=2)
    model.network.layers[0].trainable = False
    learner = model.adapt(x[0], y[0], steps=2)
    before, after = (n.layers[0].get_weights() for n in (model.network, learner))
    np.testing.assert_array_equal(after[0], before[0])
    assert (learner.layers[-1].get_weights()[0] != model.network.layers[-1].get_weights()[0]).any()


@pytest.mark.slow
def test_accumulated_displacements_go_on_from_the_meta_batch_they_are_at():
    def trained(model, start, steps):
        model.fit(small_episodes(start=start), steps_per_epoch=steps, verbose=0)
        return model

    def built():
        dropped = small_dense([keras.layers.Dropout(0.5, seed=1)])
        model = small_model(dropped, inner_state="reset")
        model.compile(SGD(0.5, gradient_accumulation_steps=2))
        return model

    whole, broken = trained(built(), 0, 4), trained(built(), 0, 2)
    assert broken.meta_iteration == 2
    trained(broken, broken.meta_iteration, 2)
    for a, b in zip(whole.get_weights(), broken.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_accumulation_draws_dropout_anew_for_every_meta_batch():
    model = small_model(small_dense([keras.layers.Dropout(0.5, seed=1)]))
    model.compile(SGD(0.0, gradient_accumulation_steps=4))
    seen = []
    at_end = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs=None: model.reset_metrics(),
        on_train_batch_end=lambda batch, logs: seen.append(logs["loss_before"]),
    )
    same = small_episodes(tasks=2).repeat(4)
    model.fit(same, verbose=0, callbacks=[at_end])
    assert len(set(seen)) == 4


def test_class_labels_are_numbers_to_a_loss_object_of_ones_own_as_in_keras():
    class Ordinal(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true[..., None] - y_pred), axis=-1)

    model = small_model()
    model.compile(SGD(0.0), loss=Ordinal())
    x, y = next(iter(small_episodes(tasks=1, meta_batch_size=1)))["support"]
    data = episode(x, y, np.zeros((1, 1, 12)) + np.arange(12))
    found = model.evaluate(tf.data.Dataset.from_tensors(data), return_dict=True, verbose=0)
    outputs = model.network(x[0], training=True)
    by_hand = np.mean((np.asarray(y[0])[:, None] - np.asarray(outputs)) ** 2)
    assert found["loss_before"] == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["separate", "vectorized"])
def test_queries_may_have_another_dtype_than_the_support_set(how):
    x, y = points(images=6)
    layers = keras.layers.Dense(3, use_bias=False), keras.layers.BatchNormalization()
    network = keras.Sequential([keras.Input((2,)), *layers])
    model = kr.ReptileModel(network, SGD(0.1), task_parallelism=how)
    model.compile(SGD(0.0))
    found = [
        shown(model, episode(x, y, [[[0, 1, 2]]], np.asarray(x + 1, dtype), y)) for dtype in "fd"
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-6, nan_ok=True)
    whole = episode(x, y, [[[0, 1, 2]]], np.ones_like(x, int), y)
    assert math.isfinite(kr.evaluate(model, whole, verbose=0).accuracy)


def test_labels_of_queries_alone_may_have_a_last_axis_of_one():
    x, y = points()
    column = episode(x, y, [[[0, 1, 2]]], x, y[..., None])
    plain = episode(x, y, [[[0, 1, 2]]], x, y)
    found = [shown(dense_model(), each)["accuracy"] for each in (column, plain)]
    assert found[0] == found[1]


def test_a_metric_may_have_several_values():
    x, y = points()
    one_hot = np.eye(3, dtype=np.float32)[y]
    model = dense_model()
    losses = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(SGD(0.0), losses, metrics=[keras.metrics.F1Score(average=None, name="f1")])
    logs = model.test_on_batch(episode(x, one_hot, [[[0, 1, 2]]]), return_dict=True)
    assert logs["f1"].shape == (3,) and isinstance(logs["loss"], float)


@pytest.mark.slow
def test_meta_batches_that_python_makes_need_no_tuple():
    class Two(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, place):
            return batches[place]

    batches = [episode(*points(), [[[i, 3, 4]]]) for i in range(2)]
    expected = dense_model()
    for meta_batch in batches:
        expected.train_on_batch(meta_batch)
    for data in ((b for b in batches), Two(workers=1)):
        model = dense_model()
        model.fit(data, verbose=0)
        assert model.meta_iteration == expected.meta_iteration == 2
    assert dense_model().predict(Two(workers=1), verbose=0).shape == (2, 9, 3)
    assert len(dense_model().evaluate((b for b in batches), verbose=0)) == 5


def test_variables_that_take_their_gradients_as_values_are_refused():
    model = dense_model()
    model.network.quantize("float8")
    x, y = points()
    with pytest.raises(ValueError, match=r"next values, as layers in float8.*inputs_scale"):
        model.train_on_batch(episode(x, y, [[[0, 1, 2]]]))
    with pytest.raises(ValueError, match=r"quantize what `adapt` returns"):
        model.adapt(x[0], y[0])


def test_weights_of_the_network_alone_are_told_of(tmp_path):
    model = kr.ReptileModel(small_dense())
    model.network.save_weights(tmp_path / "network.weights.h5")
    with pytest.raises(ValueError) as refused:
        model.load_weights(tmp_path / "network.weights.h5")
    assert "`model.network.load_weights(filepath)`" in refused.value.__notes__[0]
    model.network.load_weights(tmp_path / "network.weights.h5")
