"""Numbers of state files: what a run writes is read, and nothing else."""

import math

import pytest

from keras_reptile.files import cells

REFUSED = {
    cells.count: [
        "",
        "x",
        "-1",
        "1.0",
        "1_0",
        " 1",
        "²",
        "9" * 400,
        -1,
        1.0,
        True,
        None,
        [],
        2**63,
    ],
    cells.number: ["", "x", "1_0", True, None, [], 10**400],
    cells.non_negative: ["-1", "nan", "inf", "1e999", -0.1, math.nan, math.inf, None],
    cells.fraction: ["1.01", "-0.1", "nan", 2, math.nan, True],
    cells.half_width: ["-1", "inf", "x", None],
}
READ = {
    cells.count: [("0", 0), ("12", 12), (7, 7)],
    cells.number: [("1e-3", 0.001), (-2, -2.0), ("inf", math.inf)],
    cells.non_negative: [("0.5", 0.5), (0, 0.0)],
    cells.fraction: [("1.0", 1.0), (0, 0.0)],
    cells.half_width: [("0.1", 0.1), (0.1, 0.1)],
}


@pytest.mark.parametrize(
    ("read", "value", "expected"), [(r, *each) for r, pairs in READ.items() for each in pairs]
)
def test_what_a_run_writes_is_read(read, value, expected):
    found = read(value)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("read", "value"), [(r, v) for r, values in REFUSED.items() for v in values]
)
def test_another_value_is_refused(read, value):
    with pytest.raises(ValueError):
        read(value)


def test_the_interval_of_a_single_task_is_no_number():
    assert math.isnan(cells.half_width("nan"))
