"""Sine waves: the paper's toy regression tasks, to fit f(x) = a sin(x + b) from a few points.

As in `episode_dataset`, all random numbers of task i come from the seed, the split and i.
"""

from collections.abc import Callable
from typing import Any, cast

import keras
import numpy as np
import tensorflow as tf

from keras_reptile.checks import INT64, check_seed
from keras_reptile.episodes.class_pool import Pools
from keras_reptile.episodes.episode_dataset import SPLITS, task_stream
from keras_reptile.episodes.sampling import minibatch_order, tail_of, task_bits
from keras_reptile.episodes.task_spec import TaskSpec

AMPLITUDES = (0.1, 5.0)
PHASES = (0.0, 2 * np.pi)
INTERVAL = (-5.0, 5.0)


class Waves:
    """One split of the sine waves, in the place of the `ClassPool` of a split of images.

    Args:
        split: String, one of `SPLITS`.

    Raises:
        ValueError: If `split` is not one of `SPLITS`.

    Example:

    >>> Waves("test")
    Waves('test')
    """

    image_shape = (1,)

    def __init__(self, split: str):
        if split not in SPLITS:
            raise ValueError(f"`split` must be one of {SPLITS}. Received: split={split!r}.")
        self.split = split

    def __repr__(self) -> str:
        return f"Waves({self.split!r})"


def load() -> Pools:
    """Returns the three splits of sine waves. It has no options."""
    return Pools(*(cast(Any, Waves(split)) for split in SPLITS))


def sinusoid_dataset(
    split: str = "train",
    shots: int = 10,
    *,
    queries: int = 50,
    inner_batch_size: int = 10,
    inner_steps: int = 5,
    minibatches: str = "cycling",
    tail_shots: int | None = None,
    meta_batch_size: int = 1,
    seed: int = 0,
    start: int | Callable[[], int] = 0,
    tasks: int | None = None,
) -> tf.data.Dataset:
    """Returns a dataset of meta-batches of sine waves.

    Every task is one wave. The support set is some of its points, and the queries are all of them:

        y = a sin(x + b),    a ~ U[0.1, 5],    b ~ U[0, 2 pi],    x evenly spaced on [-5, 5]

    The same seed gives the same tasks.

    Args:
        split: String, `"train"`, `"validation"` or `"test"`. Splits have no task in common.
            Defaults to `"train"`.
        shots: Integer, support points: distinct points drawn at random from the evenly spaced ones.
            Defaults to `10`.
        queries: Integer, the number of evenly spaced points. Defaults to `50`.
        inner_batch_size, inner_steps, minibatches, tail_shots: See `TaskSpec`.
        meta_batch_size, seed, start, tasks: See `episode_dataset`.

    Returns:
        A `tf.data.Dataset` of dicts like those of `episode_dataset`. `"support"` is a tuple of x
        and y `(meta_batch_size, shots, 1)`. `"query"` is a tuple of x and y
        `(meta_batch_size, queries, 1)`, with x in ascending order. All have Keras's float type.

    Raises:
        ValueError: If there are more shots than points, or an argument is out of range.

    Example:

    >>> episode = next(iter(sinusoid_dataset(shots=10, meta_batch_size=3)))
    >>> tuple(episode["support"][1].shape), tuple(episode["query"][1].shape)
    ((3, 10, 1), (3, 50, 1))

    Reference: [Nichol, Achiam, Schulman, 2018](https://arxiv.org/abs/1803.02999), figure 1; the
    tasks are those of [Finn, Abbeel, Levine, 2017](https://arxiv.org/abs/1703.03400).
    """
    spec = TaskSpec(1, shots, queries, inner_batch_size, inner_steps, minibatches, tail_shots)
    waves = Waves(split)
    if not spec.shots <= spec.queries:
        raise ValueError(
            "`shots` must not exceed `queries`, because shots are some of the evenly spaced query "
            f"points. Received: shots={shots}, queries={queries}. Lower `shots` or raise `queries`."
        )
    seed = check_seed("seed", seed, -(INT64 // 4), INT64 // 4)
    # Every pair of seed and split has a different number.
    stream = len(SPLITS) * seed + SPLITS.index(waves.split)
    return task_stream(
        lambda first, size: _draw(spec, stream, first, size), meta_batch_size, start, tasks
    )


def sine(x: Any, amplitude: Any, phase: Any) -> tf.Tensor:
    """Computes f(x) = a sin(x + b).

    Example:

    >>> float(sine(np.pi / 2, 3.0, np.pi))
    -3.0
    """
    return amplitude * tf.sin(x + phase)


def points(number: int) -> np.ndarray:
    """Returns evenly spaced x on [-5, 5], float64 `(number,)`.

    Example:

    >>> points(5).tolist()
    [-5.0, -2.5, 0.0, 2.5, 5.0]
    """
    return np.linspace(*INTERVAL, number)


def _draw(spec, stream, first, size) -> dict[str, Any]:
    needs = (2, spec.queries, spec.passes * spec.drawn_size)
    for_wave, for_points, for_order = tf.split(
        task_bits(stream, first, size, sum(needs)), needs, axis=1
    )
    x, y = _wave(for_wave, spec.queries)
    sampled = tf.argsort(for_points)[:, : spec.shots]
    order = minibatch_order(tf.reshape(for_order, (size, spec.passes, spec.drawn_size)), spec)
    tail = {} if spec.tail_shots is None else {"tail": tf.tile(tail_of(spec)[None], (size, 1))}
    support = tuple(tf.gather(t, sampled, batch_dims=1) for t in (x, y))
    return {"support": support, "order": order, "query": (x, y), **tail}


def _wave(bits, number):
    """Returns x and y `(tasks, number, 1)` of random waves, from integers `(tasks, 2)`."""
    unit = tf.cast(bits, tf.float64) / 2.0**62
    amplitude, phase = (
        low + (high - low) * unit[:, i, None] for i, (low, high) in enumerate((AMPLITUDES, PHASES))
    )
    x = tf.tile(points(number)[None], (tf.shape(bits)[0], 1))
    as_float = lambda t: tf.cast(t[..., None], keras.config.floatx())  # noqa: E731
    return as_float(x), as_float(sine(x, amplitude, phase))
