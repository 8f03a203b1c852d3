"""Exports, proven by use."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import warm
from helpers import (
    episode,
    image_pool,
    scalar_model,
    small_convnet,
    small_dense,
    small_episodes,
    small_model,
)
from tensorflow.python.tools import saved_model_cli

import keras_reptile as kr
from keras_reptile.episodes.sampling import seedless_support_order
from keras_reptile.errors import RunError
from keras_reptile.export import endpoint_checks, portable, saved_model
from keras_reptile.export.endpoints import weight_names
from keras_reptile.runs.exporting import export_run

STEPS, RATE = 12, 0.02
SHOTS = (1, 5, 20)


def task(shots, queries=4):
    pool = image_pool(images=40)
    drawn = next(iter(kr.episode_dataset(pool, ways=3, shots=shots, queries=queries, scale=True)))
    (x, y), (query_x, _) = drawn["support"], drawn["query"]
    # NumPy's own integers, as a user has them.
    return x[0].numpy(), y[0].numpy().astype(np.int64), query_x[0].numpy()


def by_the_python_model(model, arrays, transductive, steps=STEPS, rate=RATE):
    """The model's own prediction from the minibatches of an export, at the rate of the tests."""
    config = model.get_config()
    config["inner_optimizer"]["config"]["learning_rate"] = rate
    same = kr.ReptileModel.from_config(config)
    same.compile(keras.optimizers.SGD(1.0), loss=model.task_loss)
    same.set_weights(model.get_weights())
    x, y, query_x = arrays
    order = seedless_support_order(len(x), steps).numpy()
    given = episode(x[None], y[None], order[None], query_x[None], np.zeros((1, len(query_x)), int))
    return same.adapt_and_predict(given, transductive)[1][0].numpy()


@pytest.fixture(scope="module")
def model():
    """A model with carried moments, whose own rate is another than that of the tests."""
    model = small_model()
    model.fit(small_episodes(inner_steps=2), steps_per_epoch=30, verbose=0)
    return model


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exports") / "learner"
    before = model.get_weights()
    names = (name for name in ("ant", "bee", "cat"))
    model.export_learner(path, class_names=names, metadata={"ways": 3})
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
    return path


@pytest.fixture(scope="module")
def learner(exported):
    return tf.saved_model.load(str(exported))


@pytest.fixture(scope="module")
def used_alone(exported, tmp_path_factory):
    """What a process with TensorFlow and without this package got from the export."""
    folder = tmp_path_factory.mktemp("alone")
    arrays = {"shots": SHOTS, "steps": STEPS, "rate": RATE}
    for shots in SHOTS:
        names = [f"{name}_{shots}" for name in ("support_x", "support_y", "query_x")]
        arrays |= dict(zip(names, task(shots), strict=True))
    np.savez(folder / "tasks.npz", **arrays)
    script = Path(__file__).parents[1] / "support" / "tensorflow_alone.py"
    arguments = [exported, folder / "tasks.npz", folder / "results.npz"]
    subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        check=True,
        cwd=folder,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": ""},
        timeout=300,
    )
    with np.load(folder / "results.npz") as file:
        return dict(file)


