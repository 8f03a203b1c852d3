"""Student's t against tables, numerical integration and simulated intervals."""

import math

import numpy as np
import pytest

from keras_reptile.metrics.confidence import confidence_95
from keras_reptile.metrics.student_t import TABLE, TABLE_SIZE, probability_within, quantile, series

# The 97.5 % column of published tables of Student's t.
PUBLISHED = {1: 12.70620, 2: 4.302653, 3: 3.182446, 4: 2.776445, 5: 2.570582, 9: 2.262157}
PUBLISHED |= {10: 2.228139, 19: 2.093024, 29: 2.045230, 30: 2.042272, 31: 2.039513}
PUBLISHED |= {40: 2.021075, 99: 1.984217, 120: 1.979930, 1000: 1.962339}


@pytest.mark.parametrize(("freedom", "expected"), PUBLISHED.items())
def test_quantiles_are_those_of_published_tables(freedom, expected):
    assert quantile(freedom) == pytest.approx(expected, abs=6e-6 if freedom == 1 else 1e-6)


@pytest.mark.parametrize("freedom", [1, 2, 3, 8, 25])
def test_the_probability_is_the_integral_of_the_density(freedom):
    x, width = np.linspace(0, 1.5, 2001, retstep=True)
    scale = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2) / math.sqrt(freedom * math.pi)
    density = scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    area = width * (density.sum() - (density[0] + density[-1]) / 2)
    assert probability_within(1.5, freedom) == pytest.approx(2 * area, abs=1e-6)


def test_the_series_goes_on_where_the_table_ends():
    assert series(TABLE_SIZE) == pytest.approx(TABLE[-1], abs=1e-6)
    assert series(10**9) == pytest.approx(1.959964, abs=1e-6)


@pytest.mark.parametrize("tasks", [2, 5, 10])
def test_an_interval_over_few_tasks_covers_the_mean_in_95_of_100_evaluations(tasks):
    values = np.random.RandomState(0).randn(4000, tasks)
    covered = np.mean([abs(v.mean()) <= confidence_95(v) for v in values])
    # Four standard errors of 4,000 evaluations. With 1.96 it would be 0.70, 0.88 and 0.92.
    assert covered == pytest.approx(0.95, abs=0.014)
