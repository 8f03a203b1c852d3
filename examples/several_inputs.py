#!/usr/bin/env python3
"""Regression with several inputs: learns how a pendulum answers to a motor from ten measurements.

Each task is a pendulum with a length, mass and friction of its own. From its angle a and speed w,
the first input, and the torque u of its motor, the second, the network predicts its acceleration:
a'' = -(g / l) sin a + u / (m l^2) - c w. Angles are in radians, accelerations in 10 rad/s^2.
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import keras
import numpy as np
import tensorflow as tf
from absl import app, flags
from keras import layers

import keras_reptile as kr

FLAGS = flags.FLAGS
flags.DEFINE_integer("meta_iterations", 500, "Meta-iterations.")
flags.DEFINE_integer("test_tasks", 100, "Test tasks, a multiple of 5.", 5)
SHOTS, QUERIES, TASKS, GRAVITY = 10, 40, 5, 9.81
LENGTHS, MASSES, FRICTIONS = (0.5, 1.5), (0.5, 1.5), (0.0, 1.0)
flags.register_validator("test_tasks", lambda n: n % TASKS == 0, "It must be a multiple of 5.")


def tasks_of(number: int, steps: int) -> dict:
    """Returns a meta-batch of pendulums, which follow from its number."""

    def draw(purpose, low, high, *shape):
        return tf.random.stateless_uniform(shape, (purpose, number), low, high)

    length, mass, friction = (
        draw(i, *r, TASKS, 1, 1) for i, r in enumerate((LENGTHS, MASSES, FRICTIONS))
    )
    angle, speed, torque = (
        draw(i, -most, most, TASKS, SHOTS + QUERIES, 1)
        for i, most in ((3, np.pi), (4, 4.0), (5, 4.0))
    )
    pulled = -GRAVITY / length * tf.sin(angle) - friction * speed
    y = (pulled + torque / (mass * length**2)) / 10
    x = tf.concat([tf.sin(angle), tf.cos(angle), speed / 4], axis=-1), torque / 4
    first, others = slice(0, SHOTS), slice(SHOTS, None)
    support, query = (tf.nest.map_structure(lambda t: t[:, s], (x, y)) for s in (first, others))  # noqa: B023
    order = tf.tile(tf.range(SHOTS)[None, None], (TASKS, steps, 1))
    return {"support": support, "order": order, "query": query}


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"Only flags are accepted. Received: {argv[1:]}.")
    keras.utils.set_random_seed(0)
    training = tf.data.Dataset.counter().map(lambda number: tasks_of(number, steps=5))
    first, after = 10**6, 10**6 + FLAGS.test_tasks // TASKS  # Never drawn in training.
    tests = tf.data.Dataset.range(first, after).map(lambda number: tasks_of(number, steps=20))
    unadapted = tests.map(lambda tasks: {**tasks, "order": tasks["order"][:, :0]})
    state, torque = keras.Input((3,), name="state"), keras.Input((1,), name="torque")
    x = layers.Concatenate()([layers.Dense(32, "tanh")(state), layers.Dense(8)(torque)])
    network = keras.Model((state, torque), layers.Dense(1)(layers.Dense(32, "tanh")(x)))
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.05))
    schedule = kr.linear_meta_step(1.0, 0.0, FLAGS.meta_iterations)
    model.compile(keras.optimizers.SGD(schedule), loss="mean_squared_error")
    print("Random weights, after adaptation:", kr.evaluate_loss(model, tests, verbose=0))
    model.fit(training, steps_per_epoch=FLAGS.meta_iterations, verbose=0)
    print("Meta-learned, before adaptation: ", kr.evaluate_loss(model, unadapted, verbose=0))
    print("Meta-learned, after adaptation:  ", kr.evaluate_loss(model, tests, verbose=0))


if __name__ == "__main__":
    app.run(main)
