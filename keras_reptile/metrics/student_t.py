"""Quantiles of Student's t-distribution, for intervals over few tasks."""

from typing import Any

import numpy as np

# The 97.5 % quantile of the normal distribution.
Z_95 = 1.959964

# Up to this many degrees of freedom a table holds the quantile. Above, a series gives it.
TABLE_SIZE = 30


def probability_within(t: float, freedom: int) -> float:
    """Returns P(|T| < t) for an integer number of degrees of freedom.

    With theta = arctan(t / sqrt(freedom)), for odd and for even degrees of freedom:

        2/pi (theta + sin theta (cos theta + 2/3 cos^3 theta + ... up to cos^(freedom - 2)))
        sin theta (1 + 1/2 cos^2 theta + 1*3/(2*4) cos^4 theta + ... up to cos^(freedom - 2))

    Args:
        t: Float of at least 0.
        freedom: Integer of at least 1.

    Example:

    >>> probability_within(1.0, 1)  # Cauchy's distribution
    0.5

    Reference: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    theta = np.arctan(t / np.sqrt(freedom))
    odd = freedom % 2
    term, total = (np.cos(theta) if odd else 1.0), 0.0
    for power in range(odd, freedom - 1, 2):
        total += term
        term *= np.cos(theta) ** 2 * (power + 1) / (power + 2)
    area = np.sin(theta) * total
    return float(2 / np.pi * (theta + area) if odd else area)


def _solved(freedom: int) -> float:
    """Returns the t with P(|T| < t) = 0.95, by bisection."""
    low, high = 0.0, 16.0
    for _ in range(60):
        middle = (low + high) / 2
        inside = probability_within(middle, freedom) < 0.95
        low, high = (middle, high) if inside else (low, middle)
    return high


TABLE = tuple(_solved(freedom) for freedom in range(1, TABLE_SIZE + 1))


def series(freedom: Any) -> Any:
    """Computes the 97.5 % quantile for more than `TABLE_SIZE` degrees of freedom, to 7 digits.

    The series is an expansion around the quantile of the normal distribution, in powers of
    1 / freedom.

    Args:
        freedom: Float, array or tensor.

    Reference: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z = Z_95
    powers = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(factor / freedom**i for i, factor in enumerate(powers))


def quantile(freedom: int) -> float:
    """Returns the 97.5 % quantile of Student's t-distribution.

    95 % of the distribution lie between it and its negative.

    Args:
        freedom: Integer of at least 1, the degrees of freedom.

    Example:

    >>> round(quantile(9), 4), round(quantile(1000), 4)
    (2.2622, 1.9623)
    """
    return TABLE[freedom - 1] if freedom <= TABLE_SIZE else float(series(freedom))
