import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import (
    of_examples,
    small_convnet,
    small_episodes,
    small_model,
    turned_by_numpy,
)

import keras_reptile as kr
from keras_reptile.algorithm.orientations import ORIENTATIONS, check_can_be_turned, turned


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_eight_orientations_are_numpys_and_differ(dtype):
    images = np.arange(2 * 3 * 4 * 4 * 2).reshape(2, 3, 4, 4, 2).astype(dtype)
    found = [turned(tf.constant(images), r).numpy() for r in range(8)]
    for r, each in enumerate(found):
        np.testing.assert_array_equal(each, turned_by_numpy(images, r))
        assert each.dtype == dtype
    assert len({each.tobytes() for each in found}) == 8


def mean_outputs(model, tasks, number):
    """The mean of what `predict` returns for the tasks turned by NumPy, and the labels."""
    outputs = []
    for r in {2: (0, 4)}.get(number, range(number)):
        turn = of_examples(lambda x, y, r=r: (turned_by_numpy(x.numpy(), r), y))
        turned_tasks = map(turn, tasks)
        outputs.append(np.concatenate([model.predict_on_batch(t) for t in turned_tasks]))
    labels = np.concatenate([task["query"][1] for task in tasks])
    return np.mean(outputs, axis=0), labels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parallelism", "number"),
    [("separate", 2), ("separate", 4), ("separate", 8), ("vectorized", 4)],
)
@pytest.mark.filterwarnings("error:Tasks are computed separately")
def test_the_prediction_is_the_mean_of_the_outputs_for_turned_tasks(parallelism, number):
    model = small_model(task_parallelism=parallelism)
    tasks = small_episodes(tasks=4, meta_batch_size=2, queries=4)
    found = kr.evaluate_both(model, tasks, orientations=number, verbose=0)
    for result, mode in zip(found, (False, True), strict=True):
        model.transductive = mode
        outputs, labels = mean_outputs(model, [*tasks], number)
        expected = np.mean(np.argmax(outputs, axis=-1) == labels, axis=1)
        np.testing.assert_allclose(result.accuracies, expected, atol=1e-6)
        alone = kr.evaluate(model, tasks, orientations=number, verbose=0)
        np.testing.assert_array_equal(alone.accuracies, result.accuracies)
    # The mean is not that of one orientation.
    one = kr.evaluate_both(model, tasks, verbose=0)
    assert any((a.accuracies != b.accuracies).any() for a, b in zip(one, found, strict=True))


@pytest.mark.slow
def test_a_task_that_is_the_same_in_all_orientations_has_the_same_accuracy():
    same = lambda x, y: (tf.ones_like(x) * tf.reduce_mean(x, axis=(2, 3), keepdims=True), y)  # noqa: E731
    tasks = small_episodes(tasks=4).map(of_examples(same))
    model = small_model()
    found = [kr.evaluate(model, tasks, orientations=n, verbose=0) for n in ORIENTATIONS]
    for result in found[1:]:
        np.testing.assert_array_equal(result.accuracies, found[0].accuracies)


@pytest.mark.parametrize("number", [3, 0, True, 4.0])
def test_other_numbers_of_orientations_are_refused(number):
    with pytest.raises(ValueError, match=r"`orientations` must be .*Received: orientations="):
        kr.evaluate(small_model(), small_episodes(tasks=2), orientations=number)


# A network whose inputs are not known.
ANY = keras.Sequential()


def shapes(inputs, targets=()):
    """The shapes of an example's inputs and target."""
    return [tf.TensorShape(shape) for shape in inputs], [tf.TensorShape(targets)]


