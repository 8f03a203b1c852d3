"""Meta-batches of tasks: their positions in a pool are drawn, then the images there are read."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_reptile.episodes.class_groups import ClassGroups, class_groups
from keras_reptile.episodes.class_pool import ClassPool
from keras_reptile.episodes.episode_format import CLASSES
from keras_reptile.episodes.network_inputs import UNIT
from keras_reptile.episodes.sampling import draw_tasks, tail_of
from keras_reptile.episodes.task_spec import TaskSpec


class PoolTensors(NamedTuple):
    """A pool as tensors: its images, the sizes and first positions of its classes, their groups.

    `groups` is `None` for tasks from all classes.
    """

    images: tf.Tensor
    counts: tf.Tensor
    offsets: tf.Tensor
    groups: ClassGroups | None = None


@functools.lru_cache(maxsize=100)
def _traced(spec: TaskSpec, size: int) -> Callable:
    """Returns `draw_tasks` for tasks of one kind, traced at its first call."""

    def drawn(counts, offsets, seed, first, groups):
        return draw_tasks(spec, counts, offsets, seed, first, size, groups)

    return tf.function(drawn, autograph=False, reduce_retracing=True)


class MetaBatches(NamedTuple):
    """What meta-batches contain: a `TaskSpec`, and arguments of `episode_dataset`.

    `with_classes` says whether episodes have the key "classes".
    """

    spec: TaskSpec
    scale: bool
    with_classes: bool
    within_groups: bool = False

    def tensors(self, pool: ClassPool) -> PoolTensors:
        """Returns the tensors from which these tasks are drawn.

        Raises:
            ValueError: If the pool has no group with enough classes, and tasks are within groups.
        """
        groups = class_groups(pool, self.spec.ways) if self.within_groups else None
        # These are eager tensors: the pipeline captures them by reference. It would copy arrays
        # into its graph.
        counts, offsets = (tf.convert_to_tensor(n) for n in (pool.counts, pool.offsets))
        return PoolTensors(pool.tensor, counts, offsets, groups)

    def positions(
        self, pool: PoolTensors, seed: Any, first: Any, size: int, bits_of: Callable | None = None
    ) -> tuple:
        """Returns the random part of `size` tasks. The arguments are those of `draw_tasks`."""
        return draw_tasks(
            self.spec, pool.counts, pool.offsets, seed, first, size, pool.groups, bits_of
        )

    def traced_positions(self, pool: PoolTensors, seed: int, first: tf.Tensor, size: int) -> tuple:
        """Returns `positions` as one operation of a graph. All pools share its trace."""
        seed = tf.constant(seed, tf.int64)
        return _traced(self.spec, size)(pool.counts, pool.offsets, seed, first, pool.groups)

    def episodes(self, pool: PoolTensors, positions: tuple) -> dict[str, Any]:
        """Returns the meta-batch of these positions, see `episode_dataset`."""
        images, order, classes = positions
        size, spec = images.shape[0], self.spec
        tail = {} if spec.tail_shots is None else {"tail": tf.tile(tail_of(spec)[None], (size, 1))}
        by_name = {CLASSES: tf.cast(classes, tf.int32)} if self.with_classes else {}
        return {
            "support": self._examples(pool, images[..., : spec.shots]),
            "order": order,
            "query": self._examples(pool, images[..., spec.shots :]),
            **tail,
            **by_name,
        }

    def _examples(self, pool, indices):
        size, ways, each = indices.shape
        x = tf.gather(pool.images, tf.reshape(indices, (size, ways * each)))
        if self.scale and x.dtype == tf.uint8:
            x = tf.cast(x, tf.float32) * UNIT
        labels = np.repeat(np.arange(ways, dtype=np.int32), each)
        return x, tf.tile(labels[None], (size, 1))
