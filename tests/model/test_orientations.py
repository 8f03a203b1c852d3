import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import small_episodes, small_model

import keras_reptile as kr
from keras_reptile.algorithm.orientations import ORIENTATIONS, turned


def with_numpy(images, orientation):
    """The images `(..., side, side, channels)` turned by NumPy."""
    mirrored = images[..., ::-1, :] if orientation >= 4 else images
    rows = images.ndim - 3
    return np.ascontiguousarray(np.rot90(mirrored, orientation % 4, axes=(rows, rows + 1)))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_the_eight_orientations_are_numpys_and_differ(dtype):
    images = np.arange(2 * 3 * 4 * 4 * 2).reshape(2, 3, 4, 4, 2).astype(dtype)
    found = [turned(tf.constant(images), r).numpy() for r in range(8)]
    for r, each in enumerate(found):
        np.testing.assert_array_equal(each, with_numpy(images, r))
        assert each.dtype == dtype
    assert len({each.tobytes() for each in found}) == 8


def mean_outputs(model, tasks, number):
    """The mean of what `predict` returns for the tasks turned by NumPy, and the labels."""
    outputs = []
    for r in range(number):
        turn = lambda x, y, r=r: (with_numpy(x.numpy(), r), y)  # noqa: E731
        turned_tasks = [
            {**task, "support": turn(*task["support"]), "query": turn(*task["query"])}
            for task in tasks
        ]
        outputs.append(np.concatenate([model.predict_on_batch(t) for t in turned_tasks]))
    labels = np.concatenate([task["query"][1] for task in tasks])
    return np.mean(outputs, axis=0), labels


@pytest.mark.parametrize("number", [4, pytest.param(8, marks=pytest.mark.slow)])
@pytest.mark.parametrize("parallelism", ["separate", "vectorized"])
@pytest.mark.filterwarnings("error:Tasks are computed one at a time")
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


def test_a_task_that_is_the_same_in_all_orientations_has_the_same_accuracy():
    same = lambda x, y: (tf.ones_like(x) * tf.reduce_mean(x, axis=(2, 3), keepdims=True), y)  # noqa: E731
    tasks = small_episodes(tasks=4).map(
        lambda task: {**task, "support": same(*task["support"]), "query": same(*task["query"])}
    )
    model = small_model()
    found = [kr.evaluate(model, tasks, orientations=n, verbose=0) for n in ORIENTATIONS]
    for result in found[1:]:
        np.testing.assert_array_equal(result.accuracies, found[0].accuracies)


@pytest.mark.parametrize("number", [2, 0, True, 4.0])
def test_other_numbers_of_orientations_are_refused(number):
    with pytest.raises(ValueError, match=r"`orientations` must be .*Received: orientations="):
        kr.evaluate(small_model(), small_episodes(tasks=2), orientations=number)


def test_inputs_that_are_no_square_images_are_refused():
    narrow = small_episodes(tasks=2).map(
        lambda task: {
            **task,
            "support": (task["support"][0][:, :, :, 1:], task["support"][1]),
            "query": (task["query"][0][:, :, :, 1:], task["query"][1]),
        }
    )
    network = keras.Sequential(
        [keras.Input((8, 7, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    text = r"turns square images `\(side, side, channels\)`. Received: orientations=4, inputs of "
    with pytest.raises(ValueError, match=text + r"shape \(8, 7, 1\). Use orientations=1."):
        kr.evaluate_both(small_model(network), narrow, orientations=4)
    assert kr.evaluate(small_model(network), narrow, verbose=0).accuracies.shape == (2,)