# In TensorFlow alone


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("transductive", [False, True])
@pytest.mark.parametrize("shots", SHOTS)
def test_tensorflow_alone_adapts_as_the_python_model_does(shots, transductive, model, used_alone):
    expected = by_the_python_model(model, task(shots), transductive)
    given = used_alone[f"{'transductive' if transductive else 'inductive'}_{shots}"]
    np.testing.assert_allclose(given, expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.process
def test_tensorflow_alone_predicts_with_weights_adapted_before(model, used_alone):
    expected = by_the_python_model(model, task(5), transductive=True)
    np.testing.assert_allclose(used_alone["adapted_once"], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.process
def test_tensorflow_alone_serves_the_initialization_in_inference_mode(model, used_alone):
    expected = model.network(task(5)[2], training=False)
    np.testing.assert_allclose(used_alone["served"], expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.process
def test_tensorflow_alone_fine_tunes_with_a_plain_gradient_tape(used_alone):
    losses = used_alone["losses"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.slow
@pytest.mark.process
def test_the_class_names_come_back(used_alone):
    assert used_alone["class_names"].tolist() == ["ant", "bee", "cat"]


# The minibatches


def test_minibatches_cycle_through_the_support_set():
    order = seedless_support_order(25, 7).numpy()
    assert order.shape == (7, 10)
    passes = order.ravel()[:50].reshape(2, 25)
    assert (np.sort(passes) == np.arange(25)).all()
    assert (passes[0] != passes[1]).any()


@pytest.mark.parametrize("images", [1, 3, 10, 60])
def test_more_steps_begin_with_the_minibatches_of_fewer(images):
    few, many = (
        seedless_support_order(images, 3).numpy(),
        seedless_support_order(images, 40).numpy(),
    )
    assert few.shape == (3, min(images, 10))
    np.testing.assert_array_equal(few, many[:3])


@pytest.mark.slow
def test_no_steps_are_no_adaptation(model, learner):
    x, y, query_x = task(5)
    given = learner.adapt_and_predict_transductive(x, y, query_x, 0, RATE)
    np.testing.assert_allclose(given, learner.train_logits(query_x), atol=1e-6)


# Other models


MODELS = {
    "Adam, reset, weight decay": dict(
        inner_state="reset", inner_weight_decay_rate=0.9, transductive=True
    ),
    "dropout": dict(network=small_dense(extra=[keras.layers.Dropout(0.5, seed=1)])),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model_is_exported(name, tmp_path):
    model = small_model(**{"network": small_dense(), **MODELS[name]})
    model.export_learner(tmp_path / "learner")
    learner = tf.saved_model.load(str(tmp_path / "learner"))
    given = learner.adapt_and_predict(*task(5), 4, RATE)
    if name != "dropout":
        expected = by_the_python_model(model, task(5), None, steps=4)
        np.testing.assert_allclose(given, expected, atol=1e-5)
    np.testing.assert_array_equal(given, learner.adapt_and_predict(*task(5), 4, RATE))
    x = task(5)[0]
    same = (learner.train_logits(x).numpy() == learner.train_logits(x).numpy()).all()
    assert same == (name != "dropout")
    metadata = json.loads((tmp_path / "learner" / "metadata.json").read_text())
    assert metadata["defaults"] == {"steps": 50, "learning_rate": 0.01}


@pytest.mark.slow
def test_a_regression_with_momentum_and_a_schedule_is_exported_with_its_path_by_hand(tmp_path):
    # The loss (w - 8)^2, the rate 0.25, half of a velocity that was carried at 2: w is 5, 9, 10.5.
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)
    inner = keras.optimizers.SGD(schedule, momentum=0.5)
    model = scalar_model(inner, keras.optimizers.SGD(1.0))
    (velocity,) = (v for v in model.inner_variables if v.shape == (1, 1))
    velocity.assign([[2.0]])
    model.export_learner(tmp_path / "learner")
    learner = tf.saved_model.load(str(tmp_path / "learner"))
    ones = np.ones((2, 1), np.float32)
    for steps, expected in ((0, 0), (1, 5), (2, 9), (3, 10.5)):
        given = learner.adapt_and_predict_inductive(ones, 8 * ones, ones, steps, 0.25)
        np.testing.assert_allclose(given, expected * ones, rtol=1e-6)
    # A schedule of learning rates is no default.
    metadata = json.loads((tmp_path / "learner" / "metadata.json").read_text())
    assert metadata["defaults"] is None
    with pytest.raises(TypeError, match="missing a required argument: 'steps'"):
        learner.adapt(ones, 8 * ones)


# What lies in the directory


@pytest.mark.slow
def test_labels_of_every_pixel_are_exported(tmp_path):
    # Near equal weights, the bias's gradient is rounding, of which Adam makes a whole step.
    glorot = keras.initializers.GlorotUniform(seed=1)
    layer = keras.layers.Conv2D(2, 1, kernel_initializer=glorot)
    model = small_model(keras.Sequential([keras.Input((8, 8, 1)), layer]), inner_state="reset")
    network = model.network
    model.export_learner(tmp_path / "learner")
    x = np.random.RandomState(0).rand(3, 8, 8, 1).astype(np.float32)
    y = (x[..., 0] > 0.5).astype(np.int32)
    exported = tf.saved_model.load(str(tmp_path / "learner"))
    found = exported.adapt(x, y, 1, 0.01)
    # One minibatch of all images, whose order does not matter.
    learner = model.adapt(x, y, steps=1, inner_batch_size=10)
    for name, wanted in zip(weight_names(network), learner.get_weights(), strict=True):
        np.testing.assert_allclose(found[name], wanted, atol=1e-6)


@pytest.mark.slow
def test_a_network_of_text_is_exported_with_its_tables(tmp_path):
    words = keras.layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=2)
    layers = words, keras.layers.Embedding(5, 3), keras.layers.GlobalAveragePooling1D()
    inputs = keras.Input((), dtype="string")
    network = keras.Sequential([inputs, *layers, keras.layers.Dense(2)])
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.1))
    model.compile("sgd")
    model.export_learner(tmp_path / "learner")
    x, y = np.array(["a", "b a", "b", "c"]), np.array([0, 1, 1, 0])
    exported = tf.saved_model.load(str(tmp_path / "learner"))
    found = exported.adapt(x, y, 2, 0.1)
    learner = model.adapt(x, y, steps=2, inner_batch_size=4)
    for name, wanted in zip(weight_names(network), learner.get_weights(), strict=True):
        np.testing.assert_allclose(found[name], wanted, atol=1e-6)
    assert exported.signatures["predict_with"] and "serve_uint8" not in exported.signatures


@pytest.mark.slow
def test_plain_keras_loads_the_network(model, exported):
    network = keras.models.load_model(exported / "network.keras", safe_mode=True)
    assert type(network) is keras.Sequential
    for a, b in zip(network.get_weights(), model.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_metadata_tell_what_is_there(exported):
    metadata = json.loads((exported / "metadata.json").read_text())
    assert metadata["image_shape"] == [8, 8, 1]
    assert metadata["class_names"] == ["ant", "bee", "cat"]
    assert metadata["ways"] == metadata["outputs"] == 3
    assert metadata["versions"]["keras"] == keras.__version__


@pytest.mark.slow
def test_no_file_is_of_a_kind_that_runs_code(exported):
    kinds = {p.suffix or p.name for p in exported.rglob("*") if p.is_file()}
    assert kinds == {".pb", ".json", ".keras", ".index", ".data-00000-of-00001"}


# TensorFlow's own tools


@pytest.mark.slow
@pytest.mark.process
def test_saved_model_cli_runs_a_signature(exported, learner, tmp_path):
    x, y, query_x = task(5)
    arrays = dict(support_images=x, support_labels=y, query_images=query_x)
    arrays |= dict(steps=np.int64(STEPS), learning_rate=np.float32(RATE))
    for name, value in arrays.items():
        np.save(tmp_path / name, value)
    inputs = ";".join(f"{name}={tmp_path / name}.npy" for name in arrays)
    which = ["--tag_set=serve", "--signature_def=adapt_and_predict_inductive"]
    given = "--dir", exported, *which, f"--inputs={inputs}", f"--outdir={tmp_path}"
    status, _, err = warm.run(saved_model_cli.__file__, "run", *given, cwd=tmp_path)
    assert status == 0, err
    expected = learner.adapt_and_predict_inductive(x, y, query_x, STEPS, RATE)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-6)


@pytest.mark.slow
def test_signatures_have_flat_names_and_free_batch_sizes(learner):
    signatures = learner.signatures
    of_images = {
        "serve",
        "adapt",
        "predict_with",
        "adapt_and_predict",
        "adapt_and_predict_inductive",
        "adapt_and_predict_transductive",
        "train_logits",
        "train_loss",
    }
    of_bytes = {f"{name}_uint8" for name in of_images}
    assert set(signatures) == {"serving_default", "class_names", *of_images, *of_bytes}
    for size in (1, 7):
        images = tf.zeros((size, 8, 8, 1))
        assert signatures["serve"](images=images)["logits"].shape == (size, 3)
    x, y, query_x = map(tf.constant, task(5))
    weights = signatures["adapt"](
        support_images=x,
        support_labels=y,
        steps=tf.constant(STEPS, tf.int64),
        learning_rate=tf.constant(RATE),
    )
    given = signatures["predict_with"](images=query_x, **weights)["logits"]
    expected = learner.adapt_and_predict_transductive(x, y, query_x, STEPS, RATE)
    np.testing.assert_allclose(given, expected, atol=1e-6)


@pytest.mark.slow
def test_steps_and_rate_that_nobody_names_are_the_models_own(model, exported, learner, tmp_path):
    x, y, query_x = task(5)
    expected = by_the_python_model(model, (x, y, query_x), False, steps=50, rate=0.01)
    np.testing.assert_allclose(learner.adapt_and_predict(x, y, query_x), expected, atol=1e-5)
    weights = learner.adapt(x, y, learning_rate=RATE)
    for name, wanted in learner.adapt(x, y, 50, RATE).items():
        np.testing.assert_array_equal(weights[name], wanted)
    metadata = json.loads((exported / "metadata.json").read_text())
    assert metadata["defaults"] == {"steps": 50, "learning_rate": 0.01}


def serve_default(exported, **inputs):
    """What a server computes that is given these inputs and no signature's name."""
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        loaded = tf.compat.v1.saved_model.load(session, ["serve"], str(exported))
        signature = loaded.signature_def["serving_default"]
        given = {signature.inputs[name].name: value for name, value in inputs.items()}
        return session.run(signature.outputs["logits"].name, given), signature


@pytest.mark.slow
def test_a_server_adapts_by_default_and_knows_the_steps_and_the_rate(model, exported):
    x, y, query_x = task(5)
    given, signature = serve_default(
        exported, support_images=x, support_labels=y, query_images=query_x
    )
    expected = by_the_python_model(model, (x, y, query_x), False, steps=50, rate=0.01)
    np.testing.assert_allclose(given, expected, atol=1e-5)
    assert signature.defaults["steps"].int64_val == [50]
    assert signature.defaults["learning_rate"].float_val == pytest.approx([0.01])


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ["serve", "train_logits"])
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_tflite_gives_equal_logits(endpoint, exported, learner):
    converter = tf.lite.TFLiteConverter.from_saved_model(str(exported), signature_keys=[endpoint])
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    query_x = task(5)[2]
    given = interpreter.get_signature_runner(endpoint)(images=query_x)["logits"]
    np.testing.assert_allclose(given, getattr(learner, endpoint)(query_x), atol=1e-4)


