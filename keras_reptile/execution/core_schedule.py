"""The schedule of a CPU's cores: which core computes which steps of which task.

McNaughton's rule: put the tasks one after another on a line, and cut the line into equal parts, one
for each core. All cores are then busy to the end. If a cut divides a task, its first steps are at
the start of the next core's part, and its last steps at the end of this core's part. So they never
run at the same time.

Reference: McNaughton, 1959, "Scheduling with deadlines and loss functions", theorem 3.1.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf


class Segment(NamedTuple):
    """The steps number `first` to before number `last` of a task."""

    task: int
    first: int
    last: int


def core_schedule(tasks: int, steps: int, cores: int) -> list[list[Segment]]:
    """Returns the segments of each core, in the order in which it runs them.

    Example:

    >>> for segments in core_schedule(tasks=3, steps=4, cores=2):
    ...     print([tuple(segment) for segment in segments])
    [(0, 0, 4), (1, 2, 4)]
    [(1, 0, 2), (2, 0, 4)]
    """
    cores = min(cores, tasks)
    ends = [tasks * steps * core // cores for core in range(cores + 1)]
    return [_between(start, end, steps) for start, end in itertools.pairwise(ends)]


def _between(start, end, steps) -> list[Segment]:
    """Returns the segments between two points of the line of tasks."""
    segments = []
    while start < end:
        task, done = divmod(start, steps)
        here = min(steps - done, end - start)
        # A task's last steps are before the cut, its first steps after it.
        first = steps - here if done == 0 else 0
        segments.append(Segment(task, first, first + here))
        start += here
    return segments


def run(
    schedule: list[list[Segment]], start: Any, advance: Callable, finish: Callable, steps: int
) -> list:
    """Runs every task from the same start, in a graph, with all cores in parallel.

    Args:
        schedule: List of lists of `Segment`, one for each core.
        start: Structure of tensors that the tasks start from.
        advance: Function `(segment, so_far)` to the structure after the segment's steps.
        finish: Function `(task, so_far)` to a structure of tensors, called after the last step.
        steps: Integer, the steps of a task.

    Returns:
        List of the results of `finish`, in the order of the tasks.
    """
    so_far: dict[int, Any] = {}
    finished: dict[int, Any] = {}
    # The first steps of a task are on a later core than its last steps.
    for segments in reversed(schedule):
        before: list = []
        for segment in segments:
            with tf.control_dependencies(before):
                result = advance(segment, so_far.get(segment.task, start))
                so_far[segment.task] = result
                if segment.last == steps:
                    result = finished[segment.task] = finish(segment.task, result)
            before = tf.nest.flatten(result)
    return [finished[task] for task in range(len(finished))]
