#!/usr/bin/env python3
"""Time series: continues a vibration that it has seen for three seconds.

Each task is a mass on a spring with friction, of a frequency and damping of its own, measured 16
times a second with noise: x'' + 2 d x' + (2 pi f)^2 x = 0. From windows of 16 values the network, a
causal convolution, predicts the next value; queries are windows of the seconds that follow.
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
WINDOW, SHOTS, QUERIES, TASKS, RATE = 16, 32, 32, 5, 16.0
RANGES = {"frequency": (0.5, 3.0), "damping": (0.0, 0.3), "phase": (0.0, 2 * np.pi)}
flags.register_validator("test_tasks", lambda n: n % TASKS == 0, "It must be a multiple of 5.")


def vibrations(number: int) -> tf.Tensor:
    """Returns a meta-batch of series `(tasks, values)`, which follow from its number."""
    draws = tf.random.stateless_uniform((3, TASKS, 1), (0, number))
    f, d, phase = (low + (high - low) * u for (low, high), u in
                   zip(RANGES.values(), tf.unstack(draws), strict=True))  # fmt: skip
    t = tf.range(WINDOW + SHOTS + QUERIES, dtype=tf.float32) / RATE
    noise = tf.random.stateless_normal((TASKS, len(t)), (1, number), stddev=0.02)
    return tf.exp(-d * t) * tf.sin(2 * np.pi * f * t + phase) + noise


def tasks_of(number: int, steps: int) -> dict:
    series = vibrations(number)
    x = tf.signal.frame(series, WINDOW, 1)[:, :-1, :, None]
    y = series[:, WINDOW:, None]
    draws = tf.random.stateless_uniform((TASKS, steps, SHOTS), (2, number))
    order = tf.argsort(draws)[..., : SHOTS // 2]
    parts = slice(0, SHOTS), slice(SHOTS, None)
    support, query = ((x[:, part], y[:, part]) for part in parts)
    return {"support": support, "order": order, "query": query}


def main(argv):
    if argv[1:]:
        raise app.UsageError(f"Only flags are accepted. Received: {argv[1:]}.")
    keras.utils.set_random_seed(0)
    training = tf.data.Dataset.counter().map(lambda number: tasks_of(number, steps=5))
    first, after = 10**6, 10**6 + FLAGS.test_tasks // TASKS  # Never drawn in training.
    tests = tf.data.Dataset.range(first, after).map(lambda number: tasks_of(number, steps=20))
    unadapted = tests.map(lambda tasks: {**tasks, "order": tasks["order"][:, :0]})
    network = keras.Sequential(
        [
            keras.Input((WINDOW, 1)),
            layers.Conv1D(32, 4, strides=2, padding="causal", activation="relu"),
            layers.Conv1D(32, 4, strides=2, padding="causal", activation="relu"),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    model = kr.ReptileModel(network, keras.optimizers.SGD(0.05))
    schedule = kr.linear_meta_step(1.0, 0.0, FLAGS.meta_iterations)
    model.compile(keras.optimizers.SGD(schedule), loss="mean_squared_error")
    print("Random weights, after adaptation:", kr.evaluate_loss(model, tests, verbose=0))
    model.fit(training, steps_per_epoch=FLAGS.meta_iterations, verbose=0)
    print("Meta-learned, before adaptation: ", kr.evaluate_loss(model, unadapted, verbose=0))
    print("Meta-learned, after adaptation:  ", kr.evaluate_loss(model, tests, verbose=0))


if __name__ == "__main__":
    app.run(main)
