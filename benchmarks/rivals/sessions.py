"""A program for TensorFlow 1: one graph, and a call of a session for each inner step.

So the authors' program works, which was written for it; this one shares nothing else with it.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from rivals import problem as p

VARIANTS = ("tensorflow_1",)
v1 = tf.compat.v1


def prepare(problem, variant, cores):
    graph = tf.Graph()
    with graph.as_default():
        images = v1.placeholder(tf.float32, (None, 28, 28, 1))
        labels = v1.placeholder(tf.int32, (None,))
        variables = [v1.Variable(w) for w in problem.weights]
        logits = network(images, variables)
        loss = v1.losses.sparse_softmax_cross_entropy(labels, logits)
        adam = v1.train.AdamOptimizer(p.LEARNING_RATE, 0.0, p.BETA_2, p.EPSILON)
        inner_step = adam.minimize(loss)
        given = [v1.placeholder(w.dtype, w.shape) for w in problem.weights]
        assign = [v.assign(value) for v, value in zip(variables, given, strict=True)]
        start = v1.global_variables_initializer()
    session = v1.Session(graph=graph)
    session.run(start)

    def set_weights(weights):
        session.run(assign, dict(zip(given, weights, strict=True)))

    def run():
        theta, adapted, first = session.run(variables), [], 0.0
        for xs, ys in zip(problem.images, problem.labels, strict=True):
            set_weights(theta)
            for k, (x, y) in enumerate(zip(xs, ys, strict=True)):
                wanted = (inner_step, loss) if k == 0 else (inner_step,)
                _, *losses = session.run(wanted, {images: x, labels: y})
                first += sum(losses)
            adapted.append(session.run(variables))
        means = [np.mean(of_tasks, axis=0) for of_tasks in zip(*adapted, strict=True)]
        set_weights([w + p.META_STEP_SIZE * (m - w) for w, m in zip(theta, means, strict=True)])
        return float(first) / len(problem.labels)

    return run


def network(x, weights):
    for i in range(p.BLOCKS):
        kernel, bias, gamma, beta = weights[4 * i : 4 * i + 4]
        x = tf.nn.bias_add(tf.nn.conv2d(x, kernel, 2, "SAME"), bias)
        x, *_ = v1.nn.fused_batch_norm(x, gamma, beta, epsilon=p.NORMALIZATION_EPSILON)
        x = tf.nn.relu(x)
    return tf.reshape(x, (-1, weights[-2].shape[0])) @ weights[-2] + weights[-1]
