"""The usual Keras loop: one task after another, eagerly, with `GradientTape`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from rivals import problem as p

VARIANTS = ("keras_eager",)


def network(ways):
    layers = [keras.Input((28, 28, 1))]
    for _ in range(p.BLOCKS):
        layers += [
            keras.layers.Conv2D(p.FILTERS, 3, strides=2, padding="same"),
            keras.layers.BatchNormalization(epsilon=p.NORMALIZATION_EPSILON),
            keras.layers.ReLU(),
        ]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(ways)])


def prepare(problem, variant, cores):
    model = network(problem.weights[-1].shape[0])
    variables = model.trainable_variables
    for variable, value in zip(variables, problem.weights, strict=True):
        variable.assign(value)
    optimizer = keras.optimizers.Adam(p.LEARNING_RATE, 0.0, p.BETA_2, p.EPSILON)
    loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def run():
        theta = [tf.identity(v.value) for v in variables]
        total = [tf.zeros_like(w) for w in theta]
        first = 0.0
        for xs, ys in zip(problem.images, problem.labels, strict=True):
            for variable, value in zip(variables, theta, strict=True):
                variable.assign(value)
            for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
                with tf.GradientTape() as tape:
                    loss = loss_of(y, model(x, training=True))
                gradients = tape.gradient(loss, variables)
                optimizer.apply_gradients(zip(gradients, variables, strict=True))
                first += float(loss) if k == 0 else 0.0
            total = [a + v - w for a, v, w in zip(total, variables, theta, strict=True)]
        for variable, w, a in zip(variables, theta, total, strict=True):
            variable.assign(w + p.META_STEP_SIZE / len(problem.labels) * a)
        return first / len(problem.labels)

    return run
