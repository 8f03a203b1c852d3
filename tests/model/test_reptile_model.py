import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    differences,
    episode,
    image_pool,
    of_examples,
    scalar_episode,
    scalar_model,
    small_convnet,
    small_episodes,
    small_linear,
    small_model,
    weight,
)

import keras_reptile as kr


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.flatten = keras.layers.Flatten()
        self.normalize = keras.layers.BatchNormalization()
        self.dense = keras.layers.Dense(units)

    def call(self, inputs, training=False):
        return self.dense(self.normalize(self.flatten(inputs), training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


def functional(ways=3):
    inputs = keras.Input((8, 8, 1))
    outputs = keras.layers.Dense(ways)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, outputs)


NETWORKS = {"sequential": small_convnet, "functional": functional, "subclassed": Subclassed}


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_any_keras_network_learns_to_learn(name):
    keras.utils.set_random_seed(0)
    model = small_model(NETWORKS[name]())
    history = model.fit(small_episodes(), steps_per_epoch=30, epochs=3, verbose=0).history
    assert list(history) == ["accuracy", "loss", "loss_after", "loss_before"]
    assert history["accuracy"][-1] > max(0.6, history["accuracy"][0])
    assert history["loss_after"][-1] < history["loss_before"][-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "inner_state"), zip(NETWORKS, ["carried", "reset", "carried"], strict=True)
)
def test_saving_and_loading_gives_back_the_same_object(name, inner_state, tmp_path):
    model = small_model(NETWORKS[name](), inner_state=inner_state, transductive=True)
    model.compile(keras.optimizers.Adam(kr.linear_meta_step(0.01, 0.0, 50)))
    model.fit(small_episodes(), steps_per_epoch=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert differences(model, loaded) == 0
    configs = [{**m.get_config(), "network": None} for m in (model, loaded)]
    assert configs[0] == configs[1]
    assert type(loaded.network) is type(model.network)
    assert int(loaded.optimizer.iterations) == 4
    # The outer optimizer's and the inner moments too: both go on alike.
    for m in (model, loaded):
        m.fit(small_episodes(start=4), steps_per_epoch=3, verbose=0)
    assert differences(model, loaded) == 0


def test_weights_files_hold_the_inner_state(tmp_path):
    model, other = small_model(), small_model(small_convnet(seed=5))
    model.fit(small_episodes(), steps_per_epoch=2, verbose=0)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert differences(model, other) == 0
    assert float(np.abs(other.inner_variables[1]).sum()) > 0


VARIANTS = {
    "eager": dict(run_eagerly=True),
    "three steps per execution": dict(steps_per_execution=3),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_way_to_run_gives_the_same_weights(name, float64):
    models = []
    for arguments in ({}, VARIANTS[name]):
        model = small_model()
        model.compile(keras.optimizers.SGD(0.5), **arguments)
        model.fit(small_episodes(), steps_per_epoch=6, verbose=0)
        models.append(model)
    assert differences(*models) < 1e-9


def test_the_second_step_does_not_trace_again():
    model, traces = small_model(small_linear()), []
    step = model.train_step
    model.train_step = lambda data: (traces.append(1), step(data))[1]
    model.fit(small_episodes(), steps_per_epoch=3, epochs=2, verbose=0)
    assert len(traces) == 1


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_bit_for_bit():
    runs = [small_model(small_linear()) for _ in range(2)]
    for model in runs:
        model.fit(small_episodes(), steps_per_epoch=10, verbose=0)
    assert differences(*runs) == 0


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "float64"])
def test_other_precisions_learn_too(precision):
    keras.config.set_dtype_policy(precision)
    try:
        model = small_model()
        history = model.fit(small_episodes(), steps_per_epoch=60, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    wanted = "float64" if precision == "float64" else "float32"
    assert {v.dtype for v in model.trainable_variables} == {wanted}
    assert model.network.compute_dtype == precision.replace("mixed_", "")
    assert history["accuracy"][-1] > 0.6


def dense_pair(policy, head):
    layers = [keras.layers.Dense(4, dtype=policy), keras.layers.Dense(3, dtype=head)]
    return keras.Sequential([keras.Input((2,), dtype="float32"), *layers])


@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_weights_that_adam_cannot_move_are_refused(half):
    message = (
        f"Inner Adam moves weights of 32 bits or more. Received: {half}. The policies 'mixed_bf"
    )
    with pytest.raises(ValueError, match=message):
        kr.ReptileModel(dense_pair(half, half))
    kr.ReptileModel(dense_pair(half, half), keras.optimizers.SGD(0.1))
    kr.ReptileModel(dense_pair(f"mixed_{half}", "float32"))


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_weights_of_two_dtypes_are_refused(optimizer):
    network = dense_pair("bfloat16", "float32")
    message = "moves trainable weights of one dtype. Received: bfloat16, float32. The policies"
    with pytest.raises(ValueError, match=message):
        kr.ReptileModel(network, optimizer)
    network.layers[0].trainable = False
    kr.ReptileModel(network, optimizer)


@pytest.mark.slow
def test_evaluation_and_prediction_leave_no_trace():
    model, untouched = small_model(), small_model()
    tests = small_episodes(shots=1, seed=9, tasks=6)
    for m in (model, untouched):
        m.fit(small_episodes(), steps_per_epoch=3, verbose=0)
    before = [v.numpy() for v in model.variables]
    first = model.evaluate(tests, verbose=0, return_dict=True)
    predictions = model.predict(tests, verbose=0)
    kr.evaluate(model, tests, verbose=0)
    model.adapt(np.zeros((3, 8, 8, 1), np.float32), [0, 1, 2], steps=2)
    assert predictions.shape == (6, 3, 3)
    for v, value in zip(model.variables, before, strict=True):
        if not any(v is w for metric in model.metrics for w in metric.variables):
            np.testing.assert_array_equal(v, value)
    assert model.evaluate(tests, verbose=0, return_dict=True) == first
    for m in (model, untouched):
        m.fit(small_episodes(start=3), steps_per_epoch=3, verbose=0)
    assert differences(model, untouched) == 0


def test_evaluation_starts_from_the_carried_state(float64):
    # Adam with carried v = 4 (1 - b2) after one task with gradient 2. A new task's step from
    # there is shorter than a first step.
    model = scalar_model(keras.optimizers.Adam(0.1, beta_1=0.0), keras.optimizers.SGD(0.0))
    model.train_on_batch(scalar_episode([1.0]))
    _, predictions = model.adapt_and_predict(scalar_episode([0.1]))
    v = 0.999 * 0.001 * 4 + 0.001 * 0.2**2
    step = 0.1 * np.sqrt(1 - 0.999**2) * 0.2 / np.sqrt(v)
    assert float(np.ravel(predictions)[0]) == pytest.approx(step, rel=1e-4)


def test_losses_before_and_after_are_those_of_first_minibatch_and_queries():
    # w = 0, target 3, rate 0.25, two steps: 1.5, 2.25. Loss before 9, after 0.75^2.
    model = scalar_model(keras.optimizers.SGD(0.25), keras.optimizers.SGD(1.0))
    logs = model.train_on_batch(scalar_episode([3.0], steps=2), return_dict=True)
    assert logs == pytest.approx({"loss": 0.5625, "loss_before": 9.0, "loss_after": 0.5625})


def test_a_summed_loss_steps_by_the_sum_and_reports_the_mean():
    model = scalar_model(keras.optimizers.SGD(0.05), keras.optimizers.SGD(1.0))
    model.compile(keras.optimizers.SGD(1.0), loss=keras.losses.MeanSquaredError(reduction="sum"))
    logs = model.train_on_batch(scalar_episode([3.0], batch=5), return_dict=True)
    # The gradient of five times (w - 3)^2 is -30: one step of 0.05 takes w to 1.5.
    assert weight(model) == pytest.approx(1.5)
    assert logs == pytest.approx({"loss": 2.25, "loss_before": 9.0, "loss_after": 2.25})


def test_regression_with_metrics_and_a_function_as_loss():
    def huber(y_true, y_pred):
        return keras.losses.huber(y_true, y_pred)

    model = scalar_model(keras.optimizers.SGD(0.1), keras.optimizers.SGD(1.0))
    model.compile(keras.optimizers.SGD(1.0), loss=huber, metrics=["mean_absolute_error"])
    logs = model.train_on_batch(scalar_episode([3.0]), return_dict=True)
    # Huber's gradient far out is -1: w = 0.1.
    assert weight(model) == pytest.approx(0.1)
    assert logs["mean_absolute_error"] == pytest.approx(2.9)


def test_accuracy_is_that_of_the_queries():
    x = np.eye(3, dtype=np.float32)[None]
    network = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, use_bias=False)])
    network.set_weights([np.eye(3)])
    model = kr.ReptileModel(network, keras.optimizers.SGD(1e-6))
    model.compile(keras.optimizers.SGD(1.0))
    support_y, query_y = np.array([[0, 1, 2]]), np.array([[0, 1, 1]])
    logs = model.test_on_batch(episode(x, support_y, [[[0, 1, 2]]], x, query_y), return_dict=True)
    assert logs["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.slow
def test_several_inputs():
    a, b = keras.Input((8, 8, 1), name="a"), keras.Input((2,), name="b")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(a), b])
    network = keras.Model({"a": a, "b": b}, keras.layers.Dense(3)(joined))

    def two_inputs(element):
        def add(part):
            return {"a": part[0], "b": tf.zeros((*part[0].shape[:2], 2))}, part[1]

        return {**element, "support": add(element["support"]), "query": add(element["query"])}

    model = small_model(network)
    model.fit(small_episodes().map(two_inputs), steps_per_epoch=2, verbose=0)
    tests = small_episodes(tasks=2).map(two_inputs)
    assert model.predict(tests, verbose=0).shape == (2, 3, 3)


