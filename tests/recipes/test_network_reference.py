"""A recipe with a network of the user's own: from run.json to the export."""

import importlib
import json
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_reptile as kr
from keras_reptile.demo.models import load_model
from keras_reptile.errors import RunError
from keras_reptile.recipes import building, named
from keras_reptile.recipes.network_changes import changes
from keras_reptile.recipes.network_reference import load_function
from keras_reptile.runs import own_layers, training
from keras_reptile.runs.evaluating import evaluate_run as measure
from keras_reptile.runs.exporting import export_run
from keras_reptile.runs.run_directory import RunDirectory

SOURCE = """
import keras

@keras.saving.register_keras_serializable("my_networks")
class Halved(keras.layers.Layer):
    def call(self, x):
        return x / 2

def build(ways, image_shape, seed=None):
    kernel = keras.initializers.GlorotUniform(seed)
    head = keras.layers.Dense(ways, kernel_initializer=kernel)
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), Halved(), head])

def changed(ways, image_shape, seed=None):
    layers = [keras.layers.Flatten(), Halved(), keras.layers.ReLU(), keras.layers.Dense(ways)]
    return keras.Sequential([keras.Input(image_shape), *layers])

def without_a_seed(ways, image_shape):
    return build(ways, image_shape)

@keras.saving.register_keras_serializable("my_networks")
class Subclassed(keras.Model):
    def __init__(self, outputs, **kwargs):
        super().__init__(**kwargs)
        self.flatten, self.head = keras.layers.Flatten(), keras.layers.Dense(outputs)

    def call(self, x):
        return self.head(self.flatten(x))

def subclassed(ways, image_shape, seed):
    return Subclassed(ways)

def called(ways, image_shape, seed):
    network = Subclassed(ways)
    network(keras.KerasTensor((None, *image_shape)))
    return network

def lazy(ways, image_shape, seed):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(ways)])

def too_many(ways, image_shape, seed):
    return build(ways + 1, image_shape, seed)

def no_network(ways, image_shape, seed):
    return ways

def fails(ways, image_shape, seed):
    raise KeyError("a\\nb")

number = 5
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that lies in the current folder and is not imported yet."""
    name = f"my_networks_of_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "needs.py").write_text("import no_such_package")
    (tmp_path / "a_program.py").write_text("import sys; sys.exit(0)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    yield name
    for imported in (name, "broken", "needs", "a_program"):
        sys.modules.pop(imported, None)


def recipe(network, **changes):
    small = dict(meta_iterations=2, checkpoint_every=1, validation_tasks=0, test_tasks=2)
    return named.get("glyphs", network=network, **{**small, **changes})


def test_the_function_gets_what_the_papers_networks_get(module):
    network = building.build_network(recipe(f"{module}:build", seed=3), (4, 4, 1))
    assert network.output_shape == (None, 5) and network.count_params() == 16 * 5 + 5
    kernel = keras.initializers.GlorotUniform(3)((16, 5))
    np.testing.assert_array_equal(network.get_weights()[0], kernel)


@pytest.mark.parametrize("function", ["subclassed", "called", "lazy"])
def test_a_network_may_be_subclassed_or_not_built(function, module):
    network = building.build_network(recipe(f"{module}:{function}"), (4, 4, 1))
    assert network.built == (function == "called")
    assert network(np.zeros((2, 4, 4, 1))).shape == (2, 5)


def forget(module):
    """As in a process of its own, which has not imported the module."""
    del sys.modules[module]
    keras.saving.get_custom_objects().pop("my_networks>Halved")


@pytest.mark.slow
def test_a_run_resumes_and_is_evaluated_and_exported_with_it(module, tmp_path, monkeypatch, caplog):
    own = recipe(f"{module}:build", meta_iterations=1)
    pools = kr.datasets.load("glyphs", classes=40, validation_classes=8, test_classes=8)
    monkeypatch.setattr(building, "load_pools", lambda *_: pools)
    training.train(recipe(f"{module}:build", test_tasks=0), "run", verbose=0)
    assert (
        json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["network"]
        == own.network
    )
    forget(module)
    assert load_model("run").network.output_shape == (None, 5)
    forget(module)
    (result,) = measure("run", tasks=2, verbose=0)
    assert 0 <= result["accuracy"] <= 1
    metadata = export_run("run", "exported", only_model=True)
    assert metadata["settings"]["network"] == own.network
    assert training.train(recipe(own.network), "run", verbose=0)["result"]["tasks"] == 2
    assert not any("The source of" in message for message in caplog.messages)
    path = tmp_path / "run" / "run.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "own_layers": {"Halved": "another"}}))
    export_run("run", "exported", only_model=True, overwrite=True)
    assert "The source of Halved has changed since the run in run began" in caplog.text
    monkeypatch.setattr(sys.modules[module], "build", sys.modules[module].changed)
    with pytest.raises(RunError, match="returns another network than the checkpoint"):
        training.train(recipe(own.network), "run", verbose=0)


def a_network(width=8, rate=0.1, activation="relu", seed=None, **head):
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(2, 3, kernel_initializer=keras.initializers.HeNormal(seed)),
            keras.layers.BatchNormalization(trainable=False),
            keras.Sequential([keras.layers.Flatten(), keras.layers.Dropout(rate, seed=seed)]),
            keras.layers.Dense(width, activation),
            keras.layers.LayerNormalization(axis=[-1], epsilon=np.float32(1e-3)),
            keras.layers.Dense(5, **head),
        ]
    )


