"""Networks whose images are turned alike in evaluation, learners and exports, or are refused."""

import keras
import numpy as np
import pytest
from helpers import of_examples, small_episodes, small_model

import keras_reptile as kr

LAYERS = keras.layers
Y = [0, 1, 2]


def model_of(shape, *layers):
    return small_model(keras.Sequential([keras.Input(shape), *layers, LAYERS.Dense(3)]))


def uses(model, images, tmp_path):
    """What takes `orientations`, with images of 3 classes."""
    task = kr.episode((images, Y), (images, Y), steps=1)
    return {
        "evaluate": lambda n: kr.evaluate(model, task, orientations=n, verbose=0),
        "adapt": lambda n: model.adapt(images, Y, steps=1, orientations=n),
        "export": lambda n: model.export_learner(tmp_path / "learner", orientations=n),
    }


@pytest.mark.parametrize("use", ["evaluate", "adapt", "export"])
@pytest.mark.parametrize("number", [2, 4])
def test_channels_in_the_first_axis_are_refused(use, number, tmp_path):
    convolution = LAYERS.Conv2D(2, 3, data_format="channels_first", name="first")
    model = model_of((3, 8, 6), convolution, LAYERS.Flatten(data_format="channels_first"))
    text = rf"orientations={number}, a network with the layer 'first' of data_format='channels_fir"
    with pytest.raises(ValueError, match=text + r"st'\. Build it with 'channels_last', or use"):
        uses(model, np.zeros((3, 3, 8, 6), np.float32), tmp_path)[use](number)


@pytest.mark.parametrize("use", ["evaluate", "adapt", "export"])
@pytest.mark.parametrize("axis", [(), (1,)])
def test_a_network_without_an_axis_of_channels_is_refused(use, axis, tmp_path):
    model = model_of((8, 8), LAYERS.Flatten())
    text = r"a network that takes inputs of shape \(8, 8\)\. Begin it with `keras.Input\(\(8, 8, 1"
    with pytest.raises(ValueError, match=text):
        uses(model, np.zeros((3, 8, 8, *axis), np.float32), tmp_path)[use](4)


def test_a_support_set_may_leave_out_the_axis_of_channels_in_every_orientation():
    model = model_of((8, 8, 1), LAYERS.Flatten())
    (x, y), _ = (next(iter(small_episodes()))[part] for part in ("support", "query"))
    x, y = x[0].numpy(), y[0].numpy()
    for number in (1, 4):
        learners = [model.adapt(each, y, steps=1, orientations=number) for each in (x, x[..., 0])]
        expected, found = (learner.predict(x, verbose=0) for learner in learners)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("number", [1, 4])
def test_episodes_have_the_axis_of_channels_in_every_orientation(number):
    model = model_of((8, 8, 1), LAYERS.Flatten())
    flat = small_episodes(tasks=2).map(of_examples(lambda x, y: (x[..., 0], y)))
    with pytest.raises(ValueError, match=r"[Gg]rey images .*axis"):
        kr.evaluate(model, flat, orientations=number, verbose=0)
