import random

import keras
import numpy as np
import pytest
from helpers import differences, image_pool, small_convnet, small_model

import keras_reptile as kr
from keras_reptile.algorithm import prediction
from keras_reptile.algorithm.network_function import NetworkFunction
from keras_reptile.demo import models
from keras_reptile.demo.drawn_task import DrawnTask, random_weights
from keras_reptile.demo.models import load_model
from keras_reptile.errors import RunError
from keras_reptile.runs.run_directory import RunDirectory


def drawings(ways=3, shots=2):
    """Images (ways, shots, 8, 8, 1) of classes that a small network tells apart."""
    pool = image_pool()
    return np.float32(pool.images[: ways * 12].reshape(ways, 12, 8, 8, 1)[:, :shots]) / 255


@pytest.fixture(scope="module")
def task():
    return DrawnTask(small_model(), steps=20)


@pytest.mark.slow
def test_predictions_are_those_of_the_model_adapted_and_judged_inductively(task):
    model, images = small_model(), drawings()
    learned = task.adapt(images)
    x, y = images.reshape(-1, 8, 8, 1), np.repeat(np.arange(3), 2)
    weights = model.adapt(x, y, steps=20, inner_batch_size=6, seed=0).trainable_variables
    query = drawings(shots=3)[1, 2]
    logits = prediction.predict(
        NetworkFunction(model.network), [w.value for w in weights], x, query[None], False
    )
    expected = keras.ops.softmax(logits[0])
    np.testing.assert_allclose(task.predict(learned, query), expected, atol=1e-5)


@pytest.mark.slow
def test_further_drawings_of_a_character_are_recognized(task):
    learned = task.adapt(drawings(shots=2))
    queries = drawings(shots=3)[:, 2]
    assert [task.predict(learned, query).argmax() for query in queries] == [0, 1, 2]


def trained(network):
    """The same network with other weights, as after training."""
    for variable in network.trainable_variables:
        variable.assign(0.5 * variable + 0.1)
    return network


@pytest.mark.slow
def test_the_comparison_is_the_same_network_adapted_from_its_untrained_weights():
    """The oracle adapts the untrained network, whose initializers have seeds, by the model."""
    images = drawings()
    task = DrawnTask(small_model(trained(small_convnet())), steps=20)
    learned = task.adapt(images)
    x, y = images.reshape(-1, 8, 8, 1), np.repeat(np.arange(3), 2)
    untrained = small_model().adapt(x, y, steps=20, inner_batch_size=6, seed=0)
    for got, expected in zip(learned.from_random, untrained.trainable_variables, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-5)
    p, from_random = (f(learned, images[0, 0]) for f in (task.predict, task.predict_from_random))
    assert from_random.sum() == pytest.approx(1)
    assert np.abs(p - from_random).max() > 1e-3


def test_random_weights_are_new_and_the_same_every_time():
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    network = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    first, second, other = (random_weights(network, seed)[0] for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0
    assert np.abs(first - network.trainable_variables[0]).max() > 0


def test_random_weights_leave_pythons_random_numbers_as_they_were():
    random.seed(3)
    expected = random.random()
    random.seed(3)
    random_weights(small_convnet())
    assert random.random() == expected


def test_each_adaptation_may_take_its_own_number_of_steps(task):
    images = drawings()
    learned = task.adapt(images, steps=1)
    assert [learned.steps, task.adapt(images).steps] == [1, 20]
    by_default = DrawnTask(small_model(), steps=1).adapt(images)
    for got, expected in zip(learned.weights, by_default.weights, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


@pytest.mark.parametrize("steps", [0, 201])
def test_steps_out_of_range_are_refused(task, steps):
    text = rf"`steps` must be in 1 to 200\. Received: steps={steps}\."
    with pytest.raises(ValueError, match=text):
        task.adapt(drawings(), steps=steps)
    with pytest.raises(ValueError, match=text):
        DrawnTask(small_model(), steps=steps)


def test_a_character_without_drawings_has_no_probability(task):
    first, _, third = drawings()
    learned = task.adapt([first, [], third[:1]])
    assert learned.ways.tolist() == [True, False, True]
    probabilities = task.predict(learned, first[0])
    assert probabilities[1] == 0
    assert probabilities.sum() == pytest.approx(1)


def test_nothing_is_learned_from_one_character(task):
    assert task.adapt([drawings()[0], [], []]) is None


def test_the_model_stays_as_it_is():
    model = small_model()
    task = DrawnTask(model, steps=3)
    task.predict(task.adapt(drawings()), drawings()[0, 0])
    assert differences(model, small_model()) == 0


def test_fewer_characters_than_outputs_can_be_told_apart():
    task = DrawnTask(small_model(), ways=2, steps=3)
    assert task.predict(task.adapt(drawings(ways=2)), drawings()[0, 0]).shape == (2,)


@pytest.mark.parametrize("seconds, steps", [(0.1, 50), (1.0, 25), (1000, 1)])
def test_a_slow_machine_takes_fewer_steps(seconds, steps, monkeypatch):
    monkeypatch.setattr(DrawnTask, "_try_out", lambda self: seconds)
    assert DrawnTask(small_model()).steps == steps
    assert DrawnTask(small_model(), steps=7).steps == 7


@pytest.mark.parametrize("ways", [1, 4])
def test_ways_out_of_range_are_refused(ways):
    text = f"`ways` must be in 2 to 3, the network's outputs. Received: ways={ways}."
    with pytest.raises(ValueError, match=text):
        DrawnTask(small_model(), ways=ways)


def test_a_network_for_other_inputs_is_refused():
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    text = r"a classifier of grey square images.* Received: a network for inputs \(2,\)"
    with pytest.raises(RunError, match=text):
        DrawnTask(small_model(network))


@pytest.mark.parametrize("kind", ["run", "export", "file"])
def test_a_model_is_loaded_from_a_run_an_export_or_a_file(kind, tmp_path):
    model = small_model()
    path = tmp_path / "saved.keras" if kind == "file" else tmp_path
    if kind == "run":
        model.optimizer.build(model.trainable_variables)
        RunDirectory(tmp_path).save(model)
    else:
        model.save(path if kind == "file" else tmp_path / models.MODEL)
    loaded = load_model(path)
    assert isinstance(loaded, kr.ReptileModel)
    for one, other in zip(loaded.network.weights, small_convnet().weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_path_without_a_model_is_named(tmp_path):
    with pytest.raises(RunError, match=f"{tmp_path}/no holds no model. Give an output directory"):
        load_model(tmp_path / "no")


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "model.keras").write_text("hello")
    with pytest.raises(RunError, match=r"model\.keras cannot be read"):
        load_model(tmp_path)
