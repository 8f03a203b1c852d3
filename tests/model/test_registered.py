"""Methods, data sets and networks that are registered from outside of the package."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import image_pool, scalar_episode, scalar_model, small_convnet, weight

import keras_reptile as kr
from keras_reptile.algorithm.adaptation import Adaptation
from keras_reptile.algorithm.inner_optimizers import InnerState
from keras_reptile.algorithm.methods import METHODS
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.execution import outcome
from keras_reptile.execution.plan import Plan
from keras_reptile.execution.settings import Settings
from keras_reptile.execution.weight_vectors import VectorLayout
from keras_reptile.recipes import building, data_options, named
from keras_reptile.runs import training

TARGETS, RATE = np.array([1.0, -0.5, 2.0]), 0.1


def last_step_twice(theta, tasks):
    return [
        tf.reduce_mean((t - w) + (before - w), axis=0)
        for t, w, before in zip(theta, tasks.weights, tasks.before_last, strict=True)
    ]


def half_way(theta, tasks):
    return [
        0.5 * (t - tf.reduce_mean(w, axis=0)) for t, w in zip(theta, tasks.weights, strict=True)
    ]


def solution(steps):
    """The weight after steps of SGD on (w - target)^2, from 0: each is 1 - 2 RATE times as far."""
    return TARGETS * (1 - (1 - 2 * RATE) ** steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gradient", "before_last", "expected"),
    [
        (half_way, False, 0.5 * np.mean(solution(3))),
        (last_step_twice, True, np.mean(2 * solution(3) - solution(2))),
    ],
)
@pytest.mark.parametrize(
    ("task_parallelism", "jit_compile"),
    [("separate", False), ("separate", True), ("vectorized", False)],
)
def test_a_registered_method_moves_the_weights_by_its_gradient(
    gradient, before_last, expected, task_parallelism, jit_compile
):
    kr.register_method("mine", gradient, before_last=before_last)
    model = scalar_model(
        keras.optimizers.SGD(RATE),
        keras.optimizers.SGD(1.0),
        method="mine",
        task_parallelism=task_parallelism,
    )
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error", jit_compile=jit_compile)
    model.train_on_batch(scalar_episode(TARGETS, steps=3))
    assert weight(model) == pytest.approx(expected, abs=1e-6)


def kernels_only(theta, tasks):
    """Reptile's gradient for matrices, and none for vectors."""
    return [
        t - tf.reduce_mean(w, axis=0) if t.shape.rank == 2 else tf.zeros_like(t)
        for t, w in zip(theta, tasks.weights, strict=True)
    ]


@pytest.mark.parametrize(
    ("task_parallelism", "jit_compile"), [("separate", True), ("vectorized", False)]
)
def test_a_registered_method_gets_each_weight_also_where_steps_have_vectors_of_all(
    task_parallelism, jit_compile
):
    kr.register_method("mine", kernels_only)
    dense = keras.layers.Dense(1, kernel_initializer="zeros")
    model = kr.ReptileModel(
        keras.Sequential([keras.Input((1,)), dense]),
        keras.optimizers.SGD(RATE),
        method="mine",
        task_parallelism=task_parallelism,
    )
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error", jit_compile=jit_compile)
    model.train_on_batch(scalar_episode(TARGETS, steps=1))
    # With x = 1 the first step is 2 RATE target, for the kernel as for the bias.
    assert weight(model) == pytest.approx(2 * RATE * TARGETS.mean(), abs=1e-6)
    assert dense.bias.numpy() == 0


def test_a_registered_method_gets_shared_weights_before_the_last_step_for_each_task():
    def last_step(theta, tasks):
        pairs = zip(tasks.before_last, tasks.weights, strict=True)
        return [tf.reduce_mean(b, axis=0) - tf.reduce_mean(w, axis=0) for b, w in pairs]

    theta = [tf.constant([1.0, 3.0]), tf.constant([[5.0]])]
    layout = VectorLayout.of(theta)
    weights = [tf.constant([[0.0, 1.0], [2.0, 1.0]]), tf.constant([[[1.0]], [[3.0]]])]
    state = InnerState(tf.constant(1), ())
    tasks = Adaptation(layout.pack(weights), state, tf.zeros(2), layout.pack(theta))
    kr.register_method("mine", last_step, before_last=True)
    loop = types.SimpleNamespace(rules=METHODS["mine"])
    plan = Plan.of(Settings(), {"CPU"})
    result = outcome.of_tasks(loop, plan, layout.pack(theta), tasks, (), layout)
    np.testing.assert_array_equal(result.gradient[0], [0.0, 2.0, 3.0])


def test_a_method_that_is_registered_again_counts_at_once():
    kr.register_method("mine", lambda theta, tasks: [tf.zeros_like(t) for t in theta])
    model = scalar_model(keras.optimizers.SGD(RATE), keras.optimizers.SGD(1.0), method="mine")
    episode = scalar_episode(TARGETS)
    model.train_on_batch(episode)
    assert weight(model) == 0
    kr.register_method("mine", half_way)
    model.train_on_batch(episode)
    assert weight(model) == pytest.approx(0.5 * np.mean(solution(1)), abs=1e-6)


@pytest.mark.slow
def test_a_saved_model_comes_back_where_its_method_is_registered(tmp_path):
    kr.register_method("mine", half_way)
    model = kr.ReptileModel(small_convnet(), method="mine")
    model.save(tmp_path / "m.keras")
    assert keras.models.load_model(tmp_path / "m.keras").method == "mine"
    del METHODS["mine"]
    with pytest.raises(Exception, match="`method` must be one of"):
        keras.models.load_model(tmp_path / "m.keras")


def spots(validation_classes=2, test_classes=4):
    training_classes = 12 - validation_classes - test_classes
    return Pools(*image_pool().split(training_classes, validation_classes, test_classes))


