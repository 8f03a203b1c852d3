import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    scalar_episode,
    scalar_model,
    small_convnet,
    small_episodes,
    small_linear,
    small_model,
    weight,
)

import keras_reptile as kr
from keras_reptile.algorithm.network_function import NetworkFunction


def support(shots=4):
    task = next(iter(small_episodes(shots=shots, queries=8, seed=2)))
    return [t[0].numpy() for t in (*task["support"], *task["query"])]


@pytest.fixture(scope="module")
def trained():
    """A model that no test changes."""
    model = small_model()
    model.fit(small_episodes(), steps_per_epoch=60, verbose=0)
    return model


def test_adapt_takes_the_inner_loops_steps(float64):
    # Rate 0.25 halves the distance to the target 8 at each step: 4, 6, 7.
    model = scalar_model(keras.optimizers.SGD(0.25), keras.optimizers.SGD(1.0))
    learner = model.adapt(np.ones((2, 1)), np.full((2, 1), 8.0), steps=3)
    assert float(np.ravel(learner.get_weights()[0])[0]) == pytest.approx(7.0)
    assert weight(model) == 0.0


@pytest.mark.slow
def test_the_learner_is_a_compiled_keras_model_that_knows_the_task(trained):
    support_x, support_y, query_x, query_y = support()
    learner = trained.adapt(support_x, support_y, steps=20)
    assert isinstance(learner, keras.Sequential) and learner.compiled
    _, accuracy = learner.evaluate(query_x, query_y, verbose=0)
    assert accuracy > 0.7
    # One image at a time or all at once: the support set's statistics are kept.
    alone = np.concatenate([learner.predict(x[None], verbose=0) for x in query_x[:3]])
    np.testing.assert_allclose(alone, learner.predict(query_x, verbose=0)[:3], atol=1e-5)
    history = learner.fit(support_x, support_y, epochs=2, verbose=0)
    assert set(history.history) == {"accuracy", "loss"}


def test_a_learner_normalizes_by_the_support_set_at_the_adapted_weights():
    model, (x, y, *_) = small_model(), support()
    learner = model.adapt(x, y, steps=3)
    found = learner.predict(x, verbose=0)
    np.testing.assert_allclose(found, learner(x, training=True), atol=1e-4)


@pytest.mark.slow
def test_adapting_twice_gives_the_same_learner_and_the_seed_another():
    model = small_model()
    support_x, support_y, *_ = support()
    first, again, other = (
        model.adapt(support_x, support_y, steps=5, inner_batch_size=4, seed=s).get_weights()
        for s in (0, 0, 1)
    )
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_the_learner_can_be_saved_and_loaded_by_plain_keras(tmp_path):
    support_x, support_y, *_ = support()
    learner = small_model().adapt(support_x, support_y, steps=2)
    learner.save(tmp_path / "learner.keras")
    loaded = keras.saving.load_model(tmp_path / "learner.keras")
    np.testing.assert_array_equal(
        loaded.predict(support_x, verbose=0), learner.predict(support_x, verbose=0)
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (dict(support_x=np.zeros((0, 8, 8, 1)), support_y=np.zeros(0, int)), "at least one image"),
        (dict(support_y=[0, 1]), "one label for each.*Received"),
        (dict(support_y=[0, 1, 3]), "Labels must be in 0 to 2.*Received: labels from 0 to 3"),
        (dict(support_y=[-1, 1, 2]), "Labels must be in 0 to 2.*Received: labels from -1 to 2"),
        (dict(steps=-1), "`steps` must not be negative. Received: steps=-1"),
        (dict(head="new"), "`head` must be 'keep', 'replace' or 'shared'. Received: head='new'"),
        (dict(inner_batch_size=0), "`inner_batch_size` must be at least 1"),
    ],
)
def test_a_bad_support_set_is_refused(arguments, text):
    given = dict(support_x=np.zeros((3, 8, 8, 1), np.float32), support_y=[0, 1, 2])
    with pytest.raises(ValueError, match=text):
        small_model(small_convnet()).adapt(**{**given, **arguments})


