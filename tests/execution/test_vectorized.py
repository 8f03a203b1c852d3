import functools
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    differences,
    of_examples,
    small_batches,
    small_convnet,
    small_dense,
    small_episodes,
    small_linear,
    small_model,
    train_on_batches,
)

import keras_reptile as kr
from keras_reptile.execution import vectorized
from keras_reptile.execution.batched_network import batched_network
from keras_reptile.kernels.forms import AS_ONE_BATCH
from keras_reptile.kernels.switching import fast_forms

# The network has no convolutions, so that XLA compiles it in half the time.
CASES = {
    "reptile, reset": {"inner_state": "reset"},
    "fomaml, separate tail, schedule": {
        "method": "fomaml",
        "inner_optimizer": "decaying",
        "evaluated": True,
    },
    "fomaml, one step": {"network": small_linear, "method": "fomaml", "steps": 1},
    "mean loss, momentum, clipped by each weight, weight decay": {
        "network": small_linear,
        "loss": "mean",
        "inner_optimizer": keras.optimizers.SGD(0.05, 0.9, clipnorm=0.5),
        "inner_weight_decay_rate": 0.99,
    },
}


def of_known_layers():
    """Windows of the first pooling do not divide the images, as in `mini_imagenet_convnet`."""
    options = {"padding": "same", "data_format": "channels_last"}
    return [
        keras.layers.Conv2D(3, 3, **options),
        keras.layers.BatchNormalization(),
        keras.layers.MaxPooling2D(3, **options),
        keras.layers.ReLU(),
        keras.layers.Conv2D(2, 2, activation="relu", use_bias=False),
        keras.layers.BatchNormalization(scale=False),
        keras.layers.MaxPooling2D(2),
        keras.layers.Activation("tanh"),
        keras.layers.Flatten(),
        keras.layers.Dense(4, "relu"),
        keras.layers.Dense(3),
    ]


def with_layer_normalization():
    """Not among the known kinds: `tf.vectorized_map` computes it."""
    return [
        keras.layers.Conv2D(3, 3, strides=2),
        keras.layers.LayerNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dense(3),
    ]


def network_of(layers, functional=False):
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 1))
    if not functional:
        return keras.Sequential([x, *layers()])
    y = x
    for layer in layers():
        y = layer(y)
    return keras.Model(x, y)


def assert_same_as_separately(
    network, tail=False, steps=2, loss="sum", evaluated=False, **arguments
):
    models = []
    if arguments.get("inner_optimizer") == "decaying":
        rate = keras.optimizers.schedules.ExponentialDecay(0.01, 1, 0.5)
        arguments["inner_optimizer"] = keras.optimizers.Adam(rate, beta_1=0.3)
    for task_parallelism in ("separate", "vectorized"):
        with warnings.catch_warnings(action="error"):
            model = small_model(network(), task_parallelism=task_parallelism, **arguments)
            if loss == "mean":
                model.compile(
                    keras.optimizers.SGD(0.5),
                    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                )
            shots = {"tail_shots": 1} if tail else {}
            train_on_batches(model, 3, inner_steps=steps, **shots)
        models.append(model)
    assert differences(*models) < 1e-9
    if evaluated:
        assert_same_evaluation(models)


def assert_same_evaluation(models):
    (episode,) = small_batches(1, seed=3)
    tests = [m._evaluate_tasks(episode, (False, True)) for m in models]
    for separate, together in zip(*map(tf.nest.flatten, tests), strict=True):
        np.testing.assert_allclose(separate, together, rtol=0, atol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_all_tasks_as_one_batch_give_the_numbers_of_separate_ones(name, float64):
    chosen = {"network": small_dense, **CASES[name]}
    assert_same_as_separately(tail="tail" in name, **chosen)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "functional", "known"),
    [(of_known_layers, True, True), (with_layer_normalization, False, False)],
)
def test_known_and_other_networks_give_the_numbers_of_separate_tasks(
    layers, functional, known, float64
):
    network = lambda: network_of(layers, functional)  # noqa: E731
    assert (batched_network(network(), tf.zeros((2, 3, 8, 8, 1))) is not None) == known
    # With SGD: Adam's first steps are a sign of the gradient. Loops are tested above, as is the
    # evaluation of known layers.
    inner_optimizer = keras.optimizers.SGD(0.1)
    assert_same_as_separately(
        network, steps=1, evaluated=not known, inner_optimizer=inner_optimizer
    )


