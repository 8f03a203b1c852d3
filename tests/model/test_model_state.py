"""What a model keeps from call to call: traces, counts, and what TensorFlow's checkpoints hold."""

import copy

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    differences,
    image_pool,
    small_convnet,
    small_episodes,
    small_linear,
    small_model,
)
from tensorflow.python.framework import ops

import keras_reptile as kr
from keras_reptile.algorithm.network_function import NetworkFunction, seeds_of
from keras_reptile.export.portable import export_portable


def dense(ways=3):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(4, "relu"), keras.layers.Dense(ways)]
    return keras.Sequential([keras.Input((8, 8, 1)), *layers])


def registered():
    """TensorFlow keeps an entry of every custom gradient in every trace, and never drops it."""
    return len(ops.gradient_registry._registry)


@pytest.fixture
def traced(monkeypatch):
    """A list with an item for every trace of the network's training mode."""
    calls = []
    plain = NetworkFunction.train

    def train(*arguments):
        calls.append(1)
        return plain(*arguments)

    monkeypatch.setattr(NetworkFunction, "train", train)
    return calls


POOL = image_pool()

CALLS = {
    "evaluate": lambda model, tasks: kr.evaluate(model, tasks, verbose=0).accuracy,
    "evaluate_both": lambda model, tasks: kr.evaluate_both(model, tasks, verbose=0)[1].accuracy,
    "evaluate_loss": lambda model, tasks: kr.evaluate_loss(model, tasks, verbose=0).loss,
    "adapt": lambda model, tasks: model.adapt(
        POOL.images[:24] / np.float32(255), np.repeat([0, 1], 12), steps=2
    ).get_weights(),
    "adapt to a new head": lambda model, tasks: model.adapt(
        POOL.images[:24] / np.float32(255), np.repeat([0, 1], 12), steps=2, head="replace"
    ).get_weights(),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CALLS)
def test_nothing_is_traced_or_kept_after_the_first_call(name, traced):
    model = small_model(small_linear(extra=[keras.layers.Dropout(0.1, seed=1)]))
    call = CALLS[name]
    first = call(model, small_episodes(tasks=3))
    assert traced
    before, traces = registered(), len(traced)
    for _ in range(3):
        # Another dataset of the same shapes.
        np.testing.assert_equal(call(model, small_episodes(tasks=3)), first)
    assert (registered(), len(traced)) == (before, traces)


@pytest.mark.slow
def test_kept_traces_see_new_weights_and_moments():
    model = small_model(dense())
    tasks = small_episodes(tasks=4)
    for name in ("evaluate_loss", "adapt to a new head"):
        CALLS[name](model, tasks)
    model.fit(small_episodes(), steps_per_epoch=4, verbose=0)
    again = small_model(dense())
    again.set_weights(model.get_weights())
    for name in ("evaluate_loss", "adapt to a new head"):
        np.testing.assert_equal(CALLS[name](model, tasks), CALLS[name](again, tasks))


def test_a_new_head_is_drawn_from_its_seed_whichever_was_drawn_before():
    images, labels = POOL.images[:24] / np.float32(255), np.repeat([0, 1], 12)
    model, fresh = small_model(dense()), small_model(dense())
    for seed in (1, 2):
        head = model.adapt(images, labels, steps=0, head="replace", seed=seed).get_weights()[-2]
        expected = keras.initializers.GlorotUniform(seed)((4, 2))
        np.testing.assert_array_equal(head, expected)
    arguments = dict(steps=2, head="replace", seed=2)
    learners = [m.adapt(images, labels, **arguments) for m in (model, fresh)]
    assert differences(*learners) == 0


@pytest.mark.slow
def test_freezing_layers_counts_at_once_in_every_evaluation():
    model = small_model(dense(), inner_state="reset")
    tasks = small_episodes(tasks=4)
    losses = lambda m: (  # noqa: E731
        m.evaluate(tasks, verbose=0, return_dict=True)["loss_after"],
        kr.evaluate_loss(m, tasks, verbose=0).loss,
        float(np.mean(m.predict(tasks, verbose=0))),
    )
    free = losses(model)
    model.network.layers[1].trainable = False
    other = kr.ReptileModel(dense(), keras.optimizers.Adam(0.01, beta_1=0.0), inner_state="reset")
    other.network.layers[1].trainable = False
    other.compile("sgd")
    frozen = losses(model)
    np.testing.assert_allclose(frozen, losses(other), rtol=1e-6)
    assert abs(frozen[0] - free[0]) > 1e-4
    model.network.layers[1].trainable = True
    np.testing.assert_allclose(losses(model), free, rtol=1e-6)


@pytest.mark.slow
def test_freezing_layers_with_carried_moments_is_refused_by_every_evaluation():
    model = small_model(dense())
    tasks = small_episodes(tasks=2)
    evaluations = (
        lambda: model.evaluate(tasks, verbose=0),
        lambda: kr.evaluate(model, tasks, verbose=0),
        lambda: model.predict(tasks, verbose=0),
        lambda: model.fit(tasks, verbose=0),
    )
    for evaluation in evaluations:
        evaluation()
    model.network.layers[1].trainable = False
    for evaluation in evaluations:
        with pytest.raises(
            ValueError, match="carried moments of the inner optimizer belong to the"
        ):
            evaluation()


