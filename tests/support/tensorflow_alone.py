"""A user of an export, with TensorFlow and nothing of ours. Started by test_saved_model.py.

Arguments: the export, tasks.npz and where to write the results.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow as tf

KINDS = ("inductive", "transductive")


def adapt_to_all(learner, tasks):
    """The logits of every task, each predicted in both ways, by its name."""
    jobs = [(shots, kind) for shots in tasks["shots"] for kind in KINDS]

    def logits(job):
        shots, kind = job
        endpoint = getattr(learner, f"adapt_and_predict_{kind}")
        arrays = [tasks[f"{name}_{shots}"] for name in ("support_x", "support_y", "query_x")]
        return endpoint(*arrays, int(tasks["steps"]), float(tasks["rate"])).numpy()

    def named(results):
        return {f"{kind}_{shots}": r for (shots, kind), r in zip(jobs, results, strict=True)}

    once, again = named(map(logits, jobs)), named(map(logits, jobs))
    with ThreadPoolExecutor(8) as pool:
        together = [named(pool.map(logits, jobs)) for _ in range(3)]
    for other in (again, *together):
        for name, value in once.items():
            np.testing.assert_allclose(other[name], value, atol=1e-6)
    return once


def adapt_once_and_predict(learner, tasks):
    weights = learner.adapt(tasks["support_x_5"], tasks["support_y_5"], 12, float(tasks["rate"]))
    return learner.predict_with(weights, tasks["query_x_5"]).numpy()


def fine_tune_by_tape(learner, tasks):
    """The losses of a plain training loop on the loaded object."""
    x, y = tasks["support_x_5"], tasks["support_y_5"]
    losses = []
    for _ in range(30):
        with tf.GradientTape() as tape:
            logits = learner.train_logits(x)
            each = tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)
            loss = tf.reduce_mean(each)
        np.testing.assert_allclose(loss, learner.train_loss(x, y), rtol=1e-5)
        gradients = tape.gradient(loss, learner.trainable_variables)
        for variable, gradient in zip(learner.trainable_variables, gradients, strict=True):
            variable.assign_sub(0.1 * gradient)
        losses.append(float(loss))
    return losses


def main(path, tasks_path, results_path):
    # Where the package is installed it would be found: importing it is an error from here on.
    sys.modules["keras_reptile"] = None
    learner = tf.saved_model.load(path)
    with np.load(tasks_path) as file:
        tasks = dict(file)
    before = [v.numpy() for v in learner.trainable_variables + learner.inner_state]
    results = adapt_to_all(learner, tasks)
    results["adapted_once"] = adapt_once_and_predict(learner, tasks)
    results["served"] = learner.serve(tasks["query_x_5"]).numpy()
    after = [v.numpy() for v in learner.trainable_variables + learner.inner_state]
    assert all((a == b).all() for a, b in zip(before, after, strict=True))
    results["class_names"] = np.array([n.decode() for n in learner.class_names().numpy()])
    results["losses"] = fine_tune_by_tape(learner, tasks)
    assert not any(name.startswith("keras_reptile.") for name in sys.modules)
    np.savez(results_path, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
