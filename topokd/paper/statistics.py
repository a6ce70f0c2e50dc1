"""Means over seeds with their intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from topokd.experiments.study import inference
from topokd.experiments.study.inference import half_width

LEVEL = 0.95
MARGIN = 0.5  # points of mIoU: a difference inside it does not matter
POWER = 0.8


@dataclass(frozen=True)
class Interval:
    """``mean`` +- ``half_width`` from ``n`` values; the half-width is NaN for fewer than two values, the mean for none.

    >>> Interval(1.0, 0.25, 3).excludes(0.5), Interval(1.0, float("nan"), 1).excludes(0.5)
    (True, False)
    """

    mean: float
    half_width: float
    n: int

    def excludes(self, value: float) -> bool:
        """Whether ``value`` lies outside the interval; False without an interval."""
        return abs(self.mean - value) > self.half_width

    def within(self, margin: float) -> bool:
        """Whether two one-sided tests at 5 % place the mean inside +-``margin`` (TOST: the 90 % interval lies inside).

        >>> Interval(0.1, 0.3, 10).within(0.5), Interval(0.1, 0.6, 10).within(0.5), Interval(0.0, 0.0, 1).within(0.5)
        (True, False, False)
        """
        if self.n < 2 or math.isnan(self.half_width):
            return False
        shrink = float(stats.t.ppf(LEVEL, self.n - 1)) / _quantile(self.n)
        return abs(self.mean) + self.half_width * shrink < margin

    @property
    def sd(self) -> float:
        """Standard deviation of the values; NaN for fewer than two.

        >>> round(interval([1.0, 2.0, 3.0]).sd, 6)
        1.0
        """
        return self.half_width * math.sqrt(self.n) / _quantile(self.n) if self.n > 1 else math.nan

    def with_sd(self, least: float) -> Interval:
        """The interval of ``n`` values with this mean and a standard deviation of at least ``least``.

        >>> round(interval([1.0, 2.0, 3.0]).with_sd(2.0).half_width, 4)
        4.9683
        """
        if self.n < 2 or not self.sd < least:
            return self
        return Interval(self.mean, least * _quantile(self.n) / math.sqrt(self.n), self.n)

    def scaled(self, factor: float) -> Interval:
        """The interval of the same values in another unit."""
        return Interval(self.mean * factor, self.half_width * abs(factor), self.n)

    def text(self, digits: int = 1, sign: bool = False) -> str:
        """``mean ± half-width`` for readers; a dash where nothing was measured."""
        if not self.n:
            return "–"
        mean = signed(self.mean, digits) if sign else signed(self.mean, digits).lstrip("+")
        return mean if math.isnan(self.half_width) else f"{mean} ± {self.half_width:.{digits}f}"


def _quantile(n: int) -> float:
    return float(stats.t.ppf((1 + LEVEL) / 2, n - 1))


def pooled_sd(intervals: Iterable[Interval]) -> float:
    """Standard deviation of the values of all intervals around their own means; 0 without any.

    Three seeds give a standard deviation only within a factor of two, and the smallest of several is too small.

    >>> round(pooled_sd([interval([1.0, 2.0, 3.0]), interval([5.0, 5.0, 5.0])]) ** 2, 6)
    0.5
    """
    several = [one for one in intervals if one.n > 1]
    freedom = sum(one.n - 1 for one in several)
    return math.sqrt(sum((one.n - 1) * one.sd**2 for one in several) / freedom) if freedom else 0.0


def signed(value: float, digits: int = 1) -> str:
    """``value`` with its sign: a minus (not a hyphen) below zero, a plus above, none for what rounds to zero.

    >>> signed(-1.26), signed(-0.01), signed(3.0, 2)
    ('−1.3', '0.0', '+3.00')
    """
    rounded = round(value, digits) + 0.0  # turns -0.0 into 0.0
    return f"{rounded:{'+' if rounded else ''}.{digits}f}".replace("-", "−")


def two_digits(value: float) -> str:
    """Two digits that count, or all before the point.

    >>> two_digits(1234.5), two_digits(12.34), two_digits(0.0321)
    ('1,234', '12', '0.032')
    """
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def interval(values: Iterable[float], level: float = LEVEL) -> Interval:
    """Student's interval: mean(x) +- `topokd.experiments.study.inference.half_width`.

    >>> three = interval([1.0, 2.0, 3.0])
    >>> three.mean, round(three.half_width, 4), three.n
    (2.0, 2.4841, 3)
    """
    x = [float(value) for value in values]
    return Interval(float(np.mean(x)) if x else math.nan, half_width(x, level), len(x))


def seeds_to_detect(interval: Interval, effect: float, most: int = 200) -> int | None:
    """Number of seeds that detect a true difference ``effect`` (95 % interval excludes 0) with a probability of 80 %.

    As `topokd.experiments.study.inference.seeds_needed`, with the standard deviation of the paired differences that
    gave ``interval``. Three seeds give it only within a factor of two.

    Returns:
        None with fewer than two seeds, or if more than ``most`` would be needed.

    >>> seeds_to_detect(interval([0.0, 1.0, 2.0, 1.0]), effect=1.0)
    8
    """
    if interval.n < 2 or math.isnan(interval.half_width):
        return None
    return inference.seeds_needed(effect, interval.sd, POWER, largest=most) if interval.sd else 2


def paired(treatment: Mapping[int, float], control: Mapping[int, float], level: float = LEVEL) -> Interval:
    """Interval of ``treatment[seed] - control[seed]`` over their common seeds.

    Runs of one seed share teacher, data order and initial weights, so what varies with the seed cancels.

    >>> paired({0: 3.0, 1: 4.0, 2: 9.0}, {0: 1.0, 1: 2.0}).mean
    2.0
    """
    return interval([treatment[seed] - control[seed] for seed in sorted(set(treatment) & set(control))], level)
