"""Bytes (uint8): the same array gives the same answer wherever it is given."""

import json
import pickle
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import of_examples, small_episodes, small_model
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import keras_reptile as kr
from keras_reptile.fine_tuned import taking_bytes, with_bytes

SGD = keras.optimizers.SGD
BYTES = np.random.RandomState(0).randint(0, 256, (30, 4, 4, 1)).astype(np.uint8)
TOKENS = (np.arange(30)[:, None] % 5 * 2 + np.array([[0, 1, 0]])).astype(np.uint8)
LABELS = np.arange(30) % 5
TINY = dict(ways=3, shots=3, inner_batch_size=3, inner_steps=2, meta_batch_size=2, tasks=4)


def dense(units=3, seed=0):
    return keras.layers.Dense(units, kernel_initializer=keras.initializers.GlorotUniform(seed=seed))


def plain():
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), dense()])


def rescaling():
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Flatten(), dense()]
    return keras.Sequential([keras.Input((4, 4, 1)), *layers])


def tokens(dtype="int32"):
    uniform = keras.initializers.RandomUniform(seed=1)
    embedding = keras.layers.Embedding(10, 4, embeddings_initializer=uniform)
    layers = [embedding, keras.layers.Flatten(), dense()]
    return keras.Sequential([keras.Input((3,), dtype=dtype), *layers])


# A network, its bytes, and what plain Keras has to be given for them.
NETWORKS = {
    "plain": (plain, BYTES, lambda x: x.astype(np.float32) * np.float32(1 / 255)),
    "rescaling": (rescaling, BYTES, lambda x: x.astype(np.float32)),
    "tokens": (tokens, TOKENS, lambda x: x.astype(np.int32)),
    "tokens declared as floats": (lambda: tokens("float32"), TOKENS, np.int32),
}
OTHER_DTYPES = ("bool", "int8", "uint16", "int32", "int64", "float16", "float32", "float64")
# What takes inputs: a function of a model, one of its learners and five inputs.
PATHS = {
    "model(x)": lambda model, learner, x: model(x),
    "predict": lambda model, learner, x: model.predict(x, verbose=0),
    "predict_on_batch": lambda model, learner, x: model.predict_on_batch(x),
    "predict episodes": lambda model, learner, x: model.predict(task_of(x), verbose=0),
    "evaluate episodes": lambda model, learner, x: (
        kr.evaluate_loss(model, task_of(x), verbose=0).losses
    ),
    "adapt": lambda model, learner, x: model.adapt(x, THREE, steps=1).get_weights()[-2],
    "learner(x)": lambda model, learner, x: learner(x),
    "learner.predict": lambda model, learner, x: learner.predict(x, verbose=0),
}
THREE = np.array([0, 1, 2, 0, 1])


def made(network, **arguments):
    model = kr.ReptileModel(network, SGD(0.1), **arguments)
    model.compile(SGD(0.5))
    return model


def tasks_of(images, **arguments):
    pool = kr.ClassPool.from_arrays(images, LABELS)
    return kr.episode_dataset(pool, **{**TINY, **arguments})


