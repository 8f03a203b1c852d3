"""Integers of NumPy, also of 8 bits, such as `labels.max() + 1` of bytes, are plain numbers."""

import numpy as np
import pytest
import tensorflow as tf

import keras_reptile as kr
from keras_reptile.distribution.model import checked_steps

POOL = kr.ClassPool.from_arrays(np.arange(480, dtype=np.float32)[:, None], np.arange(480) % 4)


def task(**options):
    return next(iter(kr.episode_dataset(POOL, **{"ways": 4, "shots": 100, **options})))


def given(**options):
    x, y = np.arange(300, dtype=np.float32)[:, None], np.arange(300) % 3
    return kr.episode((x, y), (x,), **options)["order"]


def network(ways, **options):
    made = kr.networks.omniglot_convnet(ways, **options)
    return made.output_shape, made.layers[0].filters, made.get_weights()[0]


def hidden(units, seed):
    return kr.networks.sine_mlp((units,), seed=seed).get_weights()


def executed(steps):
    model = kr.ReptileModel(kr.networks.sine_mlp((2,)), "sgd")
    model.compile("sgd", loss="mse", steps_per_execution=steps)
    model.set_execution(steps_on_device=steps)
    return -model.steps_per_execution, -model.steps_on_device


# Of each call: the arguments as NumPy's integers.
CALLS = {
    "sizes of a task": (
        lambda ways, batch: kr.TaskSpec(ways, 60, inner_batch_size=batch).passes,
        (np.uint8(5), np.uint8(200)),
    ),
    "sizes of tasks": (
        lambda ways, batch: task(ways=ways, inner_batch_size=batch),
        (np.int8(4), np.uint8(200)),
    ),
    "the first task": (
        lambda start, size: task(start=start, meta_batch_size=size),
        (np.uint8(200), np.uint8(2)),
    ),
    "the seed of a split": (lambda seed: task(seed=seed, split="test"), (np.int64(3),)),
    "the seed of waves": (
        lambda seed: next(iter(kr.sinusoid_dataset(seed=seed))),
        (np.uint8(200),),
    ),
    "steps on given examples": (
        lambda steps, batch: given(steps=steps, inner_batch_size=batch),
        (np.uint8(50), np.uint8(10)),
    ),
    "parts of a pool": (
        lambda first, second: [len(part) for part in POOL.split(first, second)],
        (np.int8(1), np.int8(3)),
    ),
    "a network of images": (
        lambda ways, side, seed: network(
            ways, image_shape=(side, side, 1), filters=ways, seed=seed
        ),
        (np.uint8(5), np.int64(8), np.int64(3)),
    ),
    "steps of an epoch": (lambda steps: -checked_steps("steps", steps), (np.uint8(200),)),
    "steps of an execution": (lambda steps: executed(steps)[0], (np.uint8(200),)),
    "steps on the device": (lambda steps: executed(steps)[1], (np.uint8(200),)),
    "a network of waves": (hidden, (np.int32(4), np.uint8(3))),
    "a schedule": (lambda number: float(kr.linear_meta_step(1, 0, number)(50)), (np.uint8(200),)),
    "options of a data set": (
        lambda all_, test: len(
            kr.datasets.load(
                "glyphs", classes=all_, validation_classes=test, test_classes=test, writers=1
            ).train
        ),
        (np.uint8(210), np.uint8(100)),
    ),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CALLS)
def test_an_integer_of_numpy_is_the_number_that_it_says(name):
    call, numbers = CALLS[name]
    expected, found = call(*map(int, numbers)), call(*numbers)
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)
