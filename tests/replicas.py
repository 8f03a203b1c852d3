"""Trains a small model for a few steps and writes its weights: `replicas.py NUMBER FILE`.

A program of its own because TensorFlow's devices are fixed once per process.
"""

import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from helpers import small_episodes, small_model


def main(number, path, inner_state):
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    devices = [f"CPU:{i}" for i in range(number)]
    strategy = (
        tf.distribute.MirroredStrategy(devices) if number > 1 else tf.distribute.get_strategy()
    )
    with strategy.scope():
        model = small_model(inner_state=inner_state)
    model.fit(small_episodes(meta_batch_size=4), steps_per_epoch=20, verbose=0)
    accuracy = model.evaluate(small_episodes(tasks=8, seed=3), verbose=0, return_dict=True)
    weights = [keras.ops.convert_to_numpy(v) for v in model.weights]
    np.savez(path, *weights, accuracy=accuracy["accuracy"])


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
