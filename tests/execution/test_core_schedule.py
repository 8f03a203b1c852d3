import collections

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_reptile.execution.core_schedule import Segment, core_schedule, run

COUNTS = st.integers(1, 40)


def times(schedule):
    """Of each segment when it starts, if every core begins at once and rests never."""
    for core in schedule:
        time = 0
        for segment in core:
            yield segment, time
            time += segment.last - segment.first


@given(tasks=COUNTS, steps=COUNTS, cores=COUNTS)
def test_every_step_is_in_one_piece_and_no_core_has_more_than_its_share(tasks, steps, cores):
    schedule = core_schedule(tasks, steps, cores)
    done = collections.Counter(
        (p.task, step) for core in schedule for p in core for step in range(p.first, p.last)
    )
    assert done == {(task, step): 1 for task in range(tasks) for step in range(steps)}
    share = tasks * steps / min(cores, tasks)
    lengths = [sum(p.last - p.first for p in core) for core in schedule]
    assert max(lengths) < share + 1 and min(lengths) > share - 1


@given(tasks=COUNTS, steps=COUNTS, cores=COUNTS)
def test_a_task_in_two_pieces_has_done_its_first_before_its_last_begins(tasks, steps, cores):
    begins = collections.defaultdict(list)
    for segment, time in times(core_schedule(tasks, steps, cores)):
        begins[segment.task].append((segment.first, time, time + segment.last - segment.first))
    for segments in begins.values():
        assert len(segments) <= 2
        if len(segments) == 2:
            (_, _, ended), (_, begun, _) = sorted(segments)
            # A step later at most, where steps do not divide among cores.
            assert ended <= begun + 1


def test_tasks_that_divide_are_left_whole():
    assert core_schedule(4, 5, 2) == [
        [Segment(0, 0, 5), Segment(1, 0, 5)],
        [Segment(2, 0, 5), Segment(3, 0, 5)],
    ]


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 2, 3, 7])
def test_every_task_makes_all_its_steps_in_their_order(cores):
    """A step k of task i takes x to 10 x + i + k, so that the digits tell what was done."""
    steps = 3

    @tf.function
    def values():
        def advance(segment, so_far):
            for k in range(segment.first, segment.last):
                so_far = 10 * so_far + segment.task + k
            return so_far

        def finish(task, so_far):
            return so_far, tf.constant(task)

        return run(core_schedule(5, steps, cores), tf.constant(0), advance, finish, steps)

    found = [(int(value), int(task)) for value, task in values()]
    assert found == [(12, 0), (123, 1), (234, 2), (345, 3), (456, 4)]
