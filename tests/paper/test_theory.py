"""Section 5 of the paper: what each method's expected update is made of, to leading order.

With inner learning rate a and k inner steps, over tasks and orders of their minibatches:

    E[gradient] = first * AvgGrad + second * a * AvgGradInner + O(a^2)

             first   second
    MAML       1    -2 (k - 1)
    FOMAML     1    -(k - 1)
    Reptile    k    -k (k - 1) / 2     (FOMAML's and Reptile's updates divided by a)

AvgGrad is the mean gradient of a minibatch's loss, AvgGradInner the mean of one minibatch's Hessian
times the gradient of another of the same task.
"""

import itertools

import keras
import numpy as np
import pytest
from helpers import episode

import keras_reptile as kr
from keras_reptile.algorithm.inner_optimizers import InnerSGD

pytestmark = pytest.mark.slow

TASKS, MINIBATCHES, BATCH, WEIGHTS = 2, 3, 4, 3
COEFFICIENTS = {
    "maml": lambda k: (1, -2 * (k - 1)),
    "fomaml": lambda k: (1, -(k - 1)),
    "reptile": lambda k: (k, -k * (k - 1) / 2),
}


def problem():
    """Inputs and targets of every task and minibatch, and weights far from any minimum."""
    rs = np.random.RandomState(0)
    x = rs.randn(TASKS, MINIBATCHES, BATCH, WEIGHTS)
    return x, rs.randn(TASKS, MINIBATCHES, BATCH), rs.randn(WEIGHTS)


def gradient_and_hessian(x, y, w):
    """Of the mean of (tanh(x w) - y)^2, whose third derivatives are not zero, by hand."""
    p = np.tanh(x @ w)
    slope = 1 - p**2
    first = 2 * (p - y) * slope
    second = 2 * slope**2 - 4 * (p - y) * p * slope
    return x.T @ first / len(y), (x.T * second) @ x / len(y)


def averages():
    x, y, w = problem()
    both = [
        [gradient_and_hessian(x[t, b], y[t, b], w) for b in range(MINIBATCHES)]
        for t in range(TASKS)
    ]
    gradients = [g for task in both for g, _ in task]
    inner = [
        task[i][1] @ task[j][0]
        for task in both
        for i, j in itertools.permutations(range(MINIBATCHES), 2)
    ]
    return np.mean(gradients, axis=0), np.mean(inner, axis=0)


def expected_update(method, k, a):
    """One meta-iteration on every task with every order of k of its minibatches."""
    x, y, w = problem()
    orders = list(itertools.permutations(range(MINIBATCHES), k))
    positions = np.arange(MINIBATCHES * BATCH).reshape(MINIBATCHES, BATCH)
    support = x.reshape(TASKS, -1, WEIGHTS), y.reshape(TASKS, -1, 1)
    support_x, support_y = (np.repeat(part, len(orders), axis=0) for part in support)
    order = np.tile(positions[np.array(orders)], (TASKS, 1, 1))

    dense = keras.layers.Dense(1, activation="tanh", use_bias=False)
    network = keras.Sequential([keras.Input((WEIGHTS,)), dense])
    network.set_weights([w[:, None]])
    model = kr.ReptileModel(network, keras.optimizers.SGD(1.0), method=method)
    # A rate read back from Keras is rounded to float32.
    object.__setattr__(model, "inner_rule", InnerSGD(a))
    model.compile(keras.optimizers.SGD(1.0), loss="mean_squared_error")
    model.train_on_batch(episode(support_x, support_y, order))
    update = w - network.get_weights()[0][:, 0]
    return update if method == "maml" else update / a


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("method", COEFFICIENTS)
def test_the_expected_update_is_made_of_the_papers_two_terms(method, k, float64):
    average_gradient, average_gradient_inner = averages()
    first, second = COEFFICIENTS[method](k)

    def remainder(a):
        predicted = first * average_gradient + second * a * average_gradient_inner
        return expected_update(method, k, a) - predicted

    if k == 1:
        np.testing.assert_allclose(remainder(1e-3), 0, atol=1e-12)
        return
    # A quarter for half the rate; a coefficient that is off would leave a half.
    whole, half = (np.abs(remainder(a)) for a in (2e-3, 1e-3))
    np.testing.assert_allclose(whole / half, 4, rtol=0.05)