def test_plain_inputs_are_predicted_by_the_initialization():
    model, x = small_model(), np.zeros((5, 8, 8, 1), np.float32)
    np.testing.assert_allclose(model.predict(x, verbose=0), model.network(x), atol=1e-6)


def test_plain_inputs_keep_the_precision_of_the_network():
    layers = keras.Input((2,), dtype="float64"), keras.layers.Dense(1, dtype="float64")
    network, x = keras.Sequential(layers), np.random.RandomState(0).rand(4, 2)
    np.testing.assert_array_equal(small_model(network)(x), network(x))


def test_plain_inputs_are_predicted_without_compile_too():
    model = kr.ReptileModel(small_convnet())
    x = np.zeros((2, 8, 8, 1), np.float32)
    np.testing.assert_allclose(model.predict(x, verbose=0), model.network(x), atol=1e-6)


@pytest.mark.slow
def test_callbacks_see_the_figures(tmp_path):
    model = small_model(small_linear())
    callbacks = [
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "best.keras", "val_accuracy", save_best_only=True
        ),
        keras.callbacks.EarlyStopping("val_loss_after", patience=5),
        keras.callbacks.TensorBoard(tmp_path / "events"),
    ]
    tests = small_episodes(shots=1, seed=9, tasks=6)
    model.fit(
        small_episodes(),
        steps_per_epoch=3,
        epochs=2,
        validation_data=tests,
        callbacks=callbacks,
        verbose=0,
    )
    columns = (tmp_path / "log.csv").read_text().splitlines()[0]
    assert "val_accuracy,val_confidence_95,val_loss,val_loss_after,val_loss_before" in columns
    assert isinstance(keras.saving.load_model(tmp_path / "best.keras"), kr.ReptileModel)