@pytest.mark.slow
def test_the_learners_optimizer_goes_on_from_the_inner_state(float64):
    # Six inner steps at once, or four and then two of the learner's own `fit` on all images.
    optimizers = (
        keras.optimizers.Adam(0.05, beta_1=0.0),
        keras.optimizers.SGD(0.05, momentum=0.9),
        # The schedule counts the task's steps, the moments the carried ones.
        keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)),
    )
    x, y = np.ones((2, 1)), np.full((2, 1), 8.0)
    for optimizer in optimizers:
        model = scalar_model(optimizer, keras.optimizers.SGD(1.0))
        model.train_on_batch(scalar_episode([3.0], steps=3))
        whole = model.adapt(x, y, steps=6)
        part = model.adapt(x, y, steps=4)
        part.fit(x, y, batch_size=2, epochs=2, verbose=0)
        np.testing.assert_allclose(part.get_weights()[0], whole.get_weights()[0], rtol=1e-5)


def test_a_learner_with_a_schedule_is_saved_and_loaded(tmp_path):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5)
    model = scalar_model(keras.optimizers.Adam(schedule), keras.optimizers.SGD(1.0))
    model.train_on_batch(scalar_episode([3.0], steps=3))
    model.adapt(np.ones((2, 1)), np.ones((2, 1)), steps=4).save(tmp_path / "learner.keras")
    optimizer = keras.saving.load_model(tmp_path / "learner.keras").optimizer
    # Four steps of this task are made, and seven in all.
    assert int(optimizer.iterations) == 7
    assert float(optimizer.learning_rate) == pytest.approx(0.05 * 0.5**2)


def test_no_steps_leave_the_initialization():
    model = small_model()
    support_x, support_y, *_ = support()
    learner = model.adapt(support_x, support_y, steps=0)
    pairs = zip(learner.trainable_variables, model.network.trainable_variables, strict=True)
    assert all((a.numpy() == b.numpy()).all() for a, b in pairs)


@pytest.mark.slow
def test_a_new_head_has_other_classes_on_the_same_body(trained):
    model = trained
    task = next(iter(small_episodes(ways=7, shots=4, queries=8, seed=2)))
    x, y, query_x, query_y = (t[0].numpy() for t in (*task["support"], *task["query"]))
    before = [v.numpy() for v in model.variables]
    start = model.adapt(x, y, steps=0, head="replace")
    assert start.output_shape == (None, 7)
    pairs = zip(start.trainable_variables[:-2], model.network.trainable_variables[:-2], strict=True)
    assert all((a.numpy() == b.numpy()).all() for a, b in pairs)
    learner = model.adapt(x, y, steps=60, head="replace")
    assert learner.evaluate(query_x, query_y, verbose=0)[1] > 0.6
    for v, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(v.numpy(), value)


def test_a_new_heads_moments_start_from_zero_and_the_bodys_are_carried(trained):
    support_x, support_y, *_ = support()
    optimizer = trained.adapt(support_x, support_y, steps=0, head="replace").optimizer
    carried = trained.inner_variables[1:]
    for slot, value in zip(optimizer._velocities[:-2], carried[:-2], strict=True):
        np.testing.assert_array_equal(slot.numpy(), value.numpy())
    assert all((slot.numpy() == 0).all() for slot in optimizer._velocities[-2:])
    assert int(optimizer.iterations) == int(trained.inner_variables[0])