def small_network(ways, image_shape, seed):
    assert image_shape == (8, 8, 1)
    return small_convnet(ways, seed)


SETTINGS = dict(
    dataset="spots",
    network="small",
    method="mine",
    ways=3,
    validation_classes=3,
    meta_iterations=4,
    checkpoint_every=2,
    meta_batch_size=2,
    inner_steps=2,
    eval_inner_steps=2,
    validation_tasks=2,
    test_tasks=2,
    jit_compile="false",
)


@pytest.mark.slow
def test_a_recipe_takes_what_is_registered_and_its_run_is_resumed_and_has_its_classes(tmp_path):
    kr.register_dataset("spots", spots)
    kr.register_network("small", small_network)
    kr.register_method("mine", half_way)
    recipe = named.get(**SETTINGS)
    summary = training.train(recipe, tmp_path / "run", verbose=0)
    assert summary["settings"]["network"] == "small" and summary["result"]["tasks"] == 2
    pools = building.load_pools(recipe, None)
    assert (len(pools.train), len(pools.validation), len(pools.test)) == (5, 3, 4)
    assert building.describe_images(recipe) is None
    again = training.train(recipe, tmp_path / "run", verbose=0)
    assert again["result"] == summary["result"]


def test_a_data_set_is_given_the_fields_and_the_directory_that_it_takes():
    taken = {}

    def load(image_size, split_seed=7, data_dir="here"):
        taken.update(image_size=image_size, split_seed=split_seed, data_dir=data_dir)
        return spots()

    kr.register_dataset("mine", load)
    recipe = named.get(dataset="mine", image_size=8, split_seed=2)
    building.load_pools(recipe, None)
    assert taken == {"image_size": 8, "split_seed": 2, "data_dir": "here"}
    building.load_pools(recipe, "there")
    assert taken["data_dir"] == "there"
    with pytest.raises(ValueError, match=r"needs image_size\. Received: no options"):
        kr.datasets.load("mine")


def test_a_field_that_a_data_set_does_not_take_is_refused():
    kr.register_dataset("spots", spots)
    with pytest.raises(
        ValueError, match=r"'spots' has no option image_size\. Received: image_size=14\. Its"
    ):
        data_options.data_options(named.get(dataset="spots", image_size=14), None)
    with pytest.raises(ValueError, match=r"has no option data_dir\. Received: data_dir='there'"):
        data_options.data_options(named.get(dataset="spots"), "there")
    assert data_options.more_classes(named.get(dataset="spots"), "test") == ""


def named_pool(names, size=8):
    return kr.ClassPool(np.zeros((len(names), size)), [1] * len(names), names)


def overlapping():
    return Pools(named_pool("ab"), named_pool(""), named_pool("bc"))


def test_pools_of_a_data_set_may_number_their_classes_each_for_itself():
    numbered = Pools(named_pool([0, 1]), named_pool("", 7), named_pool([0]))
    kr.register_dataset("numbered", lambda: numbered)
    assert kr.datasets.load("numbered") is numbered


WRONG = {
    "a method of the package": (
        lambda: kr.register_method("maml", half_way),
        "The package has a method 'maml'. Register yours under another name",
    ),
    "a network of the package": (
        lambda: kr.register_network("sine_mlp_relu", small_network),
        "The package has a network 'sine_mlp_relu'",
    ),
    "a data set of the package": (
        lambda: kr.register_dataset("omniglot", spots),
        "The package has a data set 'omniglot'",
    ),
    "a name that is no word": (
        lambda: kr.register_dataset("tfds:mine", spots),
        "The name of a data set must be letters, digits and underscores. Received: 'tfds:mine'",
    ),
    "no name": (lambda: kr.register_method(3, half_way), "Received: 3"),
    "no gradient": (lambda: kr.register_method("mine", 0.5), "A method needs a function. Rec"),
    "a gradient of one argument": (
        lambda: kr.register_method("mine", lambda theta: theta),
        "A method needs a function of theta, tasks. Received: a function of theta",
    ),
    "a gradient for each task": (
        lambda: kr.register_method("mine", lambda theta, tasks: list(tasks.weights)),
        r"must have the shapes of `theta`, .* here. Received: \[\(2, 2\)",
    ),
    "a gradient that is no mean": (
        lambda: kr.register_method(
            "mine", lambda theta, tasks: [tf.reduce_sum(w, axis=0) for w in tasks.weights]
        ),
        "must be the mean of each task.s gradient alone. Received .* for two tasks, and",
    ),
    "before_last in words": (
        lambda: kr.register_method("mine", half_way, before_last="yes"),
        "`before_last` must be True or False",
    ),
    "no function that loads": (
        lambda: kr.register_dataset("mine", spots()),
        "A data set needs a function that loads it. Received: Pools",
    ),
    "options without names": (
        lambda: kr.register_dataset("mine", lambda **options: spots()),
        r"must have names. Received a function with the arguments \*\*options. Name each",
    ),
    "a data set of other pools": (
        lambda: (kr.register_dataset("other", lambda: list(spots())), kr.datasets.load("other")),
        "data set 'other' must return `Pools` of three `ClassPool`s. Received: list",
    ),
    "a data set of overlapping pools": (
        lambda: (kr.register_dataset("other", overlapping), kr.datasets.load("other")),
        r"'other' must have no common class. Received: b \(train, test\). Remove it from",
    ),
    "a network without a seed": (
        lambda: kr.register_network("mine", lambda ways, image_shape: None),
        "A network needs a function of ways, image_shape, seed. Received: a function of wa",
    ),
    "a network that is not registered": (
        lambda: named.get(network="mine"),
        "`network` must be one of .* Received: 'mine'",
    ),
}


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_registered_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
