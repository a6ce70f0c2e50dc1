import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from topokd.paper.statistics import Interval, interval, paired

VALUES = st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=2, max_size=8)


@given(VALUES)
@settings(deadline=None)
def test_equals_scipy_and_is_order_free(values):
    estimate = interval(values)
    error = stats.sem(values)
    if error > 1e-9:
        low, high = stats.t.interval(0.95, len(values) - 1, np.mean(values), error)
        assert estimate.mean - estimate.half_width == pytest.approx(low, abs=1e-6)
        assert estimate.mean + estimate.half_width == pytest.approx(high, abs=1e-6)
    assert interval(values[::-1]).half_width == pytest.approx(estimate.half_width, abs=1e-9)


@given(VALUES, st.floats(-10, 10))
@settings(deadline=None)
def test_pairing_removes_what_the_seeds_share(values, gain):
    control = dict(enumerate(values))
    difference = paired({seed: value + gain for seed, value in control.items()}, control)
    assert difference.mean == pytest.approx(gain, abs=1e-9) and difference.half_width == pytest.approx(0, abs=1e-9)


def test_the_interval_of_three_seeds_equals_a_hand_calculation():
    estimate = interval([0.30, 0.32, 0.37])
    deviation = math.sqrt(((0.03) ** 2 + 0.01**2 + 0.04**2) / 2)
    assert estimate.mean == pytest.approx(0.33) and estimate.half_width == pytest.approx(
        4.302653 * deviation / math.sqrt(3)
    )


def test_fewer_than_two_values_have_no_interval():
    assert interval([]).n == 0 and math.isnan(interval([]).mean)
    one = interval([0.5])
    assert one.mean == 0.5 and math.isnan(one.half_width) and not one.excludes(0)
    assert paired({0: 1.0}, {1: 1.0}).n == 0


def test_an_interval_is_written_with_its_half_width():
    assert Interval(33.333, 2.0, 3).text() == "33.3 ± 2.0"
    assert Interval(0.5, math.nan, 1).text(2, sign=True) == "+0.50"
    assert Interval(math.nan, math.nan, 0).text() == "–"
    assert Interval(0.5, 0.1, 2).scaled(100).text() == "50.0 ± 10.0"


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = [not interval(rng.normal(2.0, 1.0, 3)).excludes(2.0) for _ in range(2000)]
    assert 0.93 < np.mean(hits) < 0.97