@pytest.mark.slow
def test_tflite_converts_adaptation_with_tensorflows_own_kernels(exported):
    name = "adapt_and_predict_inductive"
    converter = tf.lite.TFLiteConverter.from_saved_model(str(exported), signature_keys=[name])
    kinds = tf.lite.OpsSet
    converter.target_spec.supported_ops = [kinds.TFLITE_BUILTINS, kinds.SELECT_TF_OPS]
    assert converter.convert()


# Wrong use of an export

IMAGES, LABELS = np.zeros((3, 8, 8, 1), np.float32), np.arange(3)
GOOD = dict(
    support_images=IMAGES, support_labels=LABELS, query_images=IMAGES, steps=2, learning_rate=0.1
)
WRONG = {
    "a label too high": (dict(support_labels=LABELS + 1), r"must be in 0 to 2.*Received:.*1 2 3"),
    "a label below 0": (dict(support_labels=LABELS - 1), r"must be in 0 to 2.*Received:.*-1 0 1"),
    "a label that is 0 in int32": (dict(support_labels=LABELS + 2**32), r"in 0 to 2.*4294967296"),
    "no images": (
        dict(support_images=IMAGES[:0], support_labels=LABELS[:0]),
        "`support_images` must hold at least 1 image",
    ),
    "too few labels": (dict(support_labels=LABELS[:2]), r"one label for each image.*\[3\] \[2\]"),
    "too many labels": (dict(support_labels=[0, 1, 2, 0]), r"label for each image.*\[3\] \[4\]"),
    "steps below 0": (dict(steps=-1), r"`steps` must not be negative. Received:\] \[-1\]"),
    "steps that are 0 in int32": (dict(steps=2**32), r"at most 214748364. Rec.*\[4294967296\]"),
    "a rate below 0": (dict(learning_rate=-0.1), "`learning_rate` must be finite and not negat"),
    "a rate that is none": (dict(learning_rate=np.nan), r"`learning_rate` must be .*\[nan\]"),
    "support of NaN": (dict(support_images=IMAGES + np.nan), "`support_images` must be finite"),
    "infinite queries": (dict(query_images=IMAGES - np.inf), "`query_images` must be finite numb"),
    "a rate that diverges": (
        dict(
            support_images=np.float32(IMAGES + LABELS[:, None, None, None]),
            steps=9,
            learning_rate=1e30,
        ),
        "`weights` must be finite. Received NaN or infinity. Use a lower `learning_rate`",
    ),
}
SHAPES = {
    "small support": ("support_images", IMAGES[:, :7]),
    "small queries": ("query_images", IMAGES[:, :7]),
    "coloured queries": ("query_images", np.zeros((3, 8, 8, 3), np.float32)),
    "flat support": ("support_images", IMAGES[..., 0]),
}
ENDPOINTS = ("adapt_and_predict_inductive", "adapt_and_predict_transductive")


