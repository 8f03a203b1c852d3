"""The static page, without a browser: the content of the file, and refused models."""

import base64
import json
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_convnet, small_model

import keras_reptile as kr
from keras_reptile.demo import static_page
from keras_reptile.demo.browser_network import browser_network
from keras_reptile.demo.drawn_task import random_weights
from keras_reptile.errors import RunError
from keras_reptile.pretrained import MODELS
from keras_reptile.programs import demo

CONV, NORM, RELU, FLAT, DENSE, POOL = (
    keras.layers.Conv2D,
    keras.layers.BatchNormalization,
    keras.layers.ReLU,
    keras.layers.Flatten,
    keras.layers.Dense,
    keras.layers.MaxPooling2D,
)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The text of the page of the package's own network."""
    path = tmp_path_factory.mktemp("page") / "page.html"
    static_page.write_page(path, MODELS / "omniglot_5way")
    return path.read_text()


def data_of(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(text)


def unpacked(text, sizes):
    values = np.frombuffer(base64.b64decode(text), "<f4")
    assert len(values) == sum(sizes)
    return np.split(values, np.cumsum(sizes)[:-1])


def test_the_page_has_the_models_weights_and_moments_to_the_bit(shipped):
    network = data_of(shipped)["network"]
    model = kr.pretrained("omniglot_5way")
    weights, sizes = model.network.trainable_variables, network["sizes"]
    # The biases of the four convolutions, which normalization takes out again, are not in it.
    kept = [i for i in range(len(weights)) if i not in (1, 5, 9, 13)]
    assert sum(w.shape.num_elements() for w in weights) == 113_221
    assert sum(sizes) == 113_221 - 4 * 64
    step, *moments = model.inner_variables
    fresh = random_weights(model.network)
    for kind, which, expected in [
        ("known", "weights", weights),
        ("fresh", "weights", fresh),
        ("known", "slots", moments),
    ]:
        given = network[kind][which]
        parts = unpacked(given[0] if which == "slots" else given, sizes)
        for part, place in zip(parts, kept, strict=True):
            np.testing.assert_array_equal(part, np.ravel(expected[place]))
    assert network["known"]["step"] == int(step)
    assert network["fresh"] | {"weights": ""} == {"weights": "", "step": 0, "slots": [None]}


def test_the_page_has_the_models_hyper_parameters(shipped):
    network = data_of(shipped)["network"]
    rule = kr.pretrained("omniglot_5way").inner_rule
    optimizer = network["optimizer"]
    assert optimizer["rates"] == [pytest.approx(rule.learning_rate)]
    names = ("beta_1", "beta_2", "epsilon")
    assert [optimizer[n] for n in names] == [getattr(rule, n) for n in names]
    assert (network["side"], network["outputs"], network["batch"]) == (28, 5, 10)
    kinds = [layer["kind"] for layer in network["layers"]]
    assert kinds == 4 * ["convolution", "normalization", "relu"] + ["flatten", "dense", "bias"]


def test_the_page_is_one_file_below_2_mb_that_refers_to_nothing_outside(shipped):
    assert len(shipped.encode()) < 2_000_000
    assert not re.search(r"https?:|@import|url\(|import\(|fetch\(|XMLHttpRequest", shipped)
    assert not re.search(r'(src|href)=\\?"(?!data:|\{url\})', shipped)
    assert "default-src 'none'" in shipped
    assert shipped.count("<script") == shipped.count("</script>") == 3


def test_the_page_has_the_name_and_the_accuracy_of_the_model(shipped):
    assert "Model: omniglot_5way, 5-way 1-shot accuracy 95.5 % ± 0.6" in shipped


def test_characters_and_steps_are_those_asked_for_and_a_description_is_escaped():
    page = static_page.page_html(small_model(), "</script><b>", ways=2, steps=7)
    assert data_of(page)["names"] == ["A", "B"]
    assert 'max="200" value="7"' in page
    assert "&lt;/script&gt;" in page
    assert "</script><b>" not in page


def test_schedules_moments_and_bytes_are_as_the_model_has_them():
    decay = keras.optimizers.schedules.PiecewiseConstantDecay([2], [0.5, 0.25])
    sgd = keras.optimizers.SGD(decay, momentum=0.5, nesterov=True)
    model = small_model(inner_optimizer=sgd, inner_weight_decay_rate=0.75)
    model.trained_on_bytes = True
    for variable in model.inner_variables:
        variable.assign(tf.ones_like(variable))
    network = browser_network(model)
    optimizer = network["optimizer"]
    assert optimizer.pop("rates") == [0.5] * 3 + [0.25] * 197
    assert optimizer == {"kind": "sgd", "momentum": 0.5, "nesterov": True, "decay": 0.75}
    assert network["known"]["step"] == 1
    (moments,) = network["known"]["slots"]
    assert set(np.concatenate(unpacked(moments, network["sizes"]))) == {1.0}
    assert network["scale"] == pytest.approx(255 * model._byte_scale)


# What adaptation and prediction of a drawing depend on, and what they do not.
OF_THE_PAGE = {
    "network",
    "inner_optimizer",
    "inner_state",
    "inner_weight_decay_rate",
    "inner_trainable",
    "byte_scale",
    "trained_on_bytes",
}
OF_TRAINING = {"method", "task_order", "task_parallelism", "transductive", "head"}


def test_each_setting_of_a_model_is_one_that_the_page_knows():
    own = set(small_model().get_config()) - set(keras.Model().get_config())
    assert own == OF_THE_PAGE | OF_TRAINING


def network(*layers):
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def functional():
    x = keras.Input((8, 8, 1))
    return keras.Model(x, DENSE(3)(FLAT()(x)))


def frozen():
    made = small_convnet()
    made.layers[1].trainable = False
    return made


@pytest.mark.parametrize(
    "make, received",
    [
        (lambda: network(FLAT(), keras.layers.Dropout(0.5), DENSE(3)), "a Dropout layer"),
        (lambda: network(keras.layers.LayerNormalization(), FLAT(), DENSE(3)), "a LayerNormal"),
        (functional, "a Functional"),
        (frozen, "'batch_normalization.*', which is frozen"),
        (lambda: network(FLAT(), DENSE(3, kernel_regularizer="l2")), "with a kernel_regularizer"),
        (lambda: network(FLAT(), DENSE(3, activation="tanh")), "with activation='tanh'"),
        (lambda: network(CONV(2, 3, dilation_rate=2), FLAT(), DENSE(3)), "dilation_rate"),
        (lambda: network(FLAT(), DENSE(3, dtype="mixed_bfloat16")), "of mixed_bfloat16"),
        (lambda: network(RELU(max_value=6), FLAT(), DENSE(3)), "with a max_value"),
        (lambda: network(NORM(center=False), FLAT(), DENSE(3)), "without a scale or a center"),
    ],
)
def test_a_network_that_the_page_cannot_compute_is_refused(make, received):
    model = kr.ReptileModel(make())
    model.compile("sgd")
    text = rf"A static page computes a keras.Sequential of .* Received: .*{received}"
    with pytest.raises(RunError, match=text):
        browser_network(model)


@pytest.mark.parametrize("clipping", [{"clipnorm": 1.0}, {"global_clipnorm": 1.0}])
def test_clipping_is_refused(clipping):
    model = small_model(inner_optimizer=keras.optimizers.SGD(0.1, **clipping))
    with pytest.raises(RunError, match=r"adapts without clipping. Received: .*norm=1.0"):
        browser_network(model)


def test_another_loss_is_refused():
    model = small_model()
    model.compile("sgd", loss=keras.losses.SparseCategoricalCrossentropy(from_logits=False))
    with pytest.raises(RunError, match="adapts by SparseCategoricalCrossentropy"):
        browser_network(model)


@pytest.mark.parametrize("arguments, name", [({"ways": 9}, "ways"), ({"steps": 201}, "steps")])
def test_numbers_out_of_range_are_refused(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be in "):
        static_page.page_html(small_model(), "", **arguments)


def test_nothing_is_written_for_a_model_that_is_refused(tmp_path):
    model = kr.ReptileModel(network(FLAT(), keras.layers.Dropout(0.5), DENSE(3)))
    model.compile("sgd")
    model.save(tmp_path / "model.keras")
    with pytest.raises(RunError, match="Dropout"):
        static_page.write_page(tmp_path / "page.html", tmp_path)
    assert not (tmp_path / "page.html").exists()


class Flags(types.SimpleNamespace):
    """absl's flags: values as attributes, and whether --port was given."""

    def __getitem__(self, name):
        return types.SimpleNamespace(present=self.given)


def test_the_program_writes_the_page_and_tells_where(monkeypatch, tmp_path, capsys):
    small_model().save(tmp_path / "model.keras")
    path = tmp_path / "page.html"
    flags = Flags(model=tmp_path, port=7860, ways=2, steps=None, static=path, given=0)
    monkeypatch.setattr(demo, "FLAGS", flags)
    demo.main()
    size = len(path.read_bytes()) / 1e6
    told = f"Wrote {path}, {size:.2f} MB. Open it in a browser: it needs no server.\n"
    assert capsys.readouterr().out == told
    assert data_of(path.read_text())["names"] == ["A", "B"]


def test_a_port_and_a_file_are_refused(monkeypatch):
    monkeypatch.setattr(demo, "FLAGS", Flags(model=None, port=80, static="page.html", given=1))
    with pytest.raises(ValueError, match="--port has no meaning with --static"):
        demo.main()
