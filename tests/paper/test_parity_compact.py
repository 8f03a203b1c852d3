"""The library against the figures of the authors' own program, on inputs that are made up here."""

import json
from pathlib import Path

import numpy as np
import pytest
from parity import authors_model, evaluation_task, inner_optimizer, logits, meta_batch

pytestmark = pytest.mark.slow

CASES = json.loads((Path(__file__).parents[1] / "data" / "compact.json").read_text())["cases"]


def initial_weights(rs):
    shapes, channels = [], 1
    for _ in range(4):
        shapes += [(3, 3, channels, 64), "zeros", "ones", "zeros"]
        channels = 64
    shapes += [(256, 5), "zeros"]
    return [draw_weight(rs, shape, 64 if i < 16 else 5) for i, shape in enumerate(shapes)]


def draw_weight(rs, shape, units):
    if isinstance(shape, tuple):
        return rs.normal(0, np.sqrt(2 / np.prod(shape[:-1])), shape)
    return (1.0 if shape == "ones" else 0.0) + rs.normal(0, 0.1, units)


def images(rs, n):
    return 1.0 - (rs.rand(n, 28, 28) < 0.1)


def minibatch(rs, n, ways):
    return images(rs, n), rs.randint(0, ways, n)


def summary(variable):
    flat = np.ravel(variable.numpy())
    return [flat.sum(), np.square(flat).sum(), *flat[:3]]


def minibatches(rs, case):
    """A task's minibatches, the last of another size where the tail has one."""
    sizes = [case["inner_batch_size"]] * case["inner_steps"]
    sizes[-1] = case["tail_batch_size"] or sizes[-1]
    return [minibatch(rs, n, case["ways"]) for n in sizes]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_weights_and_logits_are_those_of_the_authors_program(case, float64):
    rs = np.random.RandomState(case["seed"])
    optimizer = inner_optimizer(case["inner_optimizer"]["name"])
    how = case["meta_step_sizes"], case["weight_decay_rate"], case["method"]
    # Twelve steps take less time than their trace; test_parity_authors.py runs the graph.
    model = authors_model(initial_weights(rs), optimizer, *how, run_eagerly=True)
    for expected in case["weights_after"]:
        tasks = [minibatches(rs, case) for _ in range(case["tasks"])]
        model.train_on_batch(meta_batch(tasks, case["tail_batch_size"] is not None))
        for variable, figures in zip(model.network.trainable_variables, expected, strict=True):
            wanted = [figures["sum"], figures["sum_of_squares"], *figures["first"]]
            np.testing.assert_allclose(summary(variable), wanted, rtol=0, atol=2e-5)
    labels = np.arange(5)
    support = images(rs, 5)
    order = [rs.permutation(5) for _ in range(4)]
    task = evaluation_task(support, labels, order, images(rs, 5), labels)
    for mode, wanted in case["logits_after_adaptation"].items():
        found = logits(model, task, transductive=mode == "transductive")
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4)