def by_signature(learner, endpoint, arguments):
    dtypes = dict(steps=tf.int64, support_labels=tf.int64)
    given = {k: tf.constant(v, dtypes.get(k, tf.float32)) for k, v in arguments.items()}
    return learner.signatures[endpoint](**given)


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", WRONG)
def test_wrong_use_is_a_clear_error(name, endpoint, learner):
    change, text = WRONG[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        getattr(learner, endpoint)(**{**GOOD, **change})
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        by_signature(learner, endpoint, {**GOOD, **change})


@pytest.mark.slow
def test_weights_and_images_that_are_no_numbers_are_clear_errors(learner):
    weights = learner.adapt(IMAGES, LABELS, 1, 0.1)
    spoiled = {name: value + np.nan for name, value in weights.items()}
    with pytest.raises(tf.errors.InvalidArgumentError, match="`weights` must be finite"):
        learner.predict_with(spoiled, IMAGES)
    for endpoint in (learner.serve, learner.train_logits):
        with pytest.raises(tf.errors.InvalidArgumentError, match="`images` must be finite"):
            endpoint(IMAGES + np.nan)


@pytest.mark.slow
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("name", SHAPES)
def test_another_shape_is_a_clear_error(name, endpoint, learner):
    argument, images = SHAPES[name]
    with pytest.raises(ValueError, match=r"^Could not find matching concrete function"):
        getattr(learner, endpoint)(**{**GOOD, argument: images})
    text = rf"`{argument}` must have the shape \(number, 8, 8, 1\). Received"
    with pytest.raises(tf.errors.InvalidArgumentError, match=text):
        by_signature(learner, endpoint, {**GOOD, argument: images})


@tf.function(input_signature=[tf.TensorSpec(None), tf.TensorSpec(None, tf.int64)], autograph=False)
def checked(images, labels):
    # Static shapes that nobody checks, as in a signature of a loaded SavedModel.
    images.set_shape((None, 2))
    labels.set_shape((None,))
    return endpoint_checks.check_examples("images", images, labels, 3)


@pytest.mark.parametrize("axes", [(3,), (3, 2, 1), (3, 2, 2)])
def test_images_of_another_number_of_axes_are_told_their_shape(axes):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`images` .* shape \(number, 2\)"):
        checked(np.zeros(axes, np.float32), LABELS)


@pytest.mark.parametrize("axes", [(3, 1), (3, 2)])
def test_labels_of_another_number_of_axes_are_told_their_shape(axes):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"`labels` .* shape \(number,\)"):
        checked(np.zeros((3, 2), np.float32), np.zeros(axes, np.int64))


