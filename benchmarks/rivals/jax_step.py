"""JAX: the whole meta-step compiled, its tasks by `vmap` or by `scan`."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
from jax import lax

from rivals import problem as p

VARIANTS = ("jax_vmap", "jax_scan")


def block(x, kernel, bias, gamma, beta):
    x = lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    x = x + bias
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    x = (x - mean) * lax.rsqrt(variance + p.NORMALIZATION_EPSILON) * gamma + beta
    return jax.nn.relu(x)


def loss_of(weights, x, y):
    for i in range(p.BLOCKS):
        x = block(x, *weights[4 * i : 4 * i + 4])
    logits = x.reshape(x.shape[0], -1) @ weights[-2] + weights[-1]
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)
    return -chosen.mean()


def inner_step(carry, minibatch):
    weights, v, t = carry
    loss, g = jax.value_and_grad(loss_of)(weights, *minibatch)
    t = t + 1
    rate = p.LEARNING_RATE * jnp.sqrt(1 - p.BETA_2**t)
    v = [p.BETA_2 * m + (1 - p.BETA_2) * h * h for m, h in zip(v, g, strict=True)]
    weights = [
        w - rate * h / (jnp.sqrt(m) + p.EPSILON) for w, h, m in zip(weights, g, v, strict=True)
    ]
    return (weights, v, t), loss


def prepare(problem, variant, cores):
    def adapt(theta, v, t, task):
        (weights, v, _), losses = lax.scan(inner_step, (theta, v, t), task)
        return weights, v, losses[0]

    def over_tasks(theta, v, t, tasks):
        if variant == "jax_vmap":
            return jax.vmap(adapt, (None, None, None, 0))(theta, v, t, tasks)
        return lax.map(lambda task: adapt(theta, v, t, task), tasks)

    @jax.jit
    def meta_step(theta, v, t, tasks):
        weights, v, first = over_tasks(theta, v, t, tasks)
        moved = [
            w + p.META_STEP_SIZE * (phi.mean(0) - w) for w, phi in zip(theta, weights, strict=True)
        ]
        return moved, [m.mean(0) for m in v], t + problem.labels.shape[1], first.mean()

    theta = [jnp.array(w) for w in problem.weights]
    state = [theta, [jnp.zeros_like(w) for w in theta], jnp.float32(0)]
    tasks = (jnp.array(problem.images), jnp.array(problem.labels))

    def run():
        *state[:], first = meta_step(*state, tasks)
        return float(first)

    return run