def test_what_has_no_head_to_replace_is_refused():
    model = small_model(keras.Sequential([*small_convnet().layers, keras.layers.Softmax()]))
    x = np.zeros((3, 8, 8, 1), np.float32)
    with pytest.raises(ValueError, match=r"needs a functional.*last layer is a Softmax"):
        model.adapt(x, [0, 1, 2], head="replace")
    # The new head would take the place of the operations after the old one.
    inputs = keras.Input((4,))
    divided = small_model(keras.Model(inputs, keras.layers.Dense(3)(inputs) / 2))
    with pytest.raises(ValueError, match=r"needs a functional.*last layer is a \w*Divide"):
        divided.adapt(np.zeros((2, 4), np.float32), [0, 1], head="replace")
    network = small_linear()
    network.add(keras.layers.Dense(3, trainable=False))
    with pytest.raises(ValueError, match=r"has to be trained.*last layer is frozen, or a part"):
        small_model(network).with_head(4)
    regression = scalar_model(keras.optimizers.SGD(0.1), keras.optimizers.SGD(1.0))
    with pytest.raises(ValueError, match=r"counts classes, and needs integer labels"):
        regression.adapt(np.ones((2, 1)), np.ones((2, 1)), head="replace")


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict")
def test_a_new_head_leaves_the_structure_of_the_inputs():
    a, b = keras.Input((2,)), keras.Input((2,))
    network = keras.Model({"left": a, "right": b}, keras.layers.Dense(3)(a + b))
    x = {"left": np.ones((2, 2), np.float32), "right": np.zeros((2, 2), np.float32)}
    learner = small_model(network).adapt(x, [0, 3], steps=1, head="replace")
    assert learner.predict(x, verbose=0).shape == (2, 4)


def test_adapt_minimizes_the_loss_of_the_last_compile():
    support_x, support_y, *_ = support()
    summed = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")

    def weights_of(model):
        return model.adapt(support_x, support_y, steps=3).get_weights()

    sgd = keras.optimizers.SGD(0.01)
    model = small_model(inner_optimizer=sgd)
    by_mean = weights_of(model)
    model.compile(keras.optimizers.SGD(1.0), loss=summed)
    found = weights_of(model)
    other = small_model(inner_optimizer=sgd)
    other.compile(keras.optimizers.SGD(1.0), loss=summed)
    for a, b in zip(found, weights_of(other), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(found, by_mean, strict=True))


def logits_of_one_layer(loss, outputs=3):
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(outputs, use_bias=False)])
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.1))
    model.compile(keras.optimizers.SGD(1.0), loss=loss)
    return model


@pytest.mark.parametrize("outputs", [1, 3])
def test_a_learners_accuracy_of_binary_logits_is_that_of_the_model(outputs, tmp_path):
    rs = np.random.RandomState(0)
    x, y = rs.randn(40, 4).astype(np.float32), rs.randint(0, 2, (40, outputs))
    model = logits_of_one_layer(keras.losses.BinaryCrossentropy(from_logits=True), outputs)
    learner = model.adapt(x, y.astype(np.float32), steps=1)
    learner.save(tmp_path / "l.keras")
    expected = np.mean((learner.predict(x, verbose=0) > 0) == y)
    for each in (learner, keras.models.load_model(tmp_path / "l.keras")):
        assert each.evaluate(x, y, verbose=0)[1] == pytest.approx(expected)


@keras.saving.register_keras_serializable(package="test_learner")
def of_labels(y_true, y_pred):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(y_true, y_pred)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (of_labels, np.arange(6) % 3),
        (keras.losses.MeanSquaredError(reduction="none"), np.eye(3, dtype=np.float32)[[0, 1] * 3]),
        (keras.losses.MeanSquaredError(reduction="sum"), np.eye(3, dtype=np.float32)[[0, 1] * 3]),
    ],
)
def test_fit_goes_on_by_the_loss_of_the_inner_loop(loss, targets, tmp_path):
    x = np.random.RandomState(0).rand(6, 4).astype(np.float32)
    model = logits_of_one_layer(loss)
    whole = model.adapt(x, targets, steps=2, inner_batch_size=6).get_weights()[0]
    learner = model.adapt(x, targets, steps=1, inner_batch_size=6)
    learner.save(tmp_path / "l.keras")
    for each in (learner, keras.models.load_model(tmp_path / "l.keras")):
        each.fit(x, targets, batch_size=6, verbose=0)
        np.testing.assert_allclose(each.get_weights()[0], whole, atol=1e-6)