def test_without_queries_there_is_no_figure_of_queries():
    model = small_model(small_linear())
    history = model.fit(small_episodes(queries=0), steps_per_epoch=2, verbose=0).history
    assert list(history) == ["loss", "loss_before"]
    with pytest.raises(
        ValueError, match=r"Received: episodes with queries=0. Build the evaluation"
    ):
        model.evaluate(small_episodes(queries=0, tasks=2), verbose=0)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (dict(method="anil"), r"`method` must be one of \('reptile', 'fomaml', 'maml'\).*'anil'"),
        (dict(inner_state="kept"), r"`inner_state` must be one of \('carried', 'reset'\).*'kept'"),
        (dict(task_order="random"), r"`task_order` must be one of .*Received: task_order='random'"),
        (
            dict(inner_weight_decay_rate=0),
            r"must be in \(0, 1\]. Received: inner_weight_decay_rate=0",
        ),
        (dict(inner_optimizer="rmsprop"), "Received: RMSprop"),
    ],
)
def test_bad_arguments_are_refused(arguments, text):
    with pytest.raises(ValueError, match=text):
        kr.ReptileModel(small_convnet(), **arguments)


def test_other_data_than_episodes_is_refused():
    images = image_pool().images[:6].astype(np.float32)
    element = next(iter(small_episodes()))
    with pytest.raises(ValueError, match=r"'query' and, if tasks have one, 'tail'.*Received: dict"):
        small_model().train_on_batch({**element, "head": element["order"]})
    with pytest.raises(ValueError, match=r"trains and evaluates on episodes: dicts with 'support'"):
        small_model().fit(images, np.zeros(6), verbose=0)