@pytest.mark.slow
def test_a_batch_statistic_of_nothing_is_a_clear_error(learner):
    with pytest.raises(tf.errors.InvalidArgumentError, match="`images` must hold at least 1 image"):
        learner.train_logits(IMAGES[:0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="`query_images` must hold at least 1"):
        learner.adapt_and_predict_transductive(**{**GOOD, "query_images": IMAGES[:0]})
    alone = learner.adapt_and_predict_inductive(**{**GOOD, "query_images": IMAGES[:0]})
    assert alone.shape == (0, 3)


# Wrong use of exporting


def uncompiled():
    return kr.ReptileModel(small_convnet())


def two_inputs():
    inputs = [keras.Input((2,)), keras.Input((2,))]
    network = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Concatenate()(inputs)))
    return small_model(network)


def endless():
    inner = {}
    for _ in range(10_000):
        inner = {"a": inner}
    return inner


MISUSES = {
    "not compiled": (uncompiled, {}, "not compiled. Compile it"),
    "two inputs": (two_inputs, {}, "whose shape is known. Received: Functional with 2 inputs."),
    "a name in another encoding": (
        small_model,
        dict(class_names=["a", "b", "caf\udce9"]),
        "`class_names` must be valid UTF-8. Received: class_names='caf",
    ),
    "too few names": (small_model, dict(class_names=["a", "b"]), "different name for each output"),
    "a name twice": (small_model, dict(class_names=["a", "b", "b"]), "different name for each out"),
    "more names than outputs": (
        small_model,
        dict(class_names=["a", "b", "c", "a"]),
        "different name for each output",
    ),
    "numbers as names": (
        small_model,
        dict(class_names=np.arange(3)),
        "all of them strings. Received: class_names=array",
    ),
    "text as names": (small_model, dict(class_names="abc"), "different name for each output"),
    "metadata of ours": (small_model, dict(metadata={"versions": 1}), r"entries. Received: \['ver"),
    "metadata that are none": (
        small_model,
        dict(metadata={"a": {1}}),
        "only values of JSON",
    ),
    "steps below 0": (small_model, dict(steps=-1), "`steps` must not be negative. Received: ste"),
    "metadata without an end": (
        small_model,
        dict(metadata=endless()),
        "only values of JSON",
    ),
    "not a number": (
        small_model,
        dict(metadata={"a": np.nan}),
        "contain only values of JSON: text, f",
    ),
}


