"""The meta-step that all programs compute: the paper's network, inner Adam, made-up images."""

import dataclasses

import numpy as np

LEARNING_RATE, BETA_2, EPSILON, NORMALIZATION_EPSILON = 1e-3, 0.999, 1e-8, 1e-3
META_STEP_SIZE = 0.5
FILTERS, BLOCKS = 64, 4


@dataclasses.dataclass
class Problem:
    """A meta-batch, and the weights to start from.

    images: `(tasks, steps, batch, 28, 28, 1)`, float32 in [0, 1].
    labels: `(tasks, steps, batch)`, int32.
    weights: Kernel, bias, gamma and beta of each block, then the dense kernel and bias.
    """

    images: np.ndarray
    labels: np.ndarray
    weights: list


def make(ways=5, tasks=5, steps=5, batch=10) -> Problem:
    random = np.random.RandomState(0)
    shape = (tasks, steps, batch)
    images = (random.rand(*shape, 28, 28, 1) > 0.1).astype(np.float32)
    labels = random.randint(0, ways, shape).astype(np.int32)
    return Problem(images, labels, [w.astype(np.float32) for w in _weights(random, ways)])


def _weights(random, ways):
    channels = 1
    for _ in range(BLOCKS):
        yield _glorot(random, (3, 3, channels, FILTERS))
        yield from (np.zeros(FILTERS), np.ones(FILTERS), np.zeros(FILTERS))
        channels = FILTERS
    yield _glorot(random, (2 * 2 * FILTERS, ways))
    yield np.zeros(ways)


def _glorot(random, shape):
    receptive = int(np.prod(shape[:-2]))
    limit = np.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
    return random.uniform(-limit, limit, shape)
