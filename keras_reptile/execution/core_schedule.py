"""Tasks on the cores of a CPU, one of them cut in two where they do not divide.

McNaughton's rule: tasks laid end to end and cut into as many equal lengths as there are cores keep
every core busy to the end. A task across a cut has its first steps at the start of the next core's
length and its last ones at the end of this one's, so that they never run at once.

Reference: McNaughton, 1959, "Scheduling with deadlines and loss functions", theorem 3.1.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf


class Piece(NamedTuple):
    """The steps number `first` to before number `last` of a task."""

    task: int
    first: int
    last: int


def lanes(tasks: int, steps: int, cores: int) -> list[list[Piece]]:
    """What each core does, in its order.

    Example:

    >>> for lane in lanes(tasks=3, steps=4, cores=2):
    ...     print([tuple(piece) for piece in lane])
    [(0, 0, 4), (1, 2, 4)]
    [(1, 0, 2), (2, 0, 4)]
    """
    cores = min(cores, tasks)
    ends = [tasks * steps * lane // cores for lane in range(cores + 1)]
    return [_between(start, end, steps) for start, end in itertools.pairwise(ends)]


def _between(start, end, steps) -> list[Piece]:
    """The pieces of tasks that lie between two places on the line."""
    pieces = []
    while start < end:
        task, done = divmod(start, steps)
        here = min(steps - done, end - start)
        # What lies before a cut are the last steps, what lies after it the first.
        first = steps - here if done == 0 else 0
        pieces.append(Piece(task, first, first + here))
        start += here
    return pieces


def run(
    lanes: list[list[Piece]], start: Any, advance: Callable, finish: Callable, steps: int
) -> list:
    """Runs every task from the same start, in a graph, the lanes side by side.

    Args:
        lanes: List of lists of `Piece`.
        start: Structure of tensors, what the tasks start from.
        advance: Function `(piece, reached)` to what a piece makes of the structure.
        finish: Function `(task, reached)` to a structure of tensors, called after the last step.
        steps: Integer, the steps of a task.

    Returns:
        List of what `finish` returned, in the order of the tasks.
    """
    reached: dict[int, Any] = {}
    finished: dict[int, Any] = {}
    # The first steps of a task are in a later lane than its last ones.
    for lane in reversed(lanes):
        before: list = []
        for piece in lane:
            with tf.control_dependencies(before):
                found = advance(piece, reached.get(piece.task, start))
                reached[piece.task] = found
                if piece.last == steps:
                    found = finished[piece.task] = finish(piece.task, found)
            before = tf.nest.flatten(found)
    return [finished[task] for task in range(len(finished))]
