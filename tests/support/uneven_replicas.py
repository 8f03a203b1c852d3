"""Other data than datasets on two logical CPU devices: `uneven_replicas.py FILE` writes JSON."""

import json
import os
import sys

import keras
import numpy as np
import tensorflow as tf
from helpers import differences, image_pool

import keras_reptile as kr
from keras_reptile import distribution
from keras_reptile.execution import evaluation_batch
from keras_reptile.kernels import devices


def small_model():
    network = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(0)),
        ]
    )
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.1, momentum=0.5))
    model.compile(keras.optimizers.SGD(1.0))
    return model


def tasks(number):
    episodes = kr.episode_dataset(
        image_pool(), 3, 4, queries=2, inner_steps=2, inner_batch_size=4, meta_batch_size=number
    )
    return tf.nest.map_structure(lambda t: t.numpy(), next(iter(episodes)))


class Sequence(keras.utils.PyDataset):
    def __len__(self):
        return 1

    def __getitem__(self, place):
        return (tasks(3),)


def refusal(action):
    try:
        action()
    except ValueError as error:
        return str(error)
    return "none"


def evaluated_as_on_gpus(one, two):
    """Seven tasks in twos: the largest difference of a loss, and the tasks in each meta-batch."""
    tests = kr.episode_dataset(
        image_pool(), 3, 4, inner_steps=2, inner_batch_size=4, meta_batch_size=2, tasks=7
    )
    expected = kr.evaluate_loss(one, tests, verbose=0).losses
    devices.device_kinds = lambda: {"GPU"}
    evaluation_batch.MOST_TASKS = 2
    losses = kr.evaluate_loss(two, tests, verbose=0).losses
    joined = [len(e["order"]) for e in two._regrouped(tests)]
    return {"losses": float(np.abs(losses - expected).max()), "joined": joined}


def main(path):
    # TensorFlow's own optimizer of graphs takes a sixth of the time.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    strategy = distribution.create("mirrored", devices="cpu:0,cpu:1", meta_batch_size=4)
    one = small_model()
    one.train_on_batch(tasks(4))
    of_three = one.test_on_batch(tasks(3))
    with strategy.scope():
        two = small_model()
    refused = {
        "generator": lambda: two.fit((tasks(3) for _ in range(1)), steps_per_epoch=1),
        "arrays": lambda: two.fit(tasks(3), batch_size=3),
        "PyDataset": lambda: two.fit(Sequence()),
        "validation": lambda: two.evaluate(tasks(3)),
        "train_on_batch": lambda: two.train_on_batch(tasks(3)),
    }
    found = {name: refusal(action) for name, action in refused.items()}
    found["meta_iteration"] = two.meta_iteration
    found["plan"] = str(two._plan(training=True, eagerly=False))
    two.train_on_batch(tasks(4))
    found["difference"] = float(differences(one, two))
    found["of three"] = np.abs(np.subtract(two.test_on_batch(tasks(3)), of_three)).max().item()
    predicted = two.predict_on_batch(tasks(3)) - one.predict_on_batch(tasks(3))
    found["predictions"] = float(np.abs(predicted).max())
    saved = tf.train.Checkpoint(model=two).save(os.path.join(os.path.dirname(path), "saved"))
    with strategy.scope():
        other = small_model()
    tf.train.Checkpoint(model=other).restore(saved)
    found["restored"] = float(differences(two, other))
    found |= evaluated_as_on_gpus(one, two)
    with open(path, "w") as file:
        json.dump(found, file)


if __name__ == "__main__":
    main(sys.argv[1])
