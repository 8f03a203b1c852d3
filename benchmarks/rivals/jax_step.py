"""JAX: the whole meta-step compiled, its tasks by `vmap` or by `scan`.

With JAX's convolution, as most would write it; and, as those would who have seen how slow that is
on a CPU, with a convolution as one product of patches and kernel.
"""

import functools
import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
from jax import lax

from rivals import problem as p

VARIANTS = ("jax_vmap", "jax_scan", "jax_patches_vmap", "jax_patches_scan")


def plain_convolution(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def patch_convolution(x, kernel):
    size, _, channels, filters = kernel.shape
    out = -(-x.shape[1] // 2)
    total = 2 * (out - 1) + size - x.shape[1]
    margin = (total // 2, total - total // 2)
    x = jnp.pad(x, ((0, 0), margin, margin, (0, 0)))
    end = 2 * out - 1
    parts = [x[:, i : i + end : 2, j : j + end : 2] for i in range(size) for j in range(size)]
    patches = jnp.concatenate(parts, axis=-1).reshape(-1, size * size * channels)
    return (patches @ kernel.reshape(-1, filters)).reshape(-1, out, out, filters)


def block(convolution, x, kernel, bias, gamma, beta):
    x = convolution(x, kernel) + bias
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    x = (x - mean) * lax.rsqrt(variance + p.NORMALIZATION_EPSILON) * gamma + beta
    return jax.nn.relu(x)


def loss_of(convolution, weights, x, y):
    for i in range(p.BLOCKS):
        x = block(convolution, x, *weights[4 * i : 4 * i + 4])
    logits = x.reshape(x.shape[0], -1) @ weights[-2] + weights[-1]
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)
    return -chosen.mean()


def inner_step(convolution, carry, minibatch):
    weights, v, t = carry
    loss, g = jax.value_and_grad(functools.partial(loss_of, convolution))(weights, *minibatch)
    t = t + 1
    rate = p.LEARNING_RATE * jnp.sqrt(1 - p.BETA_2**t)
    v = [p.BETA_2 * m + (1 - p.BETA_2) * h * h for m, h in zip(v, g, strict=True)]
    weights = [
        w - rate * h / (jnp.sqrt(m) + p.EPSILON) for w, h, m in zip(weights, g, v, strict=True)
    ]
    return (weights, v, t), loss


def meta_step_of(variant):
    """A function of weights, moments, step count and tasks, to the first three and the loss."""
    convolution = patch_convolution if "patches" in variant else plain_convolution

    def adapt(theta, v, t, task):
        step = functools.partial(inner_step, convolution)
        (weights, v, _), losses = lax.scan(step, (theta, v, t), task)
        return weights, v, losses[0]

    def over_tasks(theta, v, t, tasks):
        if variant.endswith("vmap"):
            return jax.vmap(adapt, (None, None, None, 0))(theta, v, t, tasks)
        return lax.map(lambda task: adapt(theta, v, t, task), tasks)

    def meta_step(theta, v, t, tasks):
        weights, v, first = over_tasks(theta, v, t, tasks)
        moved = [
            w + p.META_STEP_SIZE * (phi.mean(0) - w) for w, phi in zip(theta, weights, strict=True)
        ]
        _, labels = tasks
        return moved, [m.mean(0) for m in v], t + labels.shape[1], first.mean()

    return meta_step


def start(problem):
    """The weights, moments and step count to start from."""
    theta = [jnp.array(w) for w in problem.weights]
    return [theta, [jnp.zeros_like(w) for w in theta], jnp.float32(0)]


def prepare(problem, variant, cores):
    meta_step, state = jax.jit(meta_step_of(variant)), start(problem)
    tasks = (jnp.array(problem.images), jnp.array(problem.labels))

    def run():
        *state[:], first = meta_step(*state, tasks)
        return float(first)

    return run