def test_metrics_must_be_a_flat_list():
    with pytest.raises(ValueError, match=r"`metrics` must be a flat list.*Received: metrics="):
        small_model().compile(keras.optimizers.SGD(1.0), metrics={"a": "accuracy"})


@pytest.mark.slow
def test_images_that_come_as_bytes_are_scaled_by_the_model():
    by_model, by_pipeline = (small_model(small_linear()) for _ in range(2))
    for model, scale in ((by_model, False), (by_pipeline, True)):
        episodes = small_episodes(scale=scale)
        assert (next(iter(episodes))["query"][0].dtype == tf.uint8) is not scale
        model.fit(episodes, steps_per_epoch=3, verbose=0)
    assert differences(by_model, by_pipeline) == 0
    tests = [kr.evaluate(by_model, small_episodes(tasks=4, scale=s)) for s in (False, True)]
    np.testing.assert_array_equal(tests[0].accuracies, tests[1].accuracies)
    element = next(iter(small_episodes(scale=False)))
    predicted = by_model(element)
    np.testing.assert_array_equal(predicted, by_model(next(iter(small_episodes(scale=True)))))


@keras.saving.register_keras_serializable(package="tests")
class WithoutTraining(Subclassed):
    def call(self, inputs):
        return self.dense(self.flatten(inputs))


@pytest.mark.slow
def test_a_networks_call_need_not_have_the_argument_training():
    model = small_model(WithoutTraining())
    model.fit(small_episodes(), steps_per_epoch=2, verbose=0)
    (x, y), tests = next(iter(small_episodes()))["support"], small_episodes(tasks=4)
    assert 0 <= kr.evaluate(model, tests, verbose=0).accuracy <= 1
    assert model.predict(x[0], verbose=0).shape == (len(y[0]), 3)
    assert model.adapt(x[0], y[0], steps=1).predict(x[0], verbose=0).shape == (len(y[0]), 3)


def test_a_network_that_is_not_built_predicts_plain_images():
    model = small_model(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]))
    assert model.predict(np.zeros((2, 8, 8, 1), np.float32), verbose=0).shape == (2, 3)


def test_an_endless_dataset_without_steps_is_refused():
    model, endless = small_model(), small_episodes()
    with pytest.raises(ValueError, match=r"`fit` would never end.*Pass `steps_per_epoch`, or"):
        model.fit(endless)
    with pytest.raises(ValueError, match=r"`fit` would never end.*Pass `validation_steps`, or"):
        model.fit(endless, steps_per_epoch=1, validation_data=endless)
    with pytest.raises(ValueError, match=r"`evaluate` would never end.*Pass `steps`, or build"):
        model.evaluate(endless)


@pytest.mark.of_a_cpu
@pytest.mark.slow
def test_the_end_of_a_dataset_of_unknown_size_leaves_no_trace():
    known = small_episodes(tasks=6)
    unknown = known.filter(lambda episode: True)
    assert unknown.cardinality() == tf.data.UNKNOWN_CARDINALITY
    ends = []
    for dataset in (known, unknown):
        model = small_model(small_convnet())
        history = model.fit(dataset, epochs=2, verbose=0).history
        ends.append((model, history, model.evaluate(dataset, verbose=0)))
    (a, *figures), (b, *wanted) = ends
    assert figures == wanted
    assert a.meta_iteration == b.meta_iteration
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


