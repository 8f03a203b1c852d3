"""The library against whole runs of the authors' own program on real Omniglot images."""

import functools

import keras
import numpy as np
import pytest
from parity import authors_model, evaluation_task, inner_optimizer, logits, meta_batch

pytestmark = pytest.mark.slow

# Of each run: the largest difference in a weight, and whether its last minibatches are kept apart.
RUNS = {
    "reptile_sgd": (1e-7, False),
    "reptile_adam": (1e-6, False),
    "fomaml_shared_tail_sgd": (1e-6, False),
    "fomaml_separate_tail_adam": (1e-6, True),
}


def minibatches(run, iteration, task):
    steps = (f"{iteration}/{task}/{step}" for step in range(3))
    return [(run[f"images/{key}"], run[f"labels/{key}"]) for key in steps]


def positions(batch, support):
    """Which support images a minibatch holds: their positions, from the pixels."""
    same = (batch[:, None] == support[None]).all(axis=(2, 3))
    assert (same.sum(axis=1) == 1).all()
    return same.argmax(axis=1)


def model_and_run(name, shared):
    run = np.load(shared / "reference" / f"{name}.npz")
    start = [run[f"weights_0/{i:02d}"] for i in range(18)]
    method, optimizer = name.split("_")[0], inner_optimizer(name.split("_")[-1])
    return authors_model(start, optimizer, run["meta_step_sizes"], method=method), run


@functools.cache
def trained(name, shared):
    """A model after three meta-iterations in float64, its weights after each, and the run."""
    assert keras.config.floatx() == "float64"
    model, run = model_and_run(name, shared)
    weights = []
    for iteration in range(3):
        tasks = [minibatches(run, iteration, task) for task in range(2)]
        model.train_on_batch(meta_batch(tasks, separate_tail=RUNS[name][1]))
        weights.append([v.numpy() for v in model.network.trainable_variables])
    return model, weights, run


@pytest.mark.parametrize("name", RUNS)
def test_every_weight_after_every_meta_iteration_is_the_authors(name, shared, float64):
    model, weights, run = trained(name, shared)
    tolerance, _ = RUNS[name]
    for iteration, found in enumerate(weights, start=1):
        for i, weight in enumerate(found):
            wanted = run[f"weights_{iteration}/{i:02d}"]
            np.testing.assert_allclose(weight, wanted, rtol=0, atol=tolerance)
    support = run["eval/support_images"]
    order = [positions(batch, support) for batch in run["eval/batch_images"]]
    labels, queries = run["eval/support_labels"], run["eval/query_images"]
    task = evaluation_task(support, labels, order, queries, run["eval/query_labels"])
    for mode in ("inductive", "transductive"):
        found = logits(model, task, transductive=mode == "transductive")
        np.testing.assert_allclose(found, run[f"eval/logits_{mode}"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["reptile_adam", "fomaml_separate_tail_adam"])
def test_the_carried_second_moment_is_the_authors(name, shared, float64):
    model, _, run = trained(name, shared)
    step, *second_moments = model.inner_variables
    # Three meta-iterations of two tasks of three steps, all counted.
    assert int(step) == 18
    for variable, moment in zip(run["variable_names"], second_moments, strict=True):
        wanted = run[f"optimizer/{variable}/Adam_1"]
        # The authors' 1 - beta_2 is a float32, 1.3e-5 off: it cancels in the weights, not here.
        np.testing.assert_allclose(moment.numpy(), wanted, rtol=2e-5, atol=1e-9)
