import collections

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_reptile.execution.core_schedule import Piece, lanes, run

COUNTS = st.integers(1, 40)


def times(plan):
    """Of each piece when it starts, if every core begins at once and rests never."""
    for lane in plan:
        time = 0
        for piece in lane:
            yield piece, time
            time += piece.last - piece.first


@given(tasks=COUNTS, steps=COUNTS, cores=COUNTS)
def test_every_step_is_in_one_piece_and_no_core_has_more_than_its_share(tasks, steps, cores):
    plan = lanes(tasks, steps, cores)
    done = collections.Counter(
        (p.task, step) for lane in plan for p in lane for step in range(p.first, p.last)
    )
    assert done == {(task, step): 1 for task in range(tasks) for step in range(steps)}
    share = tasks * steps / min(cores, tasks)
    lengths = [sum(p.last - p.first for p in lane) for lane in plan]
    assert max(lengths) < share + 1 and min(lengths) > share - 1


@given(tasks=COUNTS, steps=COUNTS, cores=COUNTS)
def test_a_task_in_two_pieces_has_done_its_first_before_its_last_begins(tasks, steps, cores):
    begins = collections.defaultdict(list)
    for piece, time in times(lanes(tasks, steps, cores)):
        begins[piece.task].append((piece.first, time, time + piece.last - piece.first))
    for pieces in begins.values():
        assert len(pieces) <= 2
        if len(pieces) == 2:
            (_, _, ended), (_, begun, _) = sorted(pieces)
            # A step later at most, where steps do not divide among cores.
            assert ended <= begun + 1


def test_tasks_that_divide_are_left_whole():
    assert lanes(4, 5, 2) == [
        [Piece(0, 0, 5), Piece(1, 0, 5)],
        [Piece(2, 0, 5), Piece(3, 0, 5)],
    ]


@pytest.mark.parametrize("cores", [1, 2, 3, 7])
def test_every_task_makes_all_its_steps_in_their_order(cores):
    """A step k of task i takes x to 10 x + i + k, so that the digits tell what was done."""
    steps = 3

    @tf.function
    def values():
        def advance(piece, reached):
            for k in range(piece.first, piece.last):
                reached = 10 * reached + piece.task + k
            return reached

        def finish(task, reached):
            return reached, tf.constant(task)

        return run(lanes(5, steps, cores), tf.constant(0), advance, finish, steps)

    found = [(int(value), int(task)) for value, task in values()]
    assert found == [(12, 0), (123, 1), (234, 2), (345, 3), (456, 4)]