def test_labels_with_an_axis_too_many_are_refused_and_spoil_nothing():
    model = small_model()
    support_x, support_y, *_ = support()
    with pytest.raises(ValueError, match=r"one integer for each image.*of shape \(12, 1\)"):
        model.adapt(support_x, support_y[:, None])
    assert model.adapt(support_x, support_y, steps=1)


def test_images_of_another_shape_are_refused():
    support_x, support_y, *_ = support()
    with pytest.raises(ValueError, match=r"shape \(images, 8, 8, 1\). Received: \(12, 7, 8, 1\)"):
        small_model().adapt(support_x[:, 1:], support_y)


def test_a_network_that_has_no_weights_yet_is_refused():
    model = small_model(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]))
    support_x, support_y, *_ = support()
    with pytest.raises(
        ValueError, match=r"that is built. Received: a network without weights. Train it"
    ):
        model.adapt(support_x, support_y)


def test_statistics_of_a_normalization_that_is_called_twice_are_a_mean_of_both():
    inputs, normalize = keras.Input((2,)), keras.layers.BatchNormalization()
    joined = keras.layers.Concatenate()([normalize(inputs), normalize(inputs)])
    model = small_model(keras.Model(inputs, keras.layers.Dense(3)(joined)))
    x = np.random.RandomState(0).randn(20, 2).astype(np.float32) + 5
    learner = model.adapt(x, np.arange(20) % 3, steps=0)
    (found,) = [v for v in learner.layers if isinstance(v, keras.layers.BatchNormalization)]
    np.testing.assert_allclose(found.moving_mean, x.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(found.moving_variance, x.var(axis=0), rtol=1e-4)


def test_a_list_of_images_is_as_good_as_an_array():
    support_x, support_y, *_ = support()
    model = small_model()
    found = model.adapt(list(support_x), list(support_y), steps=2).get_weights()
    wanted = model.adapt(support_x, support_y, steps=2).get_weights()
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a, b)


def test_inputs_that_keras_fits_to_the_network_are_taken():
    support_x, support_y, *_ = support()
    model = small_model()
    wanted = model.adapt(support_x, support_y, steps=2).get_weights()
    for given in (support_x[..., 0], [support_x]):
        network = model.network
        if isinstance(given, list):
            network = keras.Model([network.inputs[0]], network.outputs[0])
        found = small_model(network).adapt(given, support_y, steps=2).get_weights()
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def test_images_with_and_without_their_last_axis_are_taken_by_one_model():
    support_x, support_y, *_ = support()
    model = small_model(small_linear())
    learners = [
        model.adapt(x, support_y, steps=2)
        for x in (support_x, support_x[..., 0], support_x[..., None])
    ]
    first, *others = [learner.get_weights() for learner in learners]
    for found in others:
        for a, b in zip(found, first, strict=True):
            np.testing.assert_array_equal(a, b)


class HoldsOneMore(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense, self.unused = keras.layers.Dense(3), keras.layers.BatchNormalization()

    def build(self, shape):
        self.dense.build(shape)
        self.unused.build(shape)

    def call(self, x):
        return self.dense(x)


def test_a_normalization_that_was_not_called_keeps_its_statistics():
    network = HoldsOneMore()
    network(np.ones((1, 2), np.float32))
    found = NetworkFunction(network).support_statistics(
        network.trainable_variables, np.ones((4, 2), np.float32)
    )
    held = network.non_trainable_variables
    assert len(held) == 2
    for a, b in zip(found, held, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_new_head_needs_labels_from_zero():
    support_x, *_ = support()
    with pytest.raises(ValueError, match=r"Labels must be 0 or more. Received: labels from -1"):
        small_model().adapt(support_x[:3], [-1, 0, 1], head="replace")
