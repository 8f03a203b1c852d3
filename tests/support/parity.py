"""The authors' numbers, as the tests of parity use them."""

import keras
import numpy as np
import tensorflow as tf
from helpers import episode

import keras_reptile as kr


class Given(keras.optimizers.schedules.LearningRateSchedule):
    """Meta-step sizes from a list."""

    def __init__(self, sizes):
        self.sizes = np.asarray(sizes)

    def __call__(self, step):
        return tf.gather(tf.constant(self.sizes, keras.config.floatx()), tf.cast(step, tf.int32))


def authors_model(weights, inner_optimizer, meta_step_sizes, rate=1.0, method="reptile", **how):
    """The Omniglot network in the authors' serial order, with their summed loss."""
    network = kr.networks.omniglot_convnet(5)
    for variable, value in zip(network.trainable_variables, weights, strict=True):
        variable.assign(value)
    model = kr.ReptileModel(
        network, inner_optimizer, method=method, task_order="serial", inner_weight_decay_rate=rate
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")
    model.compile(keras.optimizers.SGD(Given(meta_step_sizes)), loss=loss, **how)
    return model


def inner_optimizer(name):
    if name == "sgd":
        return keras.optimizers.SGD(0.003)
    return keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.999, epsilon=1e-4)


def meta_batch(minibatches, separate_tail=False):
    """An episode from lists, by task, of `(images, labels)` minibatches.

    They are of one size, but for the last of each task if that is a separate tail.
    """
    x = np.stack([np.concatenate([b[0] for b in task]) for task in minibatches])
    y = np.stack([np.concatenate([b[1] for b in task]) for task in minibatches])
    tasks, steps = len(minibatches), len(minibatches[0]) - separate_tail
    images = steps * len(minibatches[0][0][1])
    order = np.tile(np.arange(images).reshape(1, steps, -1), (tasks, 1, 1))
    element = episode(as_float(x), y.astype(np.int32), order)
    if separate_tail:
        tail = np.arange(images, x.shape[1], dtype=np.int32)
        element["tail"] = tf.constant(np.tile(tail, (tasks, 1)))
    return element


def as_float(images):
    return np.asarray(images, keras.config.floatx())[..., None]


def evaluation_task(support_x, support_y, order, query_x, query_y):
    arrays = [as_float(support_x), support_y, np.asarray(order), as_float(query_x), query_y]
    return episode(*[a[None] for a in arrays])


def logits(model, task, transductive):
    return model.adapt_and_predict(task, transductive)[1][0].numpy()
