"""Readers of the numbers in a run's CSV and JSON files.

Each takes text, as in a CSV, or a number, as in JSON. It raises `ValueError` for any other value.
"""

import math
from typing import Any

# Larger numbers are not counts of anything.
MAX_COUNT = 2**63 - 1


def count(value: Any) -> int:
    """Returns a whole number of at least 0.

    Example:

    >>> count("12"), count(12)
    (12, 12)
    """
    digits = value.isascii() and value.isdigit() and len(value) < 20 if _is_text(value) else False
    is_count = digits or (type(value) is int and value >= 0)
    if not is_count or int(value) > MAX_COUNT:
        raise ValueError(f"{_shown(value)} is not a whole number of at least 0")
    return int(value)


def number(value: Any) -> float:
    """Returns a number, which may be NaN or infinity."""
    if _is_text(value) and "_" not in value:
        return float(value)
    if type(value) not in (int, float) or abs(value) > 1e308:
        raise ValueError(f"{_shown(value)} is not a number")
    return float(value)


def non_negative(value: Any) -> float:
    """Returns a finite number of at least 0."""
    found = number(value)
    if not 0 <= found < math.inf:
        raise ValueError(f"{_shown(value)} is not a number of at least 0")
    return found


def fraction(value: Any) -> float:
    """Returns a number in 0 to 1, such as an accuracy."""
    found = number(value)
    if not 0 <= found <= 1:
        raise ValueError(f"{_shown(value)} is not in 0 to 1")
    return found


def half_width(value: Any) -> float:
    """Returns half the width of an interval, at least 0. It is NaN for a single task."""
    found = number(value)
    return found if math.isnan(found) else non_negative(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _shown(value: Any) -> str:
    return repr(value)[:40]
