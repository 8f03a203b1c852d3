"""Training whose tasks are drawn on the device, against the same training by the pipeline."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import image_pool, small_episodes, small_linear, small_model

import keras_reptile as kr
from keras_reptile import keras_internals
from keras_reptile.execution import task_source
from keras_reptile.kernels import devices

WAYS = dict(ways=3, shots=4, inner_steps=2, meta_batch_size=2)


@pytest.fixture
def gpu(monkeypatch):
    """Switches to what is chosen where there is a GPU."""
    return lambda: monkeypatch.setattr(devices, "device_kinds", lambda: {"GPU"})


def dense_model(network=None, **chosen):
    model = small_model(network or small_linear())
    model.compile(keras.optimizers.SGD(kr.linear_meta_step(0.5, 0.0, 14)), **chosen)
    return model


class Batches(keras.callbacks.Callback):
    """Which batches have ended, and after how many meta-iterations."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((batch, self.model.meta_iteration))


def trained(parts, validated, **chosen):
    """A model after parts of a run, each of so many meta-steps, and the logs of each."""
    model, logs = dense_model(**chosen), []
    episodes = small_episodes(scale=False, seed=3, start=lambda: model.meta_iteration)
    validation = small_episodes(scale=False, tasks=6) if validated else None
    for steps, epochs in parts:
        settings = dict(steps_per_epoch=steps, epochs=epochs, verbose=0)
        logs.append(model.fit(episodes, validation_data=validation, **settings).history)
    return model, logs


def assert_equal_bits(model, other):
    for a, b in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert model.meta_iteration == other.meta_iteration


@pytest.mark.slow
@pytest.mark.parametrize("by_xla", [False, True])
def test_weights_and_logs_are_those_of_the_pipeline_bit_for_bit(by_xla, gpu):
    if by_xla:
        gpu()
    # Programs of 2 meta-steps; then 2 and 1 twice, resumed. XLA compiles only those of 2.
    parts = ((4, 1), (2 if by_xla else 3, 2))
    # Of a validation XLA would compile two programs, and it is the same one.
    expected, expected_logs = trained(parts, not by_xla, draw_on_device=False)
    found, logs = trained(parts, not by_xla, draw_on_device=True, steps_per_execution=2)
    assert found.meta_iteration == (8 if by_xla else 10)
    assert_equal_bits(found, expected)
    assert logs == expected_logs


@pytest.fixture(scope="module")
def drawing():
    """A model that has drawn its tasks, with what a callback saw."""
    model, batches = dense_model(draw_on_device=True, steps_per_execution=4), Batches()
    settings = dict(steps_per_epoch=10, epochs=2, verbose=0, callbacks=[batches])
    model.fit(small_episodes(scale=False), **settings)
    return model, batches


@pytest.mark.slow
def test_the_last_execution_of_an_epoch_ends_with_it(drawing):
    _, batches = drawing
    # Keras numbers the batches of an execution as if it were whole.
    assert batches.seen == [(3, 4), (7, 8), (11, 10), (3, 14), (7, 18), (11, 20)]


def test_afterwards_the_model_is_as_before(drawing):
    model, _ = drawing
    assert model.steps_per_execution == 4 and model.train_function is None
    (meta_batch,) = small_episodes(scale=False).take(1)
    model.train_on_batch(meta_batch)
    assert model.meta_iteration == 21


def test_all_tasks_are_drawn_from_one_number_of_the_host(drawing, monkeypatch):
    model, _ = drawing
    given = []
    make = model._traces.made_once

    def recorded(now, key, make_it):
        made = make(now, key, make_it)
        if key[0] != "meta-steps":
            return made

        def run(pool, *numbers):
            given.append((key[3], sum(n.numpy().nbytes for n in tf.nest.flatten(numbers))))
            return made(pool, *numbers)

        return run

    monkeypatch.setattr(model._traces, "made_once", recorded)
    model.fit(small_episodes(scale=False), steps_per_epoch=5, verbose=0)
    assert given == [(4, 16), (1, 16)]


def test_labels_without_an_output_are_refused_before_training():
    with pytest.raises(ValueError, match="Labels must be in 0 to 2, because"):
        model = dense_model(draw_on_device=True)
        model.fit(small_episodes(ways=4, scale=False), steps_per_epoch=1, verbose=0)


# What is not drawn on the device, and why.
OTHERS = {
    "a changed dataset": (lambda: small_episodes().map(lambda e: e), "not an endless stream"),
    "a number of tasks": (lambda: small_episodes(tasks=4), "not an endless stream"),
    "sine waves": (lambda: kr.sinusoid_dataset(), "not an endless stream"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_cannot_be_drawn_on_the_device_is_drawn_by_the_pipeline(name, gpu):
    gpu()
    (make, reason), model = OTHERS[name], dense_model()
    assert str(model._task_source(make())).startswith("The host draws the tasks: ")
    assert reason in str(model._task_source(make()))
    model.draw_on_device = True
    with pytest.raises(ValueError, match=f"{reason}.*Received: draw_on_device=True. Use"):
        model.fit(make(), steps_per_epoch=1)


@pytest.mark.of_a_cpu
@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (dict(jit_compile=False), task_source.NOT_COMPILED),
        (dict(run_eagerly=True), task_source.NOT_COMPILED),
        (dict(draw_on_device=False), ""),
        ({}, None),
    ],
)
def test_on_a_gpu_whole_steps_that_xla_compiles_draw(chosen, reason, gpu):
    model, episodes = dense_model(**chosen), small_episodes()
    assert model._task_source(episodes) == task_source.TaskSource(None)
    gpu()
    source = model._task_source(episodes)
    assert (source.stream is not None) == (reason is None)
    assert source.reason == (reason or "")


@pytest.mark.parametrize(("memory", "fits"), [(None, True), (4 * 9216, True), (4 * 9215, False)])
def test_a_pool_that_is_too_large_stays_with_the_host(memory, fits, gpu, monkeypatch):
    gpu()
    monkeypatch.setattr(keras_internals, "memory_of", lambda kind: memory)
    source = dense_model()._task_source(small_episodes())
    said = "the pool has 9,216 bytes, and at most 9,215 are put on a device"
    assert source.reason == ("" if fits else said)


def test_under_a_strategy_and_with_a_step_of_ones_own_the_host_draws(gpu):
    gpu()
    with tf.distribute.OneDeviceStrategy("cpu:0").scope():
        assert dense_model()._task_source(small_episodes()).reason == task_source.STRATEGY
    model = dense_model()
    model.train_step = lambda data: {}
    assert model._task_source(small_episodes()).reason == task_source.OTHER_STEP


def test_a_range_that_the_network_does_not_expect_is_told_of(float64):
    network = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    )
    network.add(keras.layers.Dense(3))
    pool = image_pool()
    floats = kr.ClassPool((pool.images / 255).astype(np.float32), pool.counts)
    model = dense_model(network, draw_on_device=True)
    with pytest.warns(UserWarning, match="expect numbers up to 255"):
        model.fit(kr.episode_dataset(floats, **WAYS), steps_per_epoch=1, verbose=0)
