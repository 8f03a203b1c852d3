"""Functions that run in turn and meet for joint work."""

import threading

import pytest

from keras_reptile.runs import together
from keras_reptile.runs.stop_on_signal import Flag, Interrupted
from keras_reptile.runs.turns import Cancelled, Turn


class Counter:
    """In place of a model: it counts the joint steps that it takes part in."""

    def __init__(self, done):
        self.meta_iteration = done


@pytest.fixture
def groups(monkeypatch):
    """The counters that step together, in place of programs."""
    found = []

    def run(self, models, data):
        found.append([model.meta_iteration for model in models])
        for model in models:
            model.meta_iteration += 1
        return [{"number": number} for number in data]

    monkeypatch.setattr(together.JointSteps, "run", run)
    return found


def counting(done, end, number):
    model = Counter(done)

    def run(turn):
        answers = []
        while model.meta_iteration < end:
            logs, share = turn.ask((model, number))
            answers.append((logs["number"], share >= 0))
        return answers

    return Turn(run)


def test_those_that_are_behind_catch_up_and_then_all_step_together(groups):
    turns = [counting(2, 4, "a"), counting(0, 4, "b"), counting(2, 3, "c")]
    together._take_turns(turns, Flag())
    assert groups == [[0], [1], [2, 2, 2], [3, 3]]
    assert [turn.result for turn in turns] == [
        [("a", True)] * 2,
        [("b", True)] * 4,
        [("c", True)],
    ]


def test_only_one_runs_at_a_time(groups):
    running, most = [], []

    def run(turn):
        model = Counter(0)
        while model.meta_iteration < 3:
            running.append(turn)
            most.append(len(running))
            running.remove(turn)
            turn.ask((model, None))

    together._take_turns([Turn(run) for _ in range(3)], Flag())
    assert most == [1] * 9


def test_an_error_ends_all_and_leaves_no_thread(groups):
    before, ended = threading.active_count(), []

    def waits(turn):
        try:
            turn.ask((Counter(0), None))
        except Cancelled:
            ended.append("cancelled")
            raise

    def fails(turn):
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        together._take_turns([Turn(waits), Turn(fails)], Flag())
    assert ended == ["cancelled"] and groups == []
    assert threading.active_count() == before


def test_a_signal_at_the_end_of_the_last_is_not_lost_and_none_begins_after_it(groups):
    stopped, begun = Flag(), []

    def run(turn):
        begun.append(turn)
        stopped.set()
        return "tested"

    turns = [Turn(run), Turn(run)]
    with pytest.raises(Interrupted):
        together._take_turns(turns, stopped)
    assert begun == turns[:1] and turns[0].result == "tested"