def test_a_frozen_layer_stays_where_it_is_in_the_next_fit():
    model = small_model(dense(), inner_state="reset")
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    model.network.layers[1].trainable = False
    before = model.network.layers[1].get_weights(), model.network.layers[2].get_weights()
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    np.testing.assert_array_equal(model.network.layers[1].kernel, before[0][0])
    assert np.abs(model.network.layers[2].kernel - before[1][0]).max() > 0


@pytest.mark.slow
def test_a_changed_mode_of_prediction_counts_at_once():
    model = small_model(small_convnet())
    tasks = small_episodes(tasks=4)
    model.evaluate(tasks, verbose=0)
    model.transductive = True
    expected = kr.evaluate_loss(model, tasks, transductive=True, verbose=0).loss
    found = model.evaluate(tasks, verbose=0, return_dict=True)["loss_after"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_model_that_is_built_does_not_begin_or_end_to_carry_moments():
    for before, after in (("carried", "reset"), ("reset", "carried")):
        model = small_model(dense(), inner_state=before)
        with pytest.raises(ValueError, match=rf"inner_state='{after}', for.*with '{before}'. Make"):
            model.inner_state = after
        assert model.inner_state == before
    not_built = small_model(keras.Sequential([keras.layers.Dense(3)]), inner_state="reset")
    not_built.inner_state = "carried"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("method", "repitle", "`method` must be one of"),
        ("transductive", 1, "`transductive` must be"),
        ("inner_weight_decay_rate", 0, "must be in \\(0, 1\\]"),
        ("task_parallelism", "vectorised", "`task_parallelism` must be one of"),
        ("draw_on_device", "gpu", "`draw_on_device` must be"),
    ],
)
def test_a_changed_setting_is_checked_and_a_wrong_one_changes_nothing(name, value, message):
    model = small_model(dense())
    before = getattr(model, name)
    with pytest.raises(ValueError, match=message):
        setattr(model, name, value)
    assert getattr(model, name) == before


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [{"loss": "no loss"}, {"metrics": ["no metric"]}])
def test_a_compile_that_fails_changes_nothing(wrong):
    model = small_model(dense())
    before = model.optimizer, model.task_loss, model.task_metrics, model.jit_inner_loops
    with pytest.raises(ValueError):
        model.compile(keras.optimizers.SGD(0.1), **wrong, jit_compile=True)
    assert before == (
        model.optimizer,
        model.task_loss,
        model.task_metrics,
        model.jit_inner_loops,
    )
    new = kr.ReptileModel(dense())
    with pytest.raises(ValueError):
        new.compile(keras.optimizers.SGD(0.1), **wrong)
    assert not new.compiled


@pytest.mark.slow
def test_meta_iterations_are_counted_through_a_second_compile(tmp_path):
    model = small_model(dense())
    model.fit(small_episodes(), steps_per_epoch=3, verbose=0)
    model.compile(keras.optimizers.SGD(0.1))
    assert (model.meta_iteration, int(model.optimizer.iterations)) == (3, 0)
    model.fit(small_episodes(start=3), steps_per_epoch=2, verbose=0)
    model.compile(model.optimizer)
    assert (model.meta_iteration, int(model.optimizer.iterations)) == (5, 2)

    model.save(tmp_path / "m.keras")
    assert keras.models.load_model(tmp_path / "m.keras").meta_iteration == 5
    model.save_weights(tmp_path / "m.weights.h5")
    other = small_model(dense())
    other.load_weights(tmp_path / "m.weights.h5")
    assert other.meta_iteration == 5

    alone = keras.models.load_model(tmp_path / "m.keras", compile=False)
    with pytest.raises(
        ValueError, match=r"were loaded without it. Load the model with `compile=Tr"
    ):
        alone.meta_iteration  # noqa: B018
    alone.compile("sgd")
    assert alone.meta_iteration == 3


def test_a_new_model_has_made_no_meta_iterations():
    assert kr.ReptileModel(dense()).meta_iteration == 0


def test_a_model_that_is_not_trainable_is_not_trained():
    model = small_model(dense(), trainable=False)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"with trainable=False. Set `model.trainable = True`"):
        model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_copies_of_a_model_without_weights_are_built_by_their_first_tasks():
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    model = small_model(keras.Sequential(layers))
    other = copy.deepcopy(model)
    assert not other.built
    for each in (model, other):
        each.train_on_batch(next(iter(small_episodes())))
    assert other.meta_iteration == 1
    assert [w.shape for w in other.get_weights()] == [w.shape for w in model.get_weights()]


