"""Classes in groups, such as the characters of an alphabet: a task draws from one group."""

import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_reptile.episodes.class_pool import ClassPool


class ClassGroups(NamedTuple):
    """The groups of a pool that have enough classes for a task.

    members: int64 `(classes,)`, the positions of the classes in the pool, group by group.
    starts: int64 `(groups,)`, the position of each group's first class in `members`.
    sizes: int64 `(groups,)`, the number of classes of each group.
    """

    members: tf.Tensor
    starts: tf.Tensor
    sizes: tf.Tensor


def large_groups(pool: ClassPool, ways: int) -> list[list[int]]:
    """Returns the positions of the classes of each group that has at least `ways` classes.

    Raises:
        ValueError: If the pool has no groups, or all of them are too small.

    Example:

    >>> groups = ["Greek", "Latin", "Greek", "Latin", "Futurama"]
    >>> large_groups(ClassPool(np.zeros((5, 2)), [1] * 5, groups=groups), ways=2)
    [[0, 2], [1, 3]]
    """
    if pool.groups is None:
        raise ValueError(
            "Tasks within groups need a pool whose classes have groups. Received: a pool without "
            "`groups`. Omniglot's pools have them; make others with `ClassPool(..., groups=...)`."
        )
    positions: dict = {}
    for position, group in enumerate(pool.groups):
        positions.setdefault(group, []).append(position)
    large = [members for members in positions.values() if len(members) >= ways]
    if not large:
        raise ValueError(
            f"Tasks within groups need a group with at least `ways` classes. Received: ways={ways},"
            f" with {max(map(len, positions.values()))} classes in the largest of "
            f"{len(positions)} groups. Lower `ways`."
        )
    return large


def class_groups(pool: ClassPool, ways: int) -> ClassGroups:
    """Returns the `large_groups` of a pool as tensors.

    Example:

    >>> pool = ClassPool(np.zeros((5, 2)), [1] * 5, groups=["a", "b", "a", "b", "c"])
    >>> found = class_groups(pool, ways=2)
    >>> found.members.numpy().tolist(), found.sizes.numpy().tolist()
    ([0, 2, 1, 3], [2, 2])
    """
    large = large_groups(pool, ways)
    sizes = [len(members) for members in large]
    starts = [0, *itertools.accumulate(sizes)][:-1]
    columns = (np.concatenate(large), starts, sizes)
    return ClassGroups(*[tf.constant(column, tf.int64) for column in columns])
