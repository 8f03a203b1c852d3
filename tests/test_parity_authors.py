"""The library against whole runs of the authors' own program on real Omniglot images."""

import numpy as np
import pytest
from parity import authors_model, evaluation_task, inner_optimizer, logits, meta_batch

RUNS = {"sgd": 1e-7, "adam": 1e-6}


def minibatches(run, iteration, task):
    steps = (f"{iteration}/{task}/{step}" for step in range(3))
    return [(run[f"images/{key}"], run[f"labels/{key}"]) for key in steps]


def positions(batch, support):
    """Which support images a minibatch holds: their positions, from the pixels."""
    same = (batch[:, None] == support[None]).all(axis=(2, 3))
    assert (same.sum(axis=1) == 1).all()
    return same.argmax(axis=1)


@pytest.mark.parametrize("name", RUNS)
def test_every_weight_after_every_meta_iteration_is_the_authors(name, shared, float64):
    run = np.load(shared / "reference" / f"reptile_{name}.npz")
    start = [run[f"weights_0/{i:02d}"] for i in range(18)]
    model = authors_model(start, inner_optimizer(name), run["meta_step_sizes"])
    for iteration in range(3):
        model.train_on_batch(meta_batch([minibatches(run, iteration, task) for task in range(2)]))
        for i, variable in enumerate(model.network.trainable_variables):
            wanted = run[f"weights_{iteration + 1}/{i:02d}"]
            np.testing.assert_allclose(variable.numpy(), wanted, rtol=0, atol=RUNS[name])
    support = run["eval/support_images"]
    order = [positions(batch, support) for batch in run["eval/batch_images"]]
    labels, queries = run["eval/support_labels"], run["eval/query_images"]
    task = evaluation_task(support, labels, order, queries, run["eval/query_labels"])
    for mode in ("inductive", "transductive"):
        found = logits(model, task, transductive=mode == "transductive")
        np.testing.assert_allclose(found, run[f"eval/logits_{mode}"], rtol=0, atol=1e-4)


def test_the_carried_second_moment_is_the_authors(shared, float64):
    run = np.load(shared / "reference" / "reptile_adam.npz")
    start = [run[f"weights_0/{i:02d}"] for i in range(18)]
    model = authors_model(start, inner_optimizer("adam"), run["meta_step_sizes"])
    for iteration in range(3):
        model.train_on_batch(meta_batch([minibatches(run, iteration, task) for task in range(2)]))
    step, *second_moments = model.inner_variables
    # Three meta-iterations of two tasks of three steps, all counted.
    assert int(step) == 18
    for name, moment in zip(run["variable_names"], second_moments, strict=True):
        wanted = run[f"optimizer/{name}/Adam_1"]
        # The authors' 1 - beta_2 is a float32, 1.3e-5 off: it cancels in the weights, not here.
        np.testing.assert_allclose(moment.numpy(), wanted, rtol=2e-5, atol=1e-9)
