"""A head whose outputs all start from one learned vector."""

import keras
import numpy as np
import pytest
from helpers import small_convnet, small_episodes, small_linear, small_model

import keras_reptile as kr
from keras_reptile.algorithm import shared_head

SGD, ADAM = keras.optimizers.SGD, keras.optimizers.Adam


def dense(ways=3, seed=0):
    kernels = kr.networks.glorot_uniform(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(6, "tanh", kernel_initializer=next(kernels)),
            keras.layers.Dense(ways, kernel_initializer=next(kernels), bias_initializer="ones"),
        ]
    )


def model_of(head="shared", optimizer=None, network=None, **arguments):
    arguments = {"inner_optimizer": SGD(0.1), "head": head, **arguments}
    model = kr.ReptileModel(network or dense(), **arguments)
    model.compile(optimizer or SGD(0.5))
    return model


def head_of(model):
    return [v.numpy() for v in model.network.layers[-1].trainable_variables]


def assert_outputs_are_equal(model):
    for value in head_of(model):
        np.testing.assert_array_equal(value, value[..., :1].repeat(value.shape[-1], axis=-1))


def test_outputs_start_from_the_mean_of_those_given():
    network = dense()
    kernel, _ = network.layers[-1].get_weights()
    model = model_of(network=network)
    assert_outputs_are_equal(model)
    np.testing.assert_allclose(head_of(model)[0][:, 0], kernel.mean(axis=1), atol=1e-6)
    np.testing.assert_array_equal(head_of(model)[1], 1)


CASES = {
    "reptile, Adam carried": dict(inner_optimizer=ADAM(0.01), optimizer=SGD(0.5)),
    "reptile, outer Adam clipped": dict(optimizer=ADAM(0.01, global_clipnorm=0.1)),
    "reptile, vectorized": dict(optimizer=SGD(0.5, momentum=0.5), task_parallelism="vectorized"),
    "reptile, in series": dict(
        inner_optimizer=ADAM(0.01), task_order="serial", optimizer=SGD(0.5, momentum=0.5)
    ),
    "fomaml": dict(method="fomaml", optimizer=ADAM(0.01)),
    "maml": dict(method="maml", optimizer=ADAM(0.01)),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_outputs_stay_equal_bit_by_bit_and_so_do_the_moments_that_are_carried(case):
    model = model_of(**CASES[case])
    model.fit(small_episodes(), steps_per_epoch=4, verbose=0)
    assert_outputs_are_equal(model)
    slots = [v.numpy() for v in model.inner_variables[1:] if v.shape[-1] == 3]
    for value in slots:
        np.testing.assert_array_equal(value, value[..., :1].repeat(3, axis=-1))
    # Adam's second moments of the head are there, and not zero.
    assert bool(slots) == isinstance(CASES[case].get("inner_optimizer"), ADAM)
    assert all((value != 0).any() for value in slots[-2:])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["reptile", "fomaml", "maml"])