def test_building_for_no_shape_is_refused():
    model = kr.ReptileModel(keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)]))
    with pytest.raises(ValueError, match=r"input_shape=None. Call `model.build\(\(None, 28"):
        model.build()
    model.build((None, 8, 8, 1))
    model.build()
    assert model.built and model.network.built


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outer", "built"), [(keras.optimizers.Adam, False), (keras.optimizers.SGD, True)]
)
def test_a_checkpoint_of_tensorflow_restores_every_variable(outer, built, tmp_path):
    def make():
        layers = [keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.BatchNormalization()]
        dropout = keras.layers.Dropout(0.2, seed=1)
        inputs = [keras.Input((8, 8, 1))] if built else []
        model = small_model(keras.Sequential([*inputs, *layers, dropout, keras.layers.Dense(3)]))
        model.compile(outer(0.1))
        return model

    model = make()
    model.fit(small_episodes(), steps_per_epoch=2, verbose=0)
    model.compile(outer(0.1))
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    manager = tf.train.CheckpointManager(tf.train.Checkpoint(model=model), tmp_path, 1)
    manager.save()
    other = make()
    status = tf.train.Checkpoint(model=other).restore(manager.latest_checkpoint)
    other.build_variables(small_episodes().element_spec)
    status.assert_existing_objects_matched()
    assert differences(model, other) == 0
    # What is found twice by TensorFlow is held once by Keras, whose files so stay as they were.
    assert len(model.weights) == len(model.network.weights) + len(model.inner_variables)
    for a, b in zip(model.optimizer.variables, other.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert other.meta_iteration == 3


def test_files_hold_each_variable_in_its_place(tmp_path):
    model = small_model(dense())
    model.fit(small_episodes(), steps_per_epoch=1, verbose=0)
    model.save_weights(tmp_path / "m.weights.h5")
    with h5py.File(tmp_path / "m.weights.h5") as file:
        assert len(file["vars"]) == len(model.inner_variables)


@pytest.mark.slow
def test_files_and_copies_draw_the_random_numbers_of_the_model(tmp_path):
    model = small_model(small_linear([keras.layers.Dropout(0.5)]))
    x, y = POOL.images[:24] / np.float32(255), np.repeat([0, 1, 2], 8)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    other = small_model(small_linear([keras.layers.Dropout(0.5)]))
    other.load_weights(tmp_path / "m.weights.h5")
    export_portable(model, tmp_path / "exported")
    copies = [other]
    for file in ("m.keras", "exported/model.keras"):
        copies.append(keras.models.load_model(tmp_path / file))
    expected = model.adapt(x, y, steps=2).get_weights()
    for each in copies:
        for a, b in zip(each.adapt(x, y, steps=2).get_weights(), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    arguments = dict(steps=2, head="replace", seed=2)
    small_model(small_linear()).load_weights(tmp_path / "m.weights.h5")
    replaced = [model.adapt(x, y, **arguments).get_weights()[0] for _ in range(2)]
    np.testing.assert_array_equal(*replaced)
    np.testing.assert_array_equal(
        seeds_of(model.with_head(4).network)[0], seeds_of(model.network)[0]
    )


def test_a_second_fit_repeats_an_endless_stream_with_a_warning():
    model, episodes = small_model(dense()), small_episodes()
    model.fit(episodes, steps_per_epoch=1, verbose=0)
    with pytest.warns(UserWarning, match="the model is trained on the same tasks again. Build"):
        model.fit(episodes, steps_per_epoch=1, verbose=0)


@pytest.mark.slow
def test_a_stream_that_follows_the_model_goes_on_in_a_second_fit_and_after_a_restoration(
    tmp_path, recwarn
):
    whole = small_model(dense())
    whole.fit(small_episodes(), epochs=4, steps_per_epoch=2, verbose=0)

    parts = small_model(dense())
    following = small_episodes(start=lambda: parts.meta_iteration).map(lambda tasks: tasks)
    for _ in range(2):
        parts.fit(following, epochs=2, steps_per_epoch=2, verbose=0)
    assert differences(whole, parts) == 0

    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    for crash in ([Crash()], []):
        resumed = small_model(dense())
        stream = small_episodes(start=lambda: resumed.meta_iteration)  # noqa: B023
        backup = keras.callbacks.BackupAndRestore(tmp_path)
        try:
            resumed.fit(stream, epochs=4, steps_per_epoch=2, verbose=0, callbacks=[backup, *crash])
        except KeyboardInterrupt:
            assert resumed.meta_iteration == 4
    assert differences(whole, resumed) == 0
    assert not [w for w in recwarn if "same tasks again" in str(w.message)]


def test_a_stream_that_a_backup_does_not_resume_is_warned_of(tmp_path):
    backup = keras.callbacks.BackupAndRestore(tmp_path)
    with pytest.warns(UserWarning, match="BackupAndRestore resumes the model, but not the stream"):
        small_model(dense()).fit(small_episodes(), steps_per_epoch=1, verbose=0, callbacks=[backup])


def test_how_a_process_computes_tasks_is_not_saved_with_the_compile_arguments():
    model = small_model(inner_state="reset")
    model.set_execution(task_parallelism="vectorized", jit_compile=True)
    assert model.get_config()["task_parallelism"] == "vectorized"
    assert model.get_compile_config()["jit_compile"] == "auto"
    assert str(model._plan(training=True, eagerly=False)).startswith("Tasks run as one batch")
