"""Equal work for every core, where the tasks of a meta-batch cannot be shared out whole.

Five tasks on two cores take three rounds, and one core is idle in the last. Cut one task between
two of its inner steps, and both cores are done after two and a half (R. McNaughton, Scheduling
with Deadlines and Loss Functions, Management Science 6, 1959: his wrap-around rule).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from keras_reptile.inner_optimizers import InnerState


class Piece(NamedTuple):
    """Inner steps of one task, number `first` up to but without `last`."""

    task: int
    first: int
    last: int


def lanes(tasks: int, steps: int, cores: int) -> list[list[Piece]]:
    """What each core runs, one piece after another, so that all end together.

    The steps of all tasks in one row are cut into lanes of equal length. A task that is cut begins
    in the second of its two lanes, before all else there, and is ended by the first, after all
    else there: its parts never run at once.

    Args:
        tasks: Integer, the number of tasks.
        steps: Integer, the inner steps of each.
        cores: Integer.

    Returns:
        List of lists of `Piece`, at most `cores` of them.

    Example:

    >>> for lane in lanes(tasks=5, steps=5, cores=2):
    ...     print(*map(tuple, lane))
    (0, 0, 5) (1, 0, 5) (2, 2, 5)
    (2, 0, 2) (3, 0, 5) (4, 0, 5)
    """
    total = tasks * steps
    length = max(steps, -(-total // cores))
    cuts = [(start, min(start + length, total)) for start in range(0, total, length)]
    return [_lane(steps, start, end) for start, end in cuts]


def _lane(steps, start, end) -> list[Piece]:
    """The pieces of the row's steps from `start` to `end`."""
    pieces = []
    for task in range(start // steps, -(-end // steps)):
        here = min(end, (task + 1) * steps) - max(start, task * steps)
        begins = start > task * steps or here == steps
        pieces.append(Piece(task, 0, here) if begins else Piece(task, steps - here, steps))
    return pieces


def in_lanes(
    piece_fn: Callable, plan: list[list[Piece]], tasks: Any, theta: list, state: InnerState
) -> Any:
    """Runs every task from the same weights and inner state, cut and placed as planned.

    Args:
        piece_fn: Function `(task, state, weights, (first, last))` to a tuple of the `Adaptation` of
            these inner steps and of anything else.
        plan: What `lanes` returns.
        tasks: Structure of tensors, each with the tasks along its first axis.
        theta: List of tensors, the weights that all start from.
        state: The `InnerState` that all start from.

    Returns:
        The structure that `piece_fn` returns, with the tasks along a new first axis.
    """
    found: dict[int, Any] = {}

    def run(piece, after):
        """One piece, from where the task's earlier steps led; waits for the piece before it."""
        task = tf.nest.map_structure(lambda t: t[piece.task], tasks)
        earlier = found[piece.task][0] if piece.first else None
        start = (earlier.state, earlier.weights) if earlier else (state, tuple(theta))
        with tf.control_dependencies(after):
            bounds = tf.constant(piece.first), tf.constant(piece.last)
            adaptation, *others = result = piece_fn(task, *start, bounds)
        if earlier:
            adaptation = adaptation._replace(first_loss=earlier.first_loss)
        found[piece.task] = type(result)(adaptation, *others)
        return [adaptation.weights[0]]

    # The second lane's first piece comes before the first lane's last: hence the lanes backwards.
    for lane in reversed(plan):
        after: list = []
        for piece in lane:
            after = run(piece, after)
    return tf.nest.map_structure(lambda *each: tf.stack(each), *(found[i] for i in sorted(found)))