def test_the_outer_step_is_the_plain_one_with_the_head_at_its_mean(method):
    # The squared error sees what outputs have in common.
    changes = []
    for head in ("shared", "separate"):
        model = model_of(head, SGD(1.0), method=method, inner_state="reset")
        shared_head.make_equal(shared_head.head_of(model.network).trainable_variables)
        one_hot = small_episodes(tasks=2).map(_with_one_hot_targets)
        model.compile(SGD(1.0), loss="mean_squared_error")
        before = model.network.get_weights()
        model.fit(one_hot, verbose=0)
        changes.append([a - b for a, b in zip(model.network.get_weights(), before, strict=True)])
    shared, plain = changes
    for a, b in zip(shared[:-2], plain[:-2], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for a, b in zip(shared[-2:], plain[-2:], strict=True):
        assert abs(b.mean(axis=-1)).max() > 1e-4
        assert np.ptp(b, axis=-1).max() > 1e-4
        np.testing.assert_allclose(a, b.mean(axis=-1, keepdims=True) + 0 * a, atol=1e-6)


def _with_one_hot_targets(tasks):
    def changed(x, y):
        return x, keras.ops.one_hot(y, 3)

    return {**tasks, **{part: changed(*tasks[part]) for part in ("support", "query")}}


def test_the_order_of_labels_changes_no_prediction():
    turned = {}
    for head in ("shared", "separate"):
        model = model_of(head)
        task = next(iter(small_episodes(tasks=1, queries=3)))
        (x, y), (query_x, _) = task["support"], task["query"]
        plain = model.predict({**task, "query": (query_x,)}, verbose=0)
        other = {**task, "support": (x, (y + 1) % 3), "query": (query_x,)}
        turned[head] = np.abs(np.roll(plain, 1, axis=-1) - model.predict(other, verbose=0)).max()
    assert turned["shared"] < 1e-5
    assert turned["separate"] > 1e-2


@pytest.fixture(scope="module")
def trained():
    model = small_model(small_convnet(), head="shared")
    model.fit(small_episodes(), steps_per_epoch=40, verbose=0)
    return model


@pytest.mark.slow
def test_more_classes_start_from_the_learned_output_and_its_moments(trained):
    other = trained.with_head(5)
    assert other.head == "shared"
    assert_outputs_are_equal(other)
    for a, b in zip(head_of(other), head_of(trained), strict=True):
        assert a.shape[-1] == 5
        np.testing.assert_array_equal(a[..., 0], b[..., 0])
    for a, b in zip(other.inner_variables, trained.inner_variables, strict=True):
        np.testing.assert_array_equal(np.ravel(a)[:1], np.ravel(b)[:1])
        assert a.shape in (b.shape, (*b.shape[:-1], 5))
    found = kr.evaluate(other, small_episodes(ways=5, shots=4, tasks=10, seed=5), verbose=0)
    assert found.accuracy > 0.5


@pytest.mark.slow
def test_adapt_repeats_the_learned_output_for_as_many_classes_as_labels(trained):
    task = next(iter(small_episodes(ways=5, shots=4, queries=4, seed=5)))
    x, y, query_x, query_y = (t[0].numpy() for t in (*task["support"], *task["query"]))
    start = trained.adapt(x, y, steps=0, head="shared")
    kernel = start.layers[-1].kernel.numpy()
    np.testing.assert_array_equal(kernel, head_of(trained)[0][:, :1].repeat(5, axis=1))
    learner = trained.adapt(x, y, steps=60, head="shared")
    assert learner.evaluate(query_x, query_y, verbose=0)[1] > 0.6
    drawn = trained.adapt(x, y, steps=0, head="replace").layers[-1].kernel.numpy()
    assert np.ptp(drawn, axis=1).max() > 0.1


@pytest.mark.parametrize("head", ["shared", "replace"])
def test_a_new_head_learns_a_label_for_each_place(head):
    model = model_of(network=keras.Sequential([keras.Input((4, 2)), keras.layers.Dense(3)]))
    x, y = np.random.RandomState(0).rand(5, 4, 2).astype("float32"), np.arange(20).reshape(5, 4) % 5
    learner = model.adapt(x, y, steps=1, head=head)
    assert learner.predict(x, verbose=0).shape == (5, 4, 5)
    with pytest.raises(ValueError, match=r"for each place in each image, \(images, 4\)"):
        model.adapt(x, y[:, 0], steps=1, head=head)


def test_a_saved_model_has_a_shared_head_and_older_ones_have_not(tmp_path):
    model = model_of()
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.head == "shared"
    for a, b in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    config = model.get_config()
    del config["head"]
    assert kr.ReptileModel.from_config(config).head == "separate"


def test_weights_of_a_separate_head_become_their_mean(tmp_path):
    separate = model_of("separate", inner_optimizer=ADAM(0.01))
    separate.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    separate.save_weights(tmp_path / "m.weights.h5")
    loaded, given = model_of(inner_optimizer=ADAM(0.01)), model_of(inner_optimizer=ADAM(0.01))
    loaded.load_weights(tmp_path / "m.weights.h5")
    given.set_weights(separate.get_weights())
    for model in (loaded, given):
        assert_outputs_are_equal(model)
        np.testing.assert_allclose(head_of(model)[0][:, 0], head_of(separate)[0].mean(axis=1))
        moments, others = ([v.numpy() for v in m.inner_variables] for m in (model, separate))
        np.testing.assert_allclose(moments[3][:, 1], others[3].mean(axis=1))
        assert moments[0] == others[0] > 0


def test_weights_that_the_network_got_by_itself_become_their_mean():
    model = small_model(small_linear(), head="shared")
    kernel, bias = model.network.get_weights()
    kernel = np.random.RandomState(0).rand(*kernel.shape).astype(np.float32)
    mean = np.repeat(kernel.mean(axis=1, keepdims=True), 4, axis=1)
    model.network.set_weights([kernel, bias])
    np.testing.assert_allclose(model.with_head(4).network.get_weights()[0], mean, rtol=1e-6)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    np.testing.assert_allclose(model.network.get_weights()[0], mean[:, :3], rtol=1e-6)


def test_what_has_no_head_to_share_is_refused():
    soft = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.Softmax()])
    with pytest.raises(ValueError, match=r"head='shared' needs a functional.*is a Softmax"):
        kr.ReptileModel(soft, head="shared")
    inputs = keras.Input((4,))
    divided = keras.Model(inputs, keras.layers.Dense(3)(inputs) / 2)
    with pytest.raises(ValueError, match=r"ends in a `Dense` layer.*last layer is a \w*Divide"):
        kr.ReptileModel(divided, head="shared")
    frozen = dense()
    frozen.layers[-1].trainable = False
    in_part = dense()
    in_part.layers[-1].enable_lora(2)
    for network in (frozen, in_part):
        with pytest.raises(ValueError, match=r"all weights of the last layer.*is frozen, or a"):
            kr.ReptileModel(network, head="shared")
    with pytest.raises(ValueError, match="`head` must be one of"):
        kr.ReptileModel(dense(), head="common")
    with pytest.raises(ValueError, match=r"`head='shared'` needs a model whose outputs start"):
        model_of("separate").adapt(np.zeros((2, 8, 8, 1)), [0, 1], head="shared")


def test_a_network_that_is_built_by_its_first_data_starts_with_equal_outputs():
    network = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])
    model = model_of(network=network)
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    assert_outputs_are_equal(model)


@pytest.mark.slow
def test_a_head_that_is_no_longer_shared_is_noticed_and_none_becomes_shared():
    model = model_of(optimizer=SGD(1.0))
    one_hot = small_episodes(tasks=2).map(_with_one_hot_targets)
    model.compile(SGD(1.0), loss="mean_squared_error")
    model.fit(one_hot, verbose=0)
    assert_outputs_are_equal(model)
    model.head = "separate"
    model.fit(one_hot, verbose=0)
    assert np.ptp(head_of(model)[0], axis=-1).max() > 1e-4
    with pytest.raises(ValueError, match=r"cannot get a shared head.*Make a new model"):
        model.head = "shared"
    with pytest.raises(ValueError, match="`head` must be one of"):
        model.head = "common"
