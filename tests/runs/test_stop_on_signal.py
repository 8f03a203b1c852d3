"""What a signal does to a run; with whole programs in tests/programs/test_programs.py."""

import os
import select
import signal
import sys
import threading
import time

import pytest

from keras_reptile.runs import stop_on_signal
from keras_reptile.runs.stop_on_signal import SIGNALS, Interrupted, StopOnSignal


@pytest.fixture(autouse=True)
def handlers_are_put_back():
    # That of SIGUSR1, else, ends the process.
    before = {s: signal.getsignal(s) for s in SIGNALS}
    yield
    assert {s: signal.getsignal(s) for s in SIGNALS} == before


def signalled(*numbers):
    """What is left of `StopOnSignal` after these signals."""
    with StopOnSignal() as stop:
        for number in numbers:
            signal.raise_signal(number)
    return stop


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_answered_and_stops_after_a_step(number, capsys):
    stop = signalled(number)
    name = signal.Signals(number).name
    assert capsys.readouterr().err == (
        f"{name}: stopping after this meta-iteration, and saving. This takes some seconds.\n"
    )
    stop.set_params({"steps": 3})
    with pytest.raises(Interrupted):
        stop.on_train_batch_end(1)
    stop.on_train_batch_end(2)
    with pytest.raises(Interrupted):
        stop.on_epoch_end(0)


def test_it_is_answered_also_where_python_does_not_come_to_its_handler(monkeypatch, capsys):
    # As while TensorFlow compiles.
    monkeypatch.setattr(StopOnSignal, "_handle", lambda *_: None)
    assert not signalled(signal.SIGTERM).asked
    assert "SIGTERM: stopping" in capsys.readouterr().err


def test_a_second_signal_is_harmless(capsys):
    stop = signalled(signal.SIGTERM, signal.SIGTERM)
    assert stop.asked and stop.count == 2
    assert capsys.readouterr().err.splitlines()[1] == (
        "SIGTERM: still saving. A third signal ends at once, without saving."
    )


def second_signal_within_the_first(place):
    """Raises one as the first one's handler begins instruction number `place`, if there is one."""
    left = [place]

    def trace(frame, event, argument):
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] == -1:
                signal.raise_signal(signal.SIGTERM)
        return trace

    with StopOnSignal() as stop:
        sys.settrace(trace)
        try:
            stop._handle(signal.SIGTERM, None)
        finally:
            sys.settrace(None)
    assert stop.asked
    return left[0] < 0


def test_a_second_signal_may_come_anywhere_in_the_handler_of_the_first(capsys):
    def waits(number, frame):
        raise AssertionError("The handler waits for itself.")

    before = signal.signal(signal.SIGALRM, waits)
    signal.alarm(20)
    try:
        place = 0
        while second_signal_within_the_first(place):
            place += 1
        assert place > 5
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_a_third_signal_ends_at_once(capsys):
    with pytest.raises(KeyboardInterrupt), StopOnSignal():
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        time.sleep(60)
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_third_signal_ends_the_process_where_python_does_not_run(monkeypatch, capsys):
    ended = []
    monkeypatch.setattr(stop_on_signal, "GRACE", 0.01)
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(StopOnSignal, "_handle", lambda *_: None)
    with StopOnSignal():
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
        deadline = time.monotonic() + 60
        while not ended and time.monotonic() < deadline:
            time.sleep(0.01)
    assert ended == [128 + signal.SIGTERM]


def test_a_signal_that_is_ignored_stays_ignored(capsys):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopOnSignal() as stop:
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            signal.raise_signal(signal.SIGHUP)
        assert not stop.asked and capsys.readouterr().err == ""
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_signals_are_left_to_others():
    seen = []
    before = signal.signal(signal.SIGUSR2, lambda *_: seen.append("ours"))
    try:
        assert not signalled(signal.SIGUSR2).asked and seen == ["ours"]
    finally:
        signal.signal(signal.SIGUSR2, before)


def test_in_another_thread_nothing_is_handled():
    found = []

    def use():
        with StopOnSignal() as stop:
            found.append((stop.before, signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert found == [({}, signal.getsignal(signal.SIGINT))]


def test_nobody_reads_the_answer(monkeypatch):
    class Gone:
        def isatty(self):
            return False

        def write(self, text):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("sys.stderr", Gone())
    assert signalled(signal.SIGTERM).asked


@pytest.mark.process
def test_a_closed_terminal_is_left():
    ours, theirs = os.openpty()
    child = os.fork()
    if child == 0:
        os.close(ours)
        os.dup2(theirs, 1)
        os.dup2(theirs, 2)
        while not select.select([1], [], [], 60)[0]:
            pass
        stop_on_signal.leave_closed_terminal()
        try:
            os.write(1, b"nowhere")
            os._exit(0)
        except OSError:
            os._exit(1)
    os.close(theirs)
    os.close(ours)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