@pytest.mark.parametrize(
    ("example", "received"),
    [
        (shapes([(8, 8)]), r"inputs of shape \(8, 8\)\. Give grey .*`x\[\.\.\., None\]`, or use"),
        (shapes([(8,)]), r"inputs of shape \(8,\)\. Use"),
        (shapes([(8, 8, 1), (4, 4, 1)]), r"inputs of shape \(8, 8, 1\), \(4, 4, 1\)\. Use"),
        (shapes([(8, 8, 1)], (8, 8)), r"targets of shape \(8, 8\)\. Use"),
    ],
)
@pytest.mark.parametrize("number", [2, 4])
def test_tasks_that_would_be_others_when_turned_are_refused(example, received, number):
    check_can_be_turned(ANY, 1, *example, has_labels=False)
    with pytest.raises(ValueError, match=rf"={number}, {received} orientations=1\."):
        check_can_be_turned(ANY, number, *example, has_labels=False)


@pytest.mark.parametrize("shape", [(8, 7, 1), (None, None, 1)])
def test_images_that_are_not_known_to_be_square_are_mirrored_but_not_turned(shape):
    check_can_be_turned(ANY, 2, *shapes([shape]), has_labels=True)
    text = r"Only square .* can be turned. Received: orientations=4, inputs .* Use orientations=2"
    with pytest.raises(ValueError, match=text):
        check_can_be_turned(ANY, 4, *shapes([shape]), has_labels=True)


def test_images_that_are_not_square_are_mirrored():
    narrow = lambda x, y: (x[:, :, :, 1:], y)  # noqa: E731
    tasks = small_episodes(tasks=4, queries=4).map(of_examples(narrow))
    network = keras.Sequential(
        [keras.Input((8, 7, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    model = small_model(network)
    found = kr.evaluate(model, tasks, orientations=2, verbose=0)
    outputs, labels = mean_outputs(model, [*tasks], 2)
    expected = np.mean(np.argmax(outputs, axis=-1) == labels, axis=1)
    np.testing.assert_allclose(found.accuracies, expected, atol=1e-6)


@pytest.mark.parametrize("targets", [(), (3,)])
def test_labels_and_vectors_are_targets_of_turned_images(targets):
    check_can_be_turned(ANY, 4, *shapes([(8, 8, 1)], targets), has_labels=not targets)


def test_the_labels_of_the_columns_of_an_image_are_refused():
    def of_columns(x, y):
        return x, tf.repeat(y[..., None], 8, axis=2)

    layers = [keras.layers.Permute((2, 1, 3)), keras.layers.Reshape((8, 8)), keras.layers.Dense(3)]
    model = small_model(keras.Sequential([keras.Input((8, 8, 1)), *layers]))
    columns = small_episodes(tasks=2).map(of_examples(of_columns))
    kr.evaluate(model, columns, verbose=0)
    text = r"not targets with positions in an image. .*=2, targets of shape \(8,\)"
    with pytest.raises(ValueError, match=text):
        kr.evaluate(model, columns, orientations=2, verbose=0)
    x, y = next(iter(columns))["support"]
    with pytest.raises(ValueError, match=text):
        model.adapt(x[0], y[0], steps=1, orientations=2)


def test_inputs_that_are_no_square_images_are_refused_before_the_work():
    points = kr.ClassPool(np.zeros((12, 2), np.float32), [4] * 3)
    model = small_model(keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)]))
    text = r"mirrors or turns one input `\(rows, columns, channels\)`. Received: orientations=4"
    with pytest.raises(ValueError, match=text + r", inputs of shape \(2,\). Use orientations=1."):
        kr.evaluate_both(model, kr.episode_dataset(points, 3, 1, tasks=2), orientations=4)


@pytest.mark.slow
def test_an_image_may_have_a_name():
    def named(x, y):
        return {"image": x}, y

    tasks = small_episodes(tasks=2)
    expected = kr.evaluate(small_model(), tasks, orientations=4, verbose=0).accuracies
    image = keras.Input((8, 8, 1), name="image")
    by_name = keras.Model({"image": image}, small_convnet()(image))
    named_tasks = tasks.map(of_examples(named))
    found = kr.evaluate(small_model(by_name), named_tasks, orientations=4, verbose=0)
    np.testing.assert_allclose(found.accuracies, expected, atol=1e-6)
    assert str(found).endswith("(2 tasks, 3-way 4-shot, inductive, 4 orientations)")
    assert found.answers is not None and found.orientations == 4