def test_networks_that_cannot_be_trained_are_refused():
    inputs = keras.Input((8, 8, 1))
    flat = keras.layers.Flatten()(inputs)
    two = keras.Model(inputs, [keras.layers.Dense(3)(flat), keras.layers.Dense(3)(flat)])
    with pytest.raises(ValueError, match=r"must have one output. Received: .* with 2 outputs"):
        kr.ReptileModel(two)
    frozen = small_convnet()
    frozen.trainable = False
    with pytest.raises(ValueError, match=r"without trainable weights. Set `trainable = True`"):
        small_model(frozen).fit(small_episodes(), steps_per_epoch=1, verbose=0)


def test_episodes_are_predicted_by_a_compiled_model_only():
    with pytest.raises(ValueError, match=r"a model that is not compiled. Call `model.compile"):
        kr.ReptileModel(small_convnet()).predict(small_episodes(tasks=2), verbose=0)


@pytest.mark.slow
def test_accuracy_does_not_need_the_loss_to_keep_its_name():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, name="mine")
    model = small_model()
    model.compile(keras.optimizers.SGD(1.0), loss=loss)
    assert model._is_classifier
    assert "accuracy" in model.fit(small_episodes(), steps_per_epoch=1, verbose=0).history


@pytest.mark.slow
def test_a_strategy_trains_on_a_dataset_of_unknown_size():
    with tf.distribute.OneDeviceStrategy("cpu:0").scope():
        model = small_model(small_convnet())
    unknown = small_episodes(tasks=6).filter(lambda episode: True)
    model.fit(unknown, verbose=0)
    assert model.meta_iteration == 3
    assert set(model.evaluate(unknown, verbose=0, return_dict=True)) >= {"accuracy", "loss_after"}


def unbuilt(ways):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(ways)])


class Unknown(keras.Model):
    """A network whose outputs Keras does not know."""

    output_shape = None

    def __init__(self, ways):
        super().__init__()
        self.flatten, self.dense = keras.layers.Flatten(), keras.layers.Dense(ways)

    def call(self, x):
        return self.dense(self.flatten(x))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "jit_compile"), [(small_convnet, False), (unbuilt, True), (Unknown, False)]
)
def test_a_label_without_an_output_ends_training_and_evaluation(network, jit_compile):
    model = small_model(network(ways=2))
    model.compile(keras.optimizers.SGD(1.0), jit_compile=jit_compile)
    tasks = small_episodes(tasks=2)
    for see in (model.fit, model.evaluate, functools.partial(kr.evaluate, model), model.predict):
        with pytest.raises(ValueError, match=r"^Labels must be in 0 to 1, because the network"):
            see(tasks, verbose=0)
    in_a_tuple = tasks.map(lambda episodes: (episodes,))
    with pytest.raises(ValueError, match=r"^Labels must be in 0 to 1, because the network"):
        model.fit(in_a_tuple, verbose=0)
    assert model.meta_iteration == 0


def test_to_predict_queries_need_no_labels():
    def unlabelled(tasks):
        x, y = tasks["query"]
        return {**tasks, "query": (x, y - 9)}

    model, tasks = small_model(small_linear()), small_episodes(tasks=4)
    found = model.predict(tasks.map(unlabelled), verbose=0)
    np.testing.assert_array_equal(found, model.predict(tasks, verbose=0))


def test_under_a_strategy_it_ends_an_uneven_evaluation_too():
    with tf.distribute.OneDeviceStrategy("cpu:0").scope():
        model = small_model(small_convnet(ways=2))
    with pytest.raises(ValueError, match=r"Received: a task with another label. Build the network"):
        model.evaluate(small_episodes(tasks=3), verbose=0)