CHANGED = {
    "a size": (
        dict(width=9),
        [r"layer 5, Dense: units=8 \(now 9\), w.*", r"layer 6,.*", r"layer 7,.*"],
    ),
    "nothing but a seed": (dict(seed=3), []),
    "a rate": (dict(rate=0.2), [r"layer 4, Dropout: rate=0.1 \(now 0.2\)"]),
    "no weight": (dict(activation="tanh"), [r"layer 5, Dense: activation=relu \(now tanh\)"]),
    "a regularizer": (
        dict(kernel_regularizer="l2"),
        [r"layer 7, Dense: kernel_regularizer=None .*"],
    ),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_change_of_a_saved_network_is_found(change, tmp_path):
    a_network().save(tmp_path / "network.keras")
    saved = keras.models.load_model(tmp_path / "network.keras")
    other, texts = CHANGED[change]
    found = changes(saved, a_network(**other))
    assert len(found) == len(texts)
    assert all(re.fullmatch(text, line) for text, line in zip(texts, found, strict=True)), found


def test_a_network_that_is_not_built_is_not_compared():
    unbuilt = keras.Sequential([keras.layers.Dense(3)])
    assert changes(a_network(), unbuilt) == changes(unbuilt, a_network()) == []


def test_a_layer_more_is_named():
    before, now = a_network(), a_network()
    now.add(keras.layers.ReLU())
    assert changes(before, now) == ["layer 8: missing (now ReLU)"]


def test_a_changed_function_is_no_network_of_an_earlier_checkpoint(module, tmp_path):
    own = recipe(f"{module}:build")
    saved = building.build_model(own, (4, 4, 1))
    building.check_network(own, (4, 4, 1), saved)
    sys.modules[module].build = sys.modules[module].changed
    spec = {"support": (tf.TensorSpec((2, 5, 4, 4, 1)), tf.TensorSpec((2, 5), tf.int32))}
    with pytest.raises(
        RunError, match=r"of network='my_\w+:build' returns another .* layer 3: Dense"
    ):
        building.check_network(own, (4, 4, 1), saved)
    with pytest.raises(RunError, match=r"iteration 0 has: .* Restore the function, or train with"):
        building.on_strategy(own, spec, saved, tf.distribute.get_strategy(), None)


def test_own_layers_whose_source_has_changed_are_warned_of(module, tmp_path, caplog):
    network = building.build_network(recipe(f"{module}:build"), (4, 4, 1))
    directory = RunDirectory(tmp_path / "run")
    began = own_layers.described(network, None)
    assert began["own_layers"].keys() == {"Halved"}
    assert own_layers.described(a_network(), None) == {}
    directory.write_json("run.json", {"settings": {"ways": 5}, **began})
    own_layers.warn_of_changes(directory, network)
    assert not caplog.records
    forget(module)
    (tmp_path / f"{module}.py").write_text(SOURCE.replace("x / 2", "x / 20"))
    importlib.invalidate_caches()
    network = building.build_network(recipe(f"{module}:build"), (4, 4, 1))
    own_layers.warn_of_changes(directory, network)
    assert f"The source of Halved has changed since the run in {directory.path}" in caplog.text
    assert own_layers.described(network, began) == began != own_layers.described(network, None)


WRONG = {
    "build_": r"The module \w+ has no function. Received: '\w+:build_'. Did you mean 'build'\?",
    "number": r"The module \w+ has no function. Received: '\w+:number'.",
    "without_a_seed": r"is called with ways, image_shape, seed. .* which takes ways, image_shape\.",
    "too_many": r"must return a network with 5 outputs. Received .* output shape \(None, 6\)\.",
    "no_network": r"\(ways=5, image_shape=\(4, 4, 1\), seed=0\) must return a keras.Model. .*: 5\.",
    "fails": r"seed=0\) failed: KeyError: 'a.*'\.",
}


@pytest.mark.parametrize("function", WRONG)
def test_a_function_that_makes_no_network_is_refused(function, module):
    with pytest.raises(ValueError, match=WRONG[function]):
        building.build_network(recipe(f"{module}:{function}"), (4, 4, 1))


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        (
            "no_such_module:build",
            "There is no module no_such_module in .* Give the command where no",
        ),
        ("broken:build", "Importing broken failed: ZeroDivisionError: division by zero."),
        ("a_program:build", "Importing a_program would end the process. Put what it runs under"),
        ("needs:build", "Importing needs failed: ModuleNotFoundError: No module named 'no_such_p"),
    ],
)
def test_a_module_that_cannot_be_imported_is_refused(reference, text, module):
    with pytest.raises(ValueError, match=text):
        load_function(reference)


@pytest.mark.parametrize("reference", ["mine:", ":build", "mine:a b", "mine:a:b", "../mine:build"])
def test_what_is_no_module_and_function_is_no_network(reference):
    with pytest.raises(ValueError, match="`network` must be one of"):
        recipe(reference)
