"""Arguments that once led to another error, to none, or to a wait without end, by their texts."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_episodes, small_model

import keras_reptile as kr
from keras_reptile import distribution
from keras_reptile.checks import check_number
from keras_reptile.episodes.sampling import UNROLLED, distinct, draw_tasks, task_bits
from keras_reptile.errors import RunError
from keras_reptile.export.portable import export_portable
from keras_reptile.fine_tuned import with_bytes
from keras_reptile.recipes import named
from keras_reptile.runs.run_checks import check_settings
from keras_reptile.runs.run_directory import RunDirectory

POINTS = np.zeros((4, 2), np.float32)
NAN = float("nan")


@functools.cache
def pool():
    return kr.ClassPool.from_arrays(POINTS, [0, 0, 1, 1])


def network():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])


def model(**options):
    return kr.ReptileModel(network(), **options)


def compiled(optimizer="sgd", **options):
    made = model(inner_optimizer="sgd")
    made.compile(optimizer, **options)
    return made


def frozen():
    made = compiled()
    made.network.trainable = False
    return made


def episodes(**options):
    return kr.episode_dataset(pool(), 2, 1, **options)


def settings(**changes):
    check_settings(named.get("glyphs", **changes))


REFUSED = {
    "half a way": (
        lambda: kr.TaskSpec(2.5, 1),
        "`ways` must be an integer of at least 1. Received: ways=2.5",
    ),
    "ways in words": (lambda: kr.TaskSpec("five", 1), "`ways` must be an integer.*ways='five'"),
    "a truth value for a number": (lambda: kr.TaskSpec(2, True), "`shots` must be an integer"),
    "no number of queries": (lambda: episodes(queries=None), "`queries` must be an integer"),
    "a billion steps": (
        lambda: kr.TaskSpec(5, 1, inner_steps=10**9),
        "not hold more than 2,147,483,647 images each. Received: inner_steps=1000000000",
    ),
    "no pool": (
        lambda: kr.episode_dataset(POINTS, 2, 1),
        "`pool` must be a ClassPool. Received: ndarray",
    ),
    "a seed beyond 64 bits": (
        lambda: episodes(seed=2**70),
        "`seed` must be at most 9223372036854775807",
    ),
    "half a seed": (lambda: episodes(seed=1.5), "`seed` must be an integer.*seed=1.5"),
    "a scale that is none": (
        lambda: episodes(scale=2),
        "`scale` must be True or False. Received: scale=2",
    ),
    "tasks beyond 64 bits": (
        lambda: episodes(start=2**62, meta_batch_size=4),
        "Task numbers must fit into 64 bits",
    ),
    "a seed of waves": (lambda: kr.sinusoid_dataset(seed="a"), "`seed` must be an integer in"),
    "one image": (
        lambda: kr.ClassPool(3, [1]),
        r"`images` must be an array of numbers.*shape \(\)",
    ),
    "images of objects": (
        lambda: kr.ClassPool([None], [1]),
        "`images` must be an array of numbers",
    ),
    "ragged images": (
        lambda: kr.ClassPool([[1], [1, 2]], [2]),
        "`images` must be an array. Received: list",
    ),
    "half a count": (
        lambda: kr.ClassPool(POINTS, [1.5, 2.5]),
        "`counts` must be integers, one for each",
    ),
    "a negative count": (lambda: kr.ClassPool(POINTS, [5, -1]), "a count of -1 in `counts`"),
    "no sequence of names": (lambda: kr.ClassPool(POINTS, [4], True), "`names` must be a sequence"),
    "labels of two kinds": (
        lambda: kr.ClassPool.from_arrays(POINTS, np.array([0, "a", 1, "b"], object)),
        "`labels` must be integers or strings. Received: dtype object",
    ),
    "labels without order": (
        lambda: kr.ClassPool.from_arrays(POINTS, [1.0, NAN, 0.0, NAN]),
        "`labels` must be integers or strings. Received: dtype float64",
    ),
    "a class that is not there": (
        lambda: pool().subset([7]),
        "`position` must be at most 1. Received",
    ),
    "a class twice": (
        lambda: pool().subset(np.array([1, 0, 1])),
        r"`positions` must name each class once: .* Received: \[1\] more than once. Draw",
    ),
    "no classes": (lambda: pool().subset(None), "`positions` must be a sequence. Received"),
    "half a part": (lambda: pool().split(0.5), "`sizes` must be an integer of at least 0"),
    "a seed below 0": (
        lambda: pool().shuffled(-1),
        "`seed` must not be negative. Received: seed=-1",
    ),
    "classes along another axis": (
        lambda: model().compile("sgd", keras.losses.SparseCategoricalCrossentropy(axis=0)),
        "along the last axis of the outputs. Received: a loss with axis=0. End the network",
    ),
    "a loss for each output": (
        lambda: model().compile("sgd", loss={"digits": "mse"}),
        "`loss` must be one loss.*Received: loss={'digits': 'mse'}",
    ),
    "no network": (
        lambda: kr.ReptileModel(keras.layers.Dense(1)),
        "`network` must be a keras.Model. Received: Dense",
    ),
    "a decay in words": (
        lambda: model(inner_weight_decay_rate="0.9"),
        r"must be in \(0, 1\]. Received: .*'0.9'",
    ),
    "a mode that is none": (lambda: model(transductive=1), "`transductive` must be True or False"),
    "an optimizer's empty config": (
        lambda: model(inner_optimizer={}),
        "`inner_optimizer` must be a Keras opt",
    ),
    "no outer optimizer": (
        lambda: compiled(None),
        "`optimizer` must be a Keras optimizer, its name or its conf",
    ),
    "no step in an execution": (
        lambda: compiled(steps_per_execution=0),
        "`steps_per_execution` must be at least 1",
    ),
    "compiled or not, in NumPy's words": (
        lambda: compiled(jit_compile=np.bool_(True)),
        r"`jit_compile` must be True or False. Received: jit_compile=(np.True_|True)\.",
    ),
    "series that are to be one batch": (
        lambda: model(task_order="serial").set_execution(task_parallelism="vectorized"),
        "Tasks in series cannot be one batch",
    ),
    "compiled or not, afterwards": (
        lambda: model().set_execution(jit_compile=1),
        "`jit_compile` must be True or False. Received: jit_compile=1",
    ),
    "compiled or not": (lambda: compiled(jit_compile="x"), "`jit_compile` must be True or False"),
    "a beta of 1": (
        lambda: model(inner_optimizer=keras.optimizers.Adam(0.1, beta_2=1.0)),
        r"The inner optimizer's `beta_2` must be in \[0, 1\). Received: beta_2=1.0",
    ),
    "no epsilon": (
        lambda: model(inner_optimizer=keras.optimizers.Adam(0.1, epsilon=0.0)),
        "`epsilon` must be a number above 0. Received: epsilon=0.0",
    ),
    "steps uphill": (
        lambda: model(inner_optimizer=keras.optimizers.SGD(-0.1)),
        "`learning_rate` must be a number of at least 0. Received: learning_rate=-0.1",
    ),
    "nothing compiled to adapt": (
        lambda: model().adapt(POINTS, [0, 1, 2, 0]),
        "inner loop needs a loss. Received: a model",
    ),
    "nothing compiled to judge": (
        lambda: kr.evaluate(model(), episodes(tasks=1)),
        "inner loop needs a loss. Received: a model",
    ),
    "no model to judge": (
        lambda: kr.evaluate(network(), episodes(tasks=1)),
        "must be a ReptileModel. Received: Seq",
    ),
    "a progress bar in words": (
        lambda: kr.evaluate(compiled(), episodes(tasks=1), verbose="yes"),
        "`verbose` must be 0, 1, 2 or 'auto'. Received: verbose='yes'",
    ),
    "two metrics of one name": (
        lambda: compiled(metrics=[keras.metrics.SparseTopKCategoricalAccuracy(k) for k in (2, 3)]),
        "Each metric needs a name of its own, .*named sparse_top_k_categorical_accuracy, sparse",
    ),
    "a metric that is called as the loss": (
        lambda: compiled(metrics=[keras.metrics.SparseCategoricalAccuracy("loss")]),
        "name of its own, other than loss, loss_before, loss_after, confidence_95. Received: "
        "metrics named loss",
    ),
    "no episodes": (
        lambda: kr.evaluate(compiled(), []),
        "must be a tf.data.Dataset. Received: list",
    ),
    "half a step": (
        lambda: compiled().adapt(POINTS, [0, 1, 2, 0], steps=1.5),
        "`steps` must be an integer",
    ),
    "a seed beyond 32 bits": (
        lambda: compiled().adapt(POINTS, [0, 1, 2, 0], seed=2**31),
        "`seed` must be at most 2147483647",
    ),
    "no support set": (
        lambda: compiled().adapt(None, None),
        "must be arrays of images and of labels",
    ),
    "labels between classes": (
        lambda: compiled().adapt(POINTS, [0.5, 1.0, 1.5, 2.0]),
        "Labels must be integers. Received: labels of dtype float32",
    ),
    "a single label": (lambda: compiled().adapt(POINTS, 1), "one label for each"),
    "an image of no width": (
        lambda: kr.networks.omniglot_convnet(5, (28, 0, 1)),
        "`image_shape's width` must be at least 1",
    ),
    "a flat image": (lambda: kr.networks.omniglot_convnet(5, (28, 28)), "must be three integers"),
    "a network's seed": (lambda: kr.networks.sine_mlp(seed="a"), "`seed` must be an integer in"),
    "a number of layers": (
        lambda: kr.networks.sine_mlp(2),
        "`hidden` must be a sequence of integers",
    ),
    "a step size that is no number": (
        lambda: kr.linear_meta_step(NAN, 0, 9),
        "`initial` must be a finite",
    ),
    "half an iteration": (
        lambda: kr.linear_meta_step(1, 0, 9.5),
        "`meta_iterations` must be an integer",
    ),
    "a data set by number": (lambda: kr.datasets.load(3), "`dataset` must be one of .*Received: 3"),
    "half a class": (
        lambda: kr.datasets.load("glyphs", classes=9.5),
        "`classes` must be an integer",
    ),
    "an option of no data set": (
        lambda: kr.datasets.load("glyphs", class_count=3),
        "The data set 'glyphs' has the options classes, validation_classes, .*, seed. "
        r"Received: the options class_count\.",
    ),
    "an option of another data set": (
        lambda: kr.datasets.load("sinusoid", data_dir="x"),
        r"The data set 'sinusoid' has no options. Received: the options data_dir\.",
    ),
    "an option of no set of TFDS": (
        lambda: kr.datasets.load("tfds:mnist", rotations=True),
        "The data set 'tfds:mnist' has the options data_dir, .*, split_seed, .*Rec.*s rotations",
    ),
    "no folder": (
        lambda: kr.datasets.load("folder"),
        "The data set 'folder' has the options image_dir, .*, test_classes, .*, and needs "
        r"image_dir. Received: no options\.",
    ),
    "a seed of glyphs": (
        lambda: kr.datasets.load("glyphs", seed=-1),
        "`seed` must not be negative",
    ),
    "a model by number": (lambda: kr.pretrained(3), "`name_or_path` must be one of .*Received: 3"),
    "a name that no file can have": (
        lambda: kr.pretrained("x" * 300),
        "`name_or_path` must be one of",
    ),
    "weights that are all frozen, to adapt": (
        lambda: frozen().adapt(POINTS, [0, 1, 2, 0], steps=1),
        "Received: a network without trainable weights. Set `trainable = True` on it",
    ),
    "weights that are all frozen, to export": (
        lambda: frozen().export_learner("never"),
        "Received: a network without trainable weights. Set `trainable = True` on it",
    ),
    "labels between classes, of a task": (
        lambda: kr.evaluate(compiled(), kr.episode((POINTS, [0, 0.7, 1, 2]), (POINTS, [0] * 4))),
        "Labels must be in 0 to 2, .* Received: a task with another label",
    ),
    "labels in words": (
        lambda: kr.evaluate(compiled(), kr.episode((POINTS, [*"abab"]), (POINTS, [*"abab"]))),
        "Labels must be integers, the positions of outputs. Received: labels of dtype string",
    ),
    "the images of no data set": (
        lambda: kr.datasets.describe("omnglot", 28, 1),
        "`dataset` must be one of .*Received: 'omnglot'. Did you mean 'omniglot'?",
    ),
    "a model around a model": (
        lambda: kr.ReptileModel(model(), "sgd"),
        "`network` must be a plain keras.Model. Received: a ReptileModel. Give its network",
    ),
    "a model in a file of HDF5": (
        lambda: model().save("model.h5"),
        "Keras cannot load this model from an HDF5 file. Received: 'model.h5'. Save it as a .keras",
    ),
    "a learner in a file of HDF5": (
        lambda: with_bytes(network(), 1 / 255, True).save("learner.hdf5"),
        "Keras cannot load this model from an HDF5 file. Received: 'learner.hdf5'",
    ),
    "nothing compiled to predict": (
        lambda: model().adapt_and_predict(next(iter(episodes()))),
        "inner loop needs a loss. Received: a model",
    ),
    "a data set to predict at once": (
        lambda: compiled().adapt_and_predict(episodes()),
        "trains and evaluates on episodes: dicts with .* Received: _OptionsDataset",
    ),
    "a mode of prediction in words": (
        lambda: compiled().adapt_and_predict(next(iter(episodes())), transductive="yes"),
        "`transductive` must be True or False. Received: transductive='yes'",
    ),
    "a truth value for channels": (
        lambda: kr.read_image("x.png", 28, True),
        "`channels` must be 1 .grey. or 3 .colour.. Received: channels=True",
    ),
    "a scale of an image in words": (
        lambda: kr.read_image("x.png", scale="no"),
        "`scale` must be True or False. Received: scale='no'",
    ),
    "threads for XLA or not": (
        lambda: kr.one_task_per_core(jit_compile="auto"),
        "`jit_compile` must be True or False. Received: jit_compile='auto'",
    ),
    "cores below 0": (
        lambda: kr.one_task_per_core(-2),
        "`cores` must be at least 1. Received: cores=-2",
    ),
    "no field of a recipe": (lambda: named.get(colour=1), r"A recipe has no fields \['colour'\]"),
    "a field in words": (lambda: named.get(ways="5"), "`ways` must be an integer"),
    "a field that is no number": (
        lambda: settings(meta_step_size=NAN),
        "`meta_step_size` must be a finite",
    ),
    "a field of text": (
        lambda: named.get("glyphs", image_dir=3),
        "`image_dir` must be a string. Received: 3",
    ),
    "growing moments": (
        lambda: settings(inner_optimizer="sgd", inner_momentum=1.5),
        r"`momentum` must be in \[0, 1\). Received: momentum=1.5",
    ),
    "growing weights": (lambda: settings(inner_weight_decay_rate=2.0), r"must be in \(0, 1\]"),
    "a run's seed": (lambda: settings(seed=2**62), "`seed` must be at most 9223372036854774"),
    "no time to connect": (
        lambda: distribution.create("none", connect_timeout=-5),
        "must be a number of seconds above 0. Received: connect_timeout=-5",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_in_words(name):
    function, text = REFUSED[name]
    with pytest.raises(ValueError, match=text):
        function()


PROBABLE = (
    "sparse_categorical_crossentropy",
    keras.losses.CategoricalCrossentropy(),
    keras.losses.binary_crossentropy,
)


def test_a_cross_entropy_of_probabilities_on_a_linear_layer_is_warned_of(recwarn):
    bounded = keras.Sequential([*network().layers, keras.layers.Softmax()])
    for loss in PROBABLE:
        with pytest.warns(UserWarning, match=r"ends in a linear layer.* Received: loss=[a-z_]+\."):
            compiled(loss=loss)
        kr.ReptileModel(bounded, "sgd").compile("sgd", loss=loss)
    compiled(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    compiled(loss="mse")
    compiled()
    assert not [w for w in recwarn if "linear layer" in str(w.message)]


def test_a_number_too_large_for_a_float_is_refused():
    with pytest.raises(ValueError, match=r"`rate` must be a finite number. Received: rate=1000"):
        check_number("rate", 10**400)


def test_a_path_that_no_file_can_have_holds_no_run():
    directory = RunDirectory("x" * 300)
    assert directory.read_json("run.json") is None
    assert (directory.restore(), directory.rows()) == (None, [])


@pytest.mark.slow
@pytest.mark.parametrize("content", ["{", "[]", "[" * 100_000], ids=["half", "list", "deep"])
def test_metadata_that_cannot_be_read_is_named(content, tmp_path):
    export_portable(small_model(), tmp_path / "out")
    (tmp_path / "out" / "metadata.json").write_text(content)
    text = r"metadata.json cannot be (read|used): .*Export the model again"
    with pytest.raises(RunError, match=text):
        kr.pretrained(tmp_path / "out")


def test_hundreds_of_ways_and_tasks_are_drawn_by_a_loop_of_the_same_numbers(monkeypatch):
    bits = task_bits(3, tf.constant(5, tf.int64), UNROLLED + 8, 2 * 9)
    bits = tf.reshape(bits, (UNROLLED + 8, 2, 9))
    few = distinct(bits, tf.constant([20], tf.int64))
    monkeypatch.setattr("keras_reptile.episodes.sampling.UNROLLED", 4)
    np.testing.assert_array_equal(distinct(bits, tf.constant([20], tf.int64)), few)
    looped = task_bits(3, tf.constant(5, tf.int64), 8, 18)
    np.testing.assert_array_equal(tf.reshape(looped, (8, 2, 9)), bits[:8])


def test_a_graph_of_episodes_does_not_grow_with_ways_and_tasks():
    many = kr.ClassPool.from_arrays(np.zeros((800, 1), np.float32), np.arange(800) % 400)
    sizes = []
    for ways in (100, 400):
        spec = kr.TaskSpec(ways, 1)
        draw = lambda first: draw_tasks(spec, many.counts, many.offsets, 0, first, ways)  # noqa: B023, E731
        graph = (
            tf.function(draw, autograph=False)
            .get_concrete_function(tf.TensorSpec((), tf.int64))
            .graph
        )
        sizes.append(len(graph.get_operations()))
    assert sizes[0] == sizes[1]


def test_episodes_of_many_tasks_are_those_of_few(monkeypatch):
    whole = next(iter(small_episodes(meta_batch_size=UNROLLED + 1)))
    one = next(iter(small_episodes(meta_batch_size=1, start=UNROLLED)))
    for a, b in zip(tf.nest.flatten(whole), tf.nest.flatten(one), strict=True):
        np.testing.assert_array_equal(a[-1], b[0])
