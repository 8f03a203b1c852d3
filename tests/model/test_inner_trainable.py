"""`inner_trainable`: the layers that the inner loop of a model, a learner and an export moves."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_episodes

import keras_reptile as kr
from keras_reptile.algorithm.moved_layers import positions_of_moved
from keras_reptile.export.endpoints import weight_names

SGD = keras.optimizers.SGD


def network():
    kernels = kr.networks.glorot_uniform(0)
    layers = [
        keras.layers.Flatten(),
        keras.layers.Dense(4, "tanh", kernel_initializer=next(kernels), name="body"),
        keras.layers.BatchNormalization(name="norm"),
        keras.layers.Dense(3, kernel_initializer=next(kernels), name="head"),
    ]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def model_of(inner_trainable="head", inner_optimizer=None, **arguments):
    optimizer = inner_optimizer or SGD(0.5, momentum=0.5)
    model = kr.ReptileModel(network(), optimizer, inner_trainable=inner_trainable, **arguments)
    model.compile(SGD(0.5), run_eagerly=True)
    return model


def task():
    episodes = next(iter(small_episodes(tasks=1, queries=2)))
    return [t[0].numpy() for t in (*episodes["support"], *episodes["query"])]


def test_names_at_any_depth_and_groups_choose_weights():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="deep")], name="tower")
    x = keras.Input((4,))
    outer = keras.Model(x, keras.layers.Softmax()(keras.layers.Dense(3, name="logits")(inner(x))))
    choices = {
        "head": (2, 3),
        "body": (0, 1),
        ("deep",): (0, 1),
        ("tower",): (0, 1),
        ("logits",): (2, 3),
        ("logits", "deep"): None,
        "all": None,
    }
    for chosen, positions in choices.items():
        assert positions_of_moved(outer, chosen) == positions
    outer.get_layer("tower").trainable = False
    assert positions_of_moved(outer, "head") is None


class TwoLayers(keras.Model):
    def __init__(self):
        super().__init__()
        self.last, self.first = keras.layers.Dense(3, name="last"), keras.layers.Dense(4)

    def call(self, x):
        return self.last(self.first(x))


def test_a_subclassed_network_has_names_but_no_order():
    subclassed = TwoLayers()
    subclassed(np.zeros((1, 2), "float32"))
    last = {id(v) for v in subclassed.last.trainable_variables}
    chosen = positions_of_moved(subclassed, ["last"])
    assert {id(subclassed.trainable_variables[i]) for i in chosen} == last
    with pytest.raises(ValueError, match=r"'body' need a functional or.*TwoLayers.*'last'"):
        positions_of_moved(subclassed, "head")


REFUSED = {
    "a name of no layer": (["haed"], "`inner_trainable` must name layers of the network, 'body', "
        "'norm', 'head'. Received: 'haed'. Did you mean 'head'?"),
    "a layer without weights": (["flatten"], "with 'flatten', a layer without them"),
    "a group that is none": ("heads", "Received: inner_trainable='heads'. Did you mean 'head'? "
        "Names are given as a list: ['heads']"),
    "nothing": ([], "or a list of names of layers. Received: inner_trainable=[]."),
    "a number": (3, "Received: inner_trainable=3."),
    "layers": ([keras.layers.ReLU()], "or a list of names of layers."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_names_no_weights_is_refused(case):
    chosen, text = REFUSED[case]
    given = network()
    given.layers[0].name = "flatten"
    with pytest.raises(ValueError, match=re.escape(text)):
        kr.ReptileModel(given, inner_trainable=chosen)


def test_names_of_a_network_that_is_not_built_are_checked_with_its_first_data():
    layers = [keras.layers.Flatten(), keras.layers.Dense(3, name="only")]
    model = kr.ReptileModel(keras.Sequential(layers), inner_trainable=["olny"])
    model.compile("sgd")
    with pytest.raises(ValueError, match="Did you mean 'only'"):
        model.fit(small_episodes(tasks=2), verbose=0)


def test_a_shared_head_must_move():
    text = r"must train the last layer.*Received: inner_t.*it, as inner_trainable='all' does"
    with pytest.raises(ValueError, match=text):
        kr.ReptileModel(network(), head="shared", inner_trainable="body")
    kr.ReptileModel(network(), head="shared", inner_trainable=["norm", "head"])


@pytest.mark.slow
def test_frozen_weights_move_in_neither_loop_and_the_others_in_the_outer_one():
    model = model_of("head")
    model.network.get_layer("body").trainable = False
    model = kr.ReptileModel(model.network, SGD(0.5), inner_trainable="head")
    model.compile(SGD(0.5), run_eagerly=True)
    before = [v.numpy() for v in model.network.variables]
    model.fit(small_episodes(tasks=2), verbose=0)
    moved = [
        v.path.split("/")[-2]
        for v, value in zip(model.network.variables, before, strict=True)
        if (v.numpy() != value).any()
    ]
    assert moved == ["norm", "norm", "head", "head"]


@pytest.mark.slow
def test_a_learner_has_moved_the_head_alone_and_goes_on_so(tmp_path):
    model = model_of("head")
    x, y, query_x, _ = task()
    learner = model.adapt(x, y, steps=4, inner_batch_size=len(x))
    for old, new in zip(model.network.trainable_variables, learner.layers[1].weights, strict=False):
        np.testing.assert_array_equal(old, new)
    assert [layer.trainable for layer in learner.layers] == [True, False, False, True]
    # Its optimizer is of the head, with the moments after four steps: two more are six.
    learner.fit(x, y, epochs=2, batch_size=len(x), shuffle=False, verbose=0)
    longer = model.adapt(x, y, steps=6, inner_batch_size=len(x))
    for found, expected in zip(learner.get_weights(), longer.get_weights(), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-5)
    learner.save(tmp_path / "learner.keras")
    again = keras.models.load_model(tmp_path / "learner.keras")
    assert len(again.trainable_variables) == 2
    found = again.predict(query_x, verbose=0)
    np.testing.assert_allclose(found, learner.predict(query_x, verbose=0), atol=1e-6)
    assert int(again.optimizer.iterations) == 6


@pytest.mark.slow
def test_an_export_moves_the_same_layers(tmp_path):
    model = model_of(["head"])
    model.export_learner(tmp_path / "learner")
    exported = tf.saved_model.load(str(tmp_path / "learner"))
    x, y, _, _ = task()
    weights = exported.adapt(x, y, 3, 0.5)
    names = weight_names(model.network)
    same = [
        (weights[name].numpy() == variable.numpy()).all()
        for name, variable in zip(names, model.network.trainable_variables, strict=True)
    ]
    assert same == [True, True, True, True, False, False]


def test_a_saved_model_keeps_it_and_older_ones_move_all_layers(tmp_path):
    for given in ("head", ["norm", "head"]):
        model = model_of(given)
        model.save(tmp_path / "m.keras")
        again = keras.models.load_model(tmp_path / "m.keras")
        assert (again.inner_trainable, again._moved) == (model.inner_trainable, model._moved)
    assert model.with_head(5).inner_trainable == ("norm", "head")
    config = model.get_config()
    del config["inner_trainable"]
    assert kr.ReptileModel.from_config(config).inner_trainable == "all"


def test_maml_carries_the_moments_of_the_layers_that_do_not_move():
    model = model_of("head", keras.optimizers.Adam(0.01, epsilon=1e-3), method="maml")
    model.fit(small_episodes(tasks=2), verbose=0)
    is_zero = [not v.numpy().any() for v in model.inner_variables[1:]]
    assert is_zero == 2 * [True, True, True, True, False, False]


@pytest.mark.of_a_cpu
@pytest.mark.slow
def test_settings_that_change_after_training_are_noticed():
    model = model_of("all")
    model.compile(SGD(0.5))
    tasks = small_episodes(tasks=2)
    model.evaluate(tasks, verbose=0)
    for change in (["head"], ("norm",), "body"):
        model.inner_trainable = change
        found = model.evaluate(tasks, verbose=0, return_dict=True)
        expected = model_of(change).evaluate(tasks, verbose=0, return_dict=True)
        assert found == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="Did you mean 'body'"):
        model.inner_trainable = ["bdoy"]
