"""keras_reptile: `train_step` of a model, at the settings of `bin/train`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # As the programs in bin/ do.

import keras
import numpy as np
import tensorflow as tf
from timing import train_step

import keras_reptile as kr
from rivals import problem as p

VARIANTS = ("keras_reptile",)


def prepare(problem, variant, cores):
    kr.one_task_per_core(cores, jit_compile=True)  # As bin/train does for a run of this length.
    tasks, steps, batch = problem.labels.shape
    network = kr.networks.omniglot_convnet(int(problem.weights[-1].shape[0]))
    for variable, value in zip(network.trainable_variables, problem.weights, strict=True):
        variable.assign(value)
    adam = keras.optimizers.Adam(p.LEARNING_RATE, 0.0, p.BETA_2, p.EPSILON)
    model = kr.ReptileModel(network, inner_optimizer=adam)
    model.compile(keras.optimizers.SGD(p.META_STEP_SIZE), jit_compile=True)
    flat = lambda a: tf.constant(a.reshape(tasks, steps * batch, *a.shape[3:]))  # noqa: E731
    order = np.arange(steps * batch, dtype=np.int32).reshape(1, steps, batch)
    episodes = {
        "support": (flat(problem.images), flat(problem.labels)),
        "query": (tf.zeros((tasks, 0, 28, 28, 1)), tf.zeros((tasks, 0), tf.int32)),
        "order": tf.constant(np.repeat(order, tasks, axis=0)),
    }
    step = train_step(model)

    def run():
        # The mean over the steps so far, as `fit` shows it.
        return float(step(episodes)["loss_before"])

    return run