@pytest.mark.slow
def test_negative_labels_are_refused_and_so_are_losses_that_ignore_them():
    def unlabelled(tasks):
        x, y = tasks["support"]
        return {**tasks, "support": (x, tf.where(tf.range(tf.shape(y)[1]) == 0, -1, y))}

    model = small_model(small_linear())
    with pytest.raises(ValueError, match=r"^Labels must be in 0 to 2, because the network has 3"):
        model.fit(small_episodes(tasks=2).map(unlabelled), verbose=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)
    with pytest.raises(
        ValueError, match=r"count every example. Received: a loss with ignore_class="
    ):
        model.compile(keras.optimizers.SGD(1.0), loss=loss)


@pytest.mark.slow
def test_episodes_alone_in_a_tuple_are_episodes():
    model, tasks = small_model(small_linear()), small_episodes(tasks=4)
    alone = tasks.map(lambda episodes: (episodes,))
    expected = kr.evaluate(model, tasks, verbose=0).accuracies
    np.testing.assert_array_equal(kr.evaluate(model, alone, verbose=0).accuracies, expected)
    model.fit(alone, verbose=0)
    assert model.meta_iteration == 2


def test_targets_or_weights_beside_episodes_are_refused():
    weighed = small_episodes(tasks=2).map(lambda episodes: (episodes, 0, 1.0))
    for see in (
        small_model().fit,
        small_model().evaluate,
        functools.partial(kr.evaluate, small_model()),
    ):
        with pytest.raises(ValueError, match=r"sample weights beside the episodes. Leave"):
            see(weighed, verbose=0)


@pytest.mark.slow
def test_labels_of_every_pixel_count_alike():
    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 1)]
    model = small_model(keras.Sequential(layers))
    per_pixel = of_examples(lambda x, y: (x, tf.cast(x[..., 0] > 0.5, tf.int32)))
    tasks = small_episodes(tasks=4).map(per_pixel)
    found = kr.evaluate(model, tasks, verbose=0)
    assert found.accuracies.shape == (4,)
    expected = model.evaluate(tasks, verbose=0, return_dict=True)
    assert found.accuracy == pytest.approx(expected["accuracy"], abs=1e-6)
    assert [f.accuracy for f in kr.evaluate_both(model, tasks, verbose=0)] == [found.accuracy] * 2


in_columns = of_examples(lambda x, y: (x, y[..., None]))


@pytest.mark.slow
def test_labels_may_have_a_last_axis_of_one():
    tasks = small_episodes(tasks=4)
    expected = small_model(small_linear()).evaluate(tasks, verbose=0, return_dict=True)
    found = small_model(small_linear()).evaluate(tasks.map(in_columns), verbose=0, return_dict=True)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_integer_targets_of_a_loss_of_ones_own_are_numbers():
    class Squares(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)

    integers = of_examples(lambda x, y: (x, tf.one_hot(y, 3, dtype=tf.int32)))
    model = small_model(functional())
    model.compile(keras.optimizers.SGD(1.0), loss=Squares())
    tasks = small_episodes(tasks=2).map(integers)
    found = model.evaluate(tasks, verbose=0, return_dict=True)["loss_after"]
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error")
    assert found == pytest.approx(model.evaluate(tasks, verbose=0, return_dict=True)["loss_after"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "loss",
    [
        lambda y, p: keras.ops.square(keras.ops.cast(y, p.dtype) - p),
        "mean_squared_error",
        keras.losses.MeanSquaredError(),
    ],
)
def test_a_target_for_each_example_is_compared_with_its_own_output(loss):
    tasks = small_episodes(tasks=2).map(of_examples(lambda x, y: (x, y % 2)))
    found = []
    for data in (tasks, tasks.map(in_columns)):
        keras.utils.set_random_seed(0)
        model = small_model(functional(ways=1))
        model.compile(keras.optimizers.SGD(1.0), loss=loss)
        found.append(model.evaluate(data, verbose=0, return_dict=True)["loss_after"])
        found.append(kr.evaluate_loss(model, data, verbose=0).loss)
    assert found == pytest.approx([found[0]] * 4, rel=1e-5)


@pytest.mark.parametrize(
    "outer",
    [
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5)),
        keras.optimizers.SGD(0.5, loss_scale_factor=128.0),
    ],
)
def test_an_outer_optimizer_that_scales_losses_is_refused(outer):
    with pytest.raises(
        ValueError, match=r"a displacement, which is not scaled. Received: .* Leave"
    ):
        small_model().compile(outer)


