import pytest
import ring_model


def test_a_ring_passes_on_twice_the_bytes_whatever_its_length():
    for replicas in (2, 16, 256):
        seconds = ring_model.reduce_seconds(1e9, replicas, bandwidth=1e9)
        assert seconds == pytest.approx(2 * (replicas - 1) / replicas)
    # And 510 times the latency of a link.
    assert ring_model.reduce_seconds(0, 256, 1e9, latency=1e-6) == pytest.approx(510e-6)


def test_where_replicas_have_the_balanced_number_of_tasks_half_the_time_is_reducing():
    links = dict(size=1e6, replicas=4, bandwidth=1e9, latency=1e-5)
    tasks = ring_model.balanced_tasks(task_seconds=1e-4, **links)
    reducing = ring_model.reduce_seconds(**links)
    assert tasks * 1e-4 == pytest.approx(reducing)
    seconds = ring_model.step_seconds(tasks=400, task_seconds=1e-4, **links)
    assert seconds == pytest.approx(100 * 1e-4 + reducing)