def compiled_text(tasks):
    """The program of the training of so many tasks that XLA is given."""
    model = small_model(task_parallelism="vectorized")
    (episode,) = small_batches(1, meta_batch_size=tasks)
    theta = [tf.convert_to_tensor(v) for v in model.network.trainable_variables]
    numbers = {"number": (tf.zeros((tasks,), tf.int32), tf.range(tasks))}
    arguments = ({**episode, **numbers}, theta, model._starting_state(theta))
    plan = model._plan(training=True)
    others = [tf.convert_to_tensor(v) for v in model.network.non_trainable_variables]
    train = functools.partial(vectorized.train, model._inner_loop, plan, others)
    function = vectorized.compiled(train, *arguments)
    return function.experimental_get_compiler_ir(*arguments)(stage="hlo")


@pytest.mark.of_a_cpu
@pytest.mark.slow
def test_matrix_products_do_not_grow_with_the_number_of_tasks():
    programs = [compiled_text(tasks) for tasks in (1, 20)]
    products = [len(re.findall(r" dot\(", text)) for text in programs]
    # The first inner step, and the loop of the others: a convolution and a dense layer, forward and
    # of the gradients all but the one by the images; in the loop that one too, which XLA leaves out
    # later; and the two of the queries' prediction.
    assert products == [13, 13]
    assert all(" convolution(" not in text for text in programs)


def with_transposed_convolution():
    layers = [keras.layers.Conv2DTranspose(2, 3), keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


@pytest.mark.slow
def test_a_network_that_cannot_runs_task_by_task_and_says_so():
    keras.utils.set_random_seed(0)
    network = with_transposed_convolution()
    models = [
        small_model(keras.models.clone_model(network), task_parallelism=p)
        for p in ("separate", "vectorized")
    ]
    models[1].set_weights(models[0].get_weights())
    train_on_batches(models[0], 2)
    with pytest.warns(UserWarning, match="computed separately, as they cannot be computed as"):
        train_on_batches(models[1], 2)
    assert differences(*models) == 0


@pytest.mark.of_a_cpu
@pytest.mark.slow
def test_maml_and_meta_batches_of_unknown_size_run_task_by_task_and_say_so():
    model = small_model(small_linear(), method="maml", task_parallelism="vectorized")
    with pytest.warns(UserWarning, match="MAML's gradient"):
        train_on_batches(model, 1)
    with pytest.warns(UserWarning, match="number of tasks in a meta-batch is not known"):
        model.evaluate(small_episodes(tasks=3), verbose=0)


def test_layers_are_plain_before_and_after():
    network = small_convnet()
    with fast_forms(network, AS_ONE_BATCH):
        assert "convolution_op" in vars(network.layers[0])
    assert "convolution_op" not in vars(network.layers[0])


@pytest.mark.of_a_cpu
@pytest.mark.slow
def test_by_default_tasks_are_separate_on_a_cpu():
    assert small_model().task_parallelism == "auto"
    with warnings.catch_warnings(action="error"):
        train_on_batches(small_model(with_transposed_convolution()), 1)


def test_tasks_in_series_cannot_be_one_batch():
    with pytest.raises(ValueError, match="Tasks in series cannot be one batch"):
        kr.ReptileModel(small_convnet(), task_order="serial", task_parallelism="vectorized")


@pytest.mark.slow
def test_recurrent_layers_are_computed_task_by_task():
    rows = of_examples(lambda x, y: (x[..., 0], y))
    network = keras.Sequential([keras.Input((8, 8)), keras.layers.LSTM(4), keras.layers.Dense(3)])
    model = small_model(network, task_parallelism="vectorized")
    with pytest.warns(
        UserWarning, match=r"computed separately.*does not compile the loops of the layers"
    ):
        history = model.fit(small_episodes(tasks=2).map(rows), verbose=0).history
    assert np.isfinite(history["loss_after"]).all()


@pytest.mark.parametrize("last", [[], [keras.layers.LayerNormalization()]])
def test_outputs_at_many_places_are_those_of_separate_tasks_also_where_one_diverges(last):
    x = np.random.RandomState(0).rand(2, 2, 4, 2).astype("float32")
    y = np.tile(np.arange(4, dtype=np.int32) % 2, (2, 2, 1))
    order = np.zeros((2, 1, 2), np.int32)
    episodes = {"support": (x.copy(), y), "order": order, "query": (x, y)}
    episodes["support"][0][0] = 3e38
    found = {}
    for how in ("separate", "vectorized"):
        layers = [keras.layers.Dense(2, kernel_initializer="ones"), *last]
        network = keras.Sequential([keras.Input((4, 2)), *layers])
        model = kr.ReptileModel(network, keras.optimizers.SGD(0.1), task_parallelism=how)
        model.compile(keras.optimizers.SGD(1.0))
        with warnings.catch_warnings(action="error"):
            _, found[how] = model.adapt_and_predict(episodes)
    assert np.isnan(found["separate"][0]).all() and np.isfinite(found["separate"][1]).any()
    np.testing.assert_allclose(found["separate"], found["vectorized"], rtol=1e-5)