def task_of(x):
    return kr.episode((x, THREE), (x, THREE), steps=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Of each network a model that was trained on bytes, a learner of it and its export."""
    found = {}
    for name, (build, images, _) in NETWORKS.items():
        model = made(build())
        model.fit(tasks_of(images), verbose=0)
        folder = tmp_path_factory.mktemp("bytes")
        model.save(folder / "m.keras")
        learner = model.adapt(images[:3], LABELS[:3], steps=2)
        learner.save(folder / "l.keras")
        if name in ("plain", "tokens"):
            model.export_learner(folder / "export")
        found[name] = model, learner, folder
    return found


def answers(model, learner, folder, x):
    """What each of the places that take plain inputs answers to one array."""
    adapted = model.adapt(x[:3], LABELS[:3], steps=1)
    found = {
        "model(x)": model(x),
        "predict": model.predict(x, verbose=0),
        "learner": learner.predict(x, verbose=0),
        "learner(x)": learner(x),
        "adapt": adapted.get_weights()[-2],
        "adapt and predict": adapted.predict(x, verbose=0),
    }
    return {name: np.asarray(value) for name, value in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_bytes_are_what_plain_keras_is_given_for_them(models, name):
    _, images, converted = NETWORKS[name]
    x, number = images[7:12], 5
    model, learner, _ = models[name]
    by_bytes, by_keras = (answers(*models[name], given) for given in (x, converted(x)))
    for path, value in by_keras.items():
        np.testing.assert_array_equal(by_bytes[path], value, path)
    by_hand = model.network.predict(converted(x), verbose=0)
    np.testing.assert_allclose(by_bytes["predict"], by_hand, atol=1e-6)
    np.testing.assert_array_equal(learner.evaluate(x, LABELS[:number] % 3, verbose=0)[0] > 0, True)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Received. float inputs up to")
# Not shrunk: each further example of another dtype is traced anew.
@settings(max_examples=24, derandomize=True, deadline=None, database=None, phases=[Phase.generate])
@given(
    name=st.sampled_from(sorted(NETWORKS)),
    dtype=st.one_of(st.just("uint8"), st.sampled_from(OTHER_DTYPES)),
    path=st.sampled_from(sorted(PATHS)),
    seed=st.integers(0, 99),
)
def test_bytes_are_scaled_and_no_other_dtype_is_in_each_network_and_path(
    models, name, dtype, path, seed
):
    _, images, converted = NETWORKS[name]
    model, learner, _ = models[name]
    x = np.random.RandomState(seed).randint(0, 10, (5, *images.shape[1:])).astype(dtype)
    taken = converted(x) if dtype == "uint8" else x.astype(converted(images[:1]).dtype)
    found, expected = (np.asarray(PATHS[path](model, learner, each)) for each in (x, taken))
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "jit_compile"), [(name, name == "plain") for name in NETWORKS])
def test_episodes_of_bytes_are_those_of_what_the_network_takes(name, jit_compile):
    build, images, converted = NETWORKS[name]
    ends = []
    for x in (images, converted(images)):
        model, tasks = made(build()), tasks_of(x)
        model.compile(SGD(0.5), jit_compile=jit_compile)
        model.fit(tasks, verbose=0)
        ends.append((*model.get_weights(), kr.evaluate(model, tasks, verbose=0).accuracies))
        ends[-1] += (model.predict(tasks, verbose=0),)
    for by_bytes, by_keras in zip(*ends, strict=True):
        np.testing.assert_array_equal(by_bytes, by_keras)


@pytest.mark.slow
def test_vectorized_tasks_take_bytes_alike():
    build, images, converted = NETWORKS["tokens"]
    ends = []
    for x in (images, converted(images)):
        model = made(build(), task_parallelism="vectorized")
        model.fit(tasks_of(x), verbose=0)
        ends.append(model.get_weights())
    for by_bytes, by_keras in zip(*ends, strict=True):
        np.testing.assert_array_equal(by_bytes, by_keras)


@pytest.mark.slow
def test_floats_of_the_pipeline_are_those_of_the_model_bit_for_bit():
    by_model, by_pipeline = made(plain()), made(plain())
    by_model.fit(tasks_of(BYTES), verbose=0)
    by_pipeline.fit(tasks_of(BYTES, scale=True), verbose=0)
    for a, b in zip(by_model.get_weights(), by_pipeline.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_tokens_that_are_bytes_are_learned_as_integers_are(dtype):
    model = made(tokens(dtype))
    pool = kr.ClassPool.from_arrays(np.repeat(TOKENS[:5], 6, axis=0), np.repeat(np.arange(5), 6))
    each = dict(ways=3, shots=3, inner_batch_size=9, inner_steps=60, tasks=5)
    assert kr.evaluate(model, kr.episode_dataset(pool, **each), verbose=0).accuracy == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "tokens"])
def test_endpoints_take_bytes_as_the_model_does(models, name):
    _, images, converted = NETWORKS[name]
    model, _, folder = models[name]
    loaded = tf.saved_model.load(str(folder / "export"))
    x, labels, numbers = images[:6], LABELS[:6] % 3, (3, 0.05)
    as_taken = converted(x)
    weights = loaded.adapt(x, labels, *numbers)
    for mine, others in (
        (loaded.serve(x), model(x)),
        (loaded.serve(x), loaded.serve(as_taken)),
        (loaded.predict_with(weights, x), loaded.predict_with(weights, as_taken)),
        (loaded.train_logits(x), loaded.train_logits(as_taken)),
        (loaded.train_loss(x, labels), loaded.train_loss(as_taken, labels)),
        (
            loaded.adapt_and_predict(x, labels, x, *numbers),
            loaded.adapt_and_predict(as_taken, labels, as_taken, *numbers),
        ),
        (
            loaded.adapt_and_predict_transductive(x, labels, x, *numbers),
            loaded.predict_with(weights, x),
        ),
        (loaded.signatures["serve_uint8"](images=tf.constant(x))["logits"], model(x)),
    ):
        np.testing.assert_allclose(mine, others, atol=1e-6)
    described = json.loads((folder / "export" / "metadata.json").read_text())
    assert described["byte_scale"] == (1 / 255 if name == "plain" else None)
    assert described["trained_on_bytes"] is (name == "plain")


@pytest.mark.slow
def test_endpoints_refuse_bytes_that_were_cast_to_floats(models):
    loaded = tf.saved_model.load(str(models["plain"][2] / "export"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="must not exceed 10: the model was"):
        loaded.serve(BYTES.astype(np.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="`images` must not exceed 10"):
        # TensorFlow casts an array to the one dtype of a signature.
        loaded.signatures["serve"](images=BYTES)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_saved_models_and_learners_keep_how_they_take_bytes(models, name):
    _, images, _ = NETWORKS[name]
    model, learner, folder = models[name]
    for kept, file in ((model, "m.keras"), (learner, "l.keras")):
        loaded = keras.models.load_model(folder / file)
        expected = kept.predict(images, verbose=0)
        np.testing.assert_array_equal(loaded.predict(images, verbose=0), expected)
    loaded = keras.models.load_model(folder / "m.keras")
    assert loaded.get_config()["byte_scale"] == model.get_config()["byte_scale"]
    assert loaded.trained_on_bytes is model.trained_on_bytes


@pytest.mark.slow
def test_a_learner_is_of_its_own_class_still(models):
    _, learner, folder = models["plain"]
    x, expected = BYTES[:4], models["plain"][1].predict(BYTES[:4], verbose=0)
    assert isinstance(learner, keras.Sequential) and len(learner.layers) == 2
    assert keras.models.load_model(folder / "l.keras").optimizer.iterations == 4 + 2
    for other in (pickle.loads(pickle.dumps(learner)), keras.models.load_model(folder / "l.keras")):
        np.testing.assert_array_equal(other.predict(x, verbose=0), expected)
    bare = keras.Model(learner.inputs, learner.outputs)
    given = x * np.float32(1 / 255)
    np.testing.assert_array_equal(bare.predict(given, verbose=0), expected)
    assert bare.get_config()["name"] and type(bare).__module__.startswith("keras.")
    inputs = keras.Input((4, 4, 1), dtype="uint8")
    around = keras.Model(inputs, learner(inputs))
    np.testing.assert_array_equal(around.predict(x, verbose=0), expected)


def test_files_without_a_byte_scale_divide_by_255_whatever_the_network():
    config = made(rescaling()).get_config()
    assert config["byte_scale"] is None
    del config["byte_scale"], config["trained_on_bytes"]
    old = kr.ReptileModel.from_config(config)
    assert old.byte_scale == 1 / 255
    expected = old.network(BYTES / np.float32(255) / np.float32(1))
    np.testing.assert_allclose(old(BYTES), expected, atol=1e-7)


layers = keras.layers


def by_operations(x):
    return dense()(layers.Flatten()(x / 127.5 - 1))


def normalized(mean, variance):
    return layers.Normalization(mean=mean, variance=variance)


FIRST = {
    "a factor of 2": ([layers.Rescaling(2.0, -1.0)], 1 / 255),
    "1 / 127.5": ([layers.Rescaling(1 / 127.5, -1.0)], None),
    "after an augmentation": ([layers.RandomFlip(), layers.Rescaling(1 / 255)], None),
    "in a network inside": ([keras.Sequential([layers.Rescaling(1 / 255)])], None),
    "statistics of bytes": ([normalized(120.0, 60.0**2)], None),
    "statistics of [0, 1]": ([normalized(0.5, 0.25**2)], 1 / 255),
    "statistics by adapt": ([layers.Normalization()], None),
    "a range of values": ([layers.RandomBrightness(0.1)], None),
    "after weights": ([layers.Conv2D(1, 1), layers.Rescaling(0.01)], 1 / 255),
}


@pytest.mark.parametrize("name", FIRST)
def test_first_layers_tell_whether_a_network_scales_by_itself(name):
    first, scale = FIRST[name]
    network = keras.Sequential([keras.Input((4, 4, 1)), *first, layers.Flatten(), dense()])
    assert kr.ReptileModel(network).get_config()["byte_scale"] == scale


def test_arithmetic_on_a_functional_networks_input_is_noticed():
    x = keras.Input((4, 4, 1))
    model = made(keras.Model(x, by_operations(x)))
    assert model.get_config()["byte_scale"] is None
    np.testing.assert_array_equal(model(BYTES), model.network(BYTES.astype(np.float32)))


@keras.saving.register_keras_serializable(package="tests")
class Bare(keras.Model):
    """A subclassed network, which declares no inputs."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = dense()

    def call(self, x):
        return self.dense(keras.ops.reshape(x, (-1, 16)))


def test_a_subclassed_network_takes_bytes_and_so_do_its_learners():
    model = made(Bare())
    model.fit(tasks_of(BYTES), verbose=0)
    x = BYTES[:3]
    learner = model.adapt(x, LABELS[:3], steps=1)
    np.testing.assert_array_equal(
        learner.predict(x, verbose=0), learner.predict(x * np.float32(1 / 255), verbose=0)
    )
    np.testing.assert_array_equal(model(x), model.network(x * np.float32(1 / 255)))


def test_each_of_several_inputs_takes_bytes_by_itself():
    given = {
        "image": keras.Input((4,), name="image"),
        "word": keras.Input((1,), name="word", dtype="int32"),
    }
    words = layers.Flatten()(layers.Embedding(256, 2)(given["word"]))
    model = made(keras.Model(given, dense()(layers.Concatenate()([given["image"], words]))))
    x = {"word": BYTES[:, 0, 0], "image": BYTES[:, :, 0, 0]}
    taken = {"word": x["word"].astype(np.int32), "image": x["image"] * np.float32(1 / 255)}
    np.testing.assert_array_equal(model(x), model.network(taken))


def test_byte_scale_is_a_factor():
    model = made(plain(), byte_scale=1 / 127.5)
    np.testing.assert_array_equal(model(BYTES), model.network(BYTES * np.float32(1 / 127.5)))


def warned(function):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        function()
    return [str(w.message) for w in found if "Received: float inputs" in str(w.message)]


@pytest.mark.slow
def test_floats_up_to_255_after_training_on_bytes_are_told_of_once(models):
    model, learner = keras.models.load_model(models["plain"][2] / "m.keras"), models["plain"][1]
    floats = BYTES.astype(np.float32)
    as_floats = tasks_of(BYTES).map(of_examples(lambda x, y: (tf.cast(x, tf.float32), y)))
    assert not warned(lambda: model.predict(floats / 255, verbose=0))
    (text,) = warned(lambda: [kr.evaluate(model, as_floats, verbose=0) for _ in range(2)])
    assert text.startswith("The model was trained on bytes times 0.0039216, up to 1. Received: ")
    assert not warned(lambda: model.predict(floats, verbose=0))
    assert len(warned(lambda: [learner.predict(floats, verbose=0) for _ in range(2)])) == 1
    adapted = keras.models.load_model(models["plain"][2] / "m.keras")
    assert len(warned(lambda: adapted.adapt(floats[:3], LABELS[:3], steps=1))) == 1


def test_the_pretrained_network_tells_of_floats_up_to_255_too():
    model = kr.pretrained("omniglot_5way")
    images = np.full((2, 28, 28, 1), 255, np.uint8)
    assert model.byte_scale == 1 / 255
    (text,) = warned(lambda: model.adapt(images.astype(np.float32), np.arange(2), steps=0))
    assert text.startswith("The model was trained on bytes")
    np.testing.assert_array_equal(model(images), model.network(np.ones_like(images, np.float32)))


@pytest.mark.parametrize("dtype", ["int64", "uint16"])
def test_integers_up_to_255_after_training_on_bytes_are_told_of_too(dtype):
    model, integers = made(plain()), BYTES.astype(dtype)
    model.trained_on_bytes = True
    uses = (
        lambda: model.adapt(integers[:3], LABELS[:3], steps=0),
        lambda: kr.evaluate(model, tasks_of(integers, tasks=1), verbose=0),
        lambda: model.predict(integers, verbose=0),
    )
    text = r"trained on bytes .* Received: integer inputs up to \d+\. Give bytes as uint8"
    # With another scale, a model warns once more.
    for scale, use in zip((1 / 255, 1 / 254, 1 / 253), uses, strict=True):
        model.byte_scale = scale
        with pytest.warns(UserWarning, match=text):
            use()


def test_a_dataset_of_floats_up_to_255_is_told_of_as_arrays_are():
    inputs, scaled = np.float32(BYTES), np.float32(BYTES / 255)
    of_batches = lambda *parts: tf.data.Dataset.from_tensor_slices(parts).batch(4)  # noqa: E731
    model = made(plain())
    model.trained_on_bytes = True
    learner = model.adapt(BYTES[:3], LABELS[:3], steps=0)
    assert not warned(lambda: learner.predict(of_batches(scaled), verbose=0))
    with pytest.warns(UserWarning, match="trained on bytes"):
        expected = learner.predict(inputs, verbose=0)
    for tell in (learner, model):
        vars(tell).pop("_own_ranges", None)
        (text,) = warned(lambda t=tell: t.predict(of_batches(inputs), verbose=0))
        assert text.startswith("The model was trained on bytes")
    found = learner.predict(of_batches(inputs), verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    labelled = of_batches(inputs, np.zeros(len(inputs), int))
    assert learner.evaluate(labelled, verbose=0)[0] > 0


@pytest.mark.slow
def test_floats_up_to_1_for_a_network_that_scales_bytes_are_told_of():
    model = made(rescaling())
    (text,) = warned(lambda: model.fit(tasks_of(BYTES, scale=True), verbose=0))
    assert text.startswith(
        "The network's first layers expect numbers up to 255, like `Rescaling(1 /"
    )
    assert not warned(lambda: made(rescaling()).fit(tasks_of(np.float32(BYTES)), verbose=0))


def test_floats_of_any_range_train_without_a_word():
    model = made(plain())
    assert not warned(lambda: model.fit(tasks_of(1e4 * np.float32(BYTES)), verbose=0))
    assert not model.trained_on_bytes


@pytest.mark.parametrize("value", [0, -1, True, "no", float("nan"), float("inf"), [1]])
def test_a_byte_scale_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="`byte_scale` must be 'auto', None or a finite positive"):
        kr.ReptileModel(plain(), byte_scale=value)


def test_drawings_reach_a_network_that_scales_bytes_as_bytes_do():
    from keras_reptile.demo.drawn_task import functions_of

    model = made(rescaling())
    model.fit(tasks_of(BYTES), verbose=0)
    _, logits = functions_of(model._initialization(), 4)
    theta = tuple(map(tf.convert_to_tensor, model.network.trainable_variables))
    units = BYTES[:3] / np.float32(255)
    np.testing.assert_allclose(logits(theta, units, units), model(BYTES[:3]), atol=1e-5)


def test_a_demo_of_scaled_bytes_and_small_models_are_as_before():
    model = small_model()
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    assert 255 * model._byte_scale == 1


@pytest.mark.parametrize("scale", [0.5, None])
def test_a_learner_as_the_network_of_another_model_takes_bytes_as_that_model_does(scale):
    network = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")]
    )
    learner = with_bytes(network, 1 / 255, True)
    again = taking_bytes(learner, scale, True)
    assert isinstance(again, keras.Sequential)
    assert again(tf.constant([[10]], tf.uint8)).numpy().item() == 10 * (scale or 1)
