"""The networks that the demo takes."""

import keras
import numpy as np
import pytest
from helpers import small_convnet, small_model

from keras_reptile.demo.models import sizes
from keras_reptile.errors import RunError


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.network = small_convnet()

    def call(self, x):
        return self.network(x)


def called():
    network = Subclassed()
    network(np.zeros((1, 8, 8, 1), np.float32))
    return network


def of_inputs(*shapes):
    inputs = [keras.Input(shape) for shape in shapes]
    flat = [keras.layers.Flatten()(x) for x in inputs]
    joined = keras.layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
    return keras.Model(inputs, keras.layers.Dense(3)(joined))


def without_input():
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(3)])


UNKNOWN = {
    "Subclassed": called,
    "Functional": lambda: of_inputs((8, 8, 1), (4,)),
    "Sequential": without_input,
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_network_needs_one_input_of_known_shape(kind):
    text = (
        rf"one input of known shape\. Received: a {kind}\. Wrap it in `keras.Model`, or use another"
    )
    with pytest.raises(RunError, match=text):
        sizes(small_model(UNKNOWN[kind]()))


@pytest.mark.parametrize("shape", [(8, 9, 1), (8, 8, 3), (8,), (2, 8, 8, 1)])
def test_a_network_of_other_inputs_is_refused_with_their_shape(shape):
    received = ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "")
    text = rf"square images, \(height, height, 1\)\. .*for inputs \({received}\)\. Use another"
    with pytest.raises(RunError, match=text):
        sizes(small_model(of_inputs(shape)))


def test_a_network_of_grey_square_images_is_taken():
    assert sizes(small_model()) == sizes(small_model(of_inputs((8, 8, 1)))) == (8, 3)