@pytest.mark.parametrize("name", MISUSES)
def test_what_cannot_be_exported_is_refused(name, tmp_path):
    make, arguments, text = MISUSES[name]
    with pytest.raises(ValueError, match=text):
        make().export_learner(tmp_path / "learner", **arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_what_would_not_adapt_is_refused(model, tmp_path):
    message = "Keras's `export` would keep only the initialization. Use `export_learner"
    with pytest.raises(ValueError, match=message):
        model.export(tmp_path / "plain")
    model.network.export(tmp_path / "plain", verbose=False)
    assert tf.saved_model.load(tmp_path / "plain").serve


@pytest.fixture
def written(exported, monkeypatch):
    """Makes an export write the SavedModel of `exported`, without traces: see its files only."""

    def write(model, directory, *arguments):
        for name in ("saved_model.pb", "fingerprint.pb"):
            shutil.copy(exported / name, directory / name)
        shutil.copytree(exported / "variables", directory / "variables")
        shutil.copytree(exported / "assets", directory / "assets")

    monkeypatch.setattr(saved_model, "write_saved_model", write)


@pytest.mark.slow
def test_a_taken_path_is_refused_unless_told_to_overwrite(model, tmp_path, written):
    path = tmp_path / "learner"
    portable.export_portable(model, path)
    with pytest.raises(ValueError, match=r"exists already\. Choose another path, or replace it"):
        model.export_learner(path)
    assert {p.name for p in path.iterdir()} == {"model.keras", "metadata.json"}
    model.export_learner(path, overwrite=True)
    assert (path / "saved_model.pb").exists()
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_export_is_never_overwritten(model, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("years of work")
    with pytest.raises(ValueError, match=r"thesis is not an earlier export.* not overwritten"):
        model.export_learner(tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter").read_text() == "years of work"


@pytest.mark.slow
def test_files_that_no_export_has_written_are_never_deleted(model, tmp_path, written):
    path = tmp_path / "learner"
    model.export_learner(path)
    model.export_learner(path, overwrite=True)
    for name in ("notes.txt", "assets.extra/tf_serving_warmup_requests", "variables/mine"):
        other = path / name
        other.parent.mkdir(exist_ok=True)
        other.write_text("by hand")
        text = rf"learner contains files that are not part of an export: {name}. They would"
        with pytest.raises(ValueError, match=text):
            portable.export_portable(model, path, overwrite=True)
        assert other.read_text() == "by hand"
        assert (path / "saved_model.pb").exists()
        other.unlink()
    (path / "linked").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="not part of an export: linked"):
        portable.export_portable(model, path, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_appears_while_an_export_is_written_is_not_deleted(
    model, tmp_path, monkeypatch
):
    path, write = tmp_path / "learner", portable.write
    portable.export_portable(model, path)

    def meanwhile(*arguments):
        write(*arguments)
        (path / "notes.txt").write_text("by hand")

    monkeypatch.setattr(portable, "write", meanwhile)
    with pytest.raises(ValueError, match=r"not part of an export: notes.txt"):
        portable.export_portable(model, path, overwrite=True)
    assert {p.name for p in path.iterdir()} == {"model.keras", "metadata.json", "notes.txt"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_named(model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"file cannot be written: .*Choose another path"):
        model.export_learner(tmp_path / "file" / "learner")


@pytest.mark.slow
@pytest.mark.parametrize("earlier", [False, True])
def test_an_interrupted_export_leaves_all_as_it_was(earlier, model, tmp_path, written, monkeypatch):
    path = tmp_path / "learner"
    if earlier:
        portable.export_portable(model, path, metadata={"which": "earlier"})

    def stopped(*arguments):
        assert any(tmp_path.glob(".partial-*/saved_model.pb"))
        raise KeyboardInterrupt

    monkeypatch.setattr(portable, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        model.export_learner(path, overwrite=True)
    assert list(tmp_path.iterdir()) == ([path] if earlier else [])
    if earlier:
        assert json.loads((path / "metadata.json").read_text())["which"] == "earlier"


def test_an_earlier_export_comes_back_if_it_cannot_be_replaced(model, tmp_path, monkeypatch):
    path = tmp_path / "learner"
    portable.export_portable(model, path)
    rename = os.rename

    def failing(source, target):
        if Path(source).name.startswith(".partial"):
            raise OSError("no space")
        rename(source, target)

    monkeypatch.setattr(os, "rename", failing)
    with pytest.raises(
        RunError, match=r"learner cannot be written: no space. Make it writable, or"
    ):
        portable.export_portable(model, path, overwrite=True)
    assert list(tmp_path.iterdir()) == [path]
    assert (path / "model.keras").exists()


def test_a_savedmodel_has_a_path_in_utf_8(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must be valid UTF-8. Received: path='/"):
        small_model().export_learner(tmp_path / "caf\udce9")
    # Before the run is read.
    with pytest.raises(ValueError, match=r"`path` must be valid UTF-8"):
        export_run(tmp_path / "no run", tmp_path / "caf\udce9")
    assert list(tmp_path.iterdir()) == []