@pytest.mark.slow
def test_displacements_may_be_accumulated():
    model = small_model(small_linear(), inner_state="reset")
    model.compile(keras.optimizers.SGD(0.5, gradient_accumulation_steps=2))
    before = model.get_weights()
    model.fit(small_episodes(), steps_per_epoch=3, verbose=0)
    assert model.meta_iteration == 3
    assert any((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.slow
def test_layers_are_not_frozen_once_moments_are_carried_for_them(tmp_path):
    model = small_model()
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    model.network.layers[0].trainable = False
    model.compile(keras.optimizers.SGD(0.5))
    text = r"\d+ weights that were trainable .*Received: .* make a new `ReptileModel\(model.network"
    for see in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=text):
            see(small_episodes(tasks=2), verbose=0)
    with pytest.raises(ValueError, match=text):
        model.save(tmp_path / "model.keras")
    again = small_model(model.network)
    again.fit(small_episodes(), steps_per_epoch=1, verbose=0)


def test_a_network_whose_output_has_a_name_is_refused():
    inputs = keras.Input((2,))
    network = keras.Model(inputs, {"y": keras.layers.Dense(3)(inputs)})
    two = keras.Model(inputs, {"a": inputs, "b": inputs})
    with pytest.raises(ValueError, match=r"a network with 2 outputs. Join them"):
        small_model(two)
    with pytest.raises(ValueError, match=r"outputs have names, \['y'\]. Build it with the one ten"):
        small_model(network)


def test_a_callback_may_end_an_endless_dataset():
    model, endless = small_model(small_linear()), small_episodes()

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 2

    model.fit(endless, callbacks=[Stop()], verbose=0)
    assert model.meta_iteration == 3
    model.fit(small_episodes(), None, None, 1, 0, [Stop()])
    assert model.meta_iteration == 6


@keras.saving.register_keras_serializable(package="tests")
class PassesOn(Subclassed):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # Of Keras's names, and not what they are in a functional network.
        self.inputs, self.outputs = 5, 5
        self.told = []

    def call(self, x, **kwargs):
        self.told.append(kwargs.get("training"))
        return self.dense(self.flatten(x))


@pytest.mark.slow
def test_a_network_that_passes_arguments_on_is_told_of_training():
    network = PassesOn()
    model = small_model(network)
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    assert {True, False} <= set(network.told)
    network.told.clear()
    x, y = (t[0].numpy() for t in next(iter(small_episodes()))["support"])
    model.adapt(x, y, steps=1)
    # The inner step trains; the statistics that follow are those of prediction.
    assert (network.told[-2], network.told[-1]) == (True, False)


def test_what_is_no_episodes_is_refused_with_the_way_to_make_them():
    images, labels = np.zeros((6, 8, 8, 1), np.float32), np.arange(6) % 3
    with pytest.raises(ValueError, match=r"From arrays, build them by `episode_dataset\(ClassPool"):
        small_model().fit(images, labels, verbose=0)
    pairs = tf.data.Dataset.from_tensors((images, labels))
    with pytest.raises(ValueError, match=r"trains and evaluates on episodes.*Received: TensorSpec"):
        kr.evaluate(small_model(), pairs)


@pytest.mark.slow
def test_variables_that_the_first_step_makes_wait_for_no_data():
    model = small_model(functional())
    counted = keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="second")
    model.compile(keras.optimizers.Adam(0.01), metrics=["accuracy", counted])
    assert not model.optimizer.built
    # Their first values are lifted out of the program, which fails for what waits for data.
    tf.function(model.train_step, autograph=False).get_concrete_function(
        next(iter(small_episodes()))
    )
    unknown = small_episodes(tasks=4).filter(lambda episode: True)
    history = model.fit(unknown, epochs=2, verbose=0).history
    assert model.meta_iteration == 4
    assert set(history) >= {"accuracy", "second"}
