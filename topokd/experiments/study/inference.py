"""Paired differences over seeds: interval, test, equivalence, power, and correction for several comparisons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from topokd.errors import DataError


@dataclass(frozen=True)
class Difference:
    """Mean of n paired differences with its confidence interval and the p-value of "no difference".

    Attributes:
        mean: mean difference, in the unit of the differences.
        low: lower end of the interval.
        high: upper end of the interval.
        sd: standard deviation of the differences, with n - 1.
        n: number of pairs.
        p: two-sided p-value of the paired t-test.

    Examples:
        >>> result = paired_difference([1.0, 2.0, 3.0])
        >>> result.n, result.sd, result.low < result.mean < result.high
        (3, 1.0, True)
    """

    mean: float
    low: float
    high: float
    sd: float
    n: int
    p: float


@dataclass(frozen=True)
class Equivalence:
    """Whether a difference is smaller than a margin, by two one-sided tests.

    Attributes:
        p: the larger of the two one-sided p-values.
        margin: largest difference that counts as none.
        equivalent: whether p < alpha.

    Examples:
        >>> result = tost([0.1, -0.1, 0.05, -0.05], margin=0.5)
        >>> result.margin, result.p < 0.05, result.equivalent
        (0.5, True, True)
    """

    p: float
    margin: float
    equivalent: bool


def pairs(treatment: Mapping[int, float], control: Mapping[int, float]) -> list[float]:
    """``treatment[seed] - control[seed]`` for the seeds that both have, in the order of the seeds.

    Raises:
        DataError: there are fewer than two common seeds, so that chance cannot be estimated.
    """
    common = sorted(set(treatment) & set(control))
    if len(common) < 2:
        raise DataError(f"{len(common)} common seeds ({common}): a paired difference needs at least two")
    return [treatment[seed] - control[seed] for seed in common]


def half_width(values: Sequence[float], level: float = 0.95) -> float:
    """t_{(1 + level) / 2, n - 1} s / sqrt(n), s with n - 1 in the denominator: half of Student's interval.

    It assumes that the values scatter normally about their mean. With three values it is wide.

    Args:
        values: n of them, differences of paired runs or results of single ones.
        level: level of the interval.

    Returns:
        NaN for fewer than two values.

    Examples:
        >>> round(half_width([1.0, 2.0, 3.0]), 4)
        2.4841
    """
    x = np.asarray(values, np.float64)
    if len(x) < 2:
        return math.nan
    return float(stats.t.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) / math.sqrt(len(x)))


def paired_difference(differences: Sequence[float], level: float = 0.95) -> Difference:
    """mean(d) +- t_{(1 + level) / 2, n - 1} s / sqrt(n), and p = 2 P(T_{n-1} > |mean| sqrt(n) / s).

    Args:
        differences: n >= 2 differences of paired runs.
        level: level of the interval.

    Returns:
        Mean, ends of the interval, and p.

    Examples:
        >>> result = paired_difference([1.0, 2.0, 3.0])
        >>> result.mean, round(result.low, 4), round(result.high, 4), round(result.p, 4)
        (2.0, -0.4841, 4.4841, 0.0742)
    """
    mean, sd, error, freedom = _moments(differences)
    half = half_width(differences, level)
    p = 2 * float(stats.t.sf(abs(mean) / error, freedom)) if error > 0 else float(mean == 0)
    return Difference(mean, mean - half, mean + half, sd, freedom + 1, p)


def tost(differences: Sequence[float], margin: float, alpha: float = 0.05) -> Equivalence:
    """Two one-sided tests: p = max( P(T > (mean + margin) / e), P(T > (margin - mean) / e) ), e = s / sqrt(n).

    The rows are equivalent if both "it is below -margin" and "it is above +margin" are rejected at ``alpha``, which is
    the case exactly if the (1 - 2 alpha) interval lies within +-margin (Schuirmann, 1987).

    Args:
        differences: n >= 2 differences of paired runs.
        margin: above 0, in their unit; chosen before the experiment.
        alpha: level of each test.

    Returns:
        The larger p of the two tests, and whether the rows are equivalent.

    Raises:
        DataError: the margin is not above 0, or there are fewer than two finite differences.

    Examples:
        >>> tost([0.1, -0.1, 0.05, -0.05], margin=0.5).equivalent, tost([0.4, 1.6, -0.6, 0.2], 0.5).equivalent
        (True, False)
    """
    if margin <= 0:
        raise DataError(f"the margin of an equivalence test is {margin}: it must be above 0")
    mean, _, error, freedom = _moments(differences)
    if error == 0:
        return Equivalence(float(abs(mean) >= margin), margin, abs(mean) < margin)
    p = float(max(stats.t.sf((mean + margin) / error, freedom), stats.t.sf((margin - mean) / error, freedom)))
    return Equivalence(p, margin, p < alpha)


def superiority_power(effect: float, sd: float, n: int, alpha: float = 0.05, margin: float = 0.0) -> float:
    """P(the two-sided paired t-test rejects, and |mean| >= margin) for normal differences.

    = int P( |mean| > max(t s / sqrt(n), margin) ) dF(s),  (n - 1) s^2 / sd^2 ~ chi^2_{n-1},  t the quantile at
    1 - alpha / 2; exact by integration over s. Without a margin it is the tail of the noncentral t distribution, which
    SciPy gives as NaN for some large effects. With one, a true difference as large as it is found in half of all cases
    at most.

    Args:
        effect: true mean difference.
        sd: standard deviation of the paired differences, above 0.
        n: pairs.
        alpha: level of the test.
        margin: a smaller mean does not count, even if it is significant.

    Returns:
        The probability, 0 to 1.

    Examples:
        >>> round(superiority_power(effect=1.0, sd=1.0, n=10), 3)
        0.803
        >>> round(superiority_power(effect=0.5, sd=0.8, n=32, margin=0.5), 3)
        0.5
    """
    t = float(stats.t.ppf(1 - alpha / 2, n - 1))
    unit = sd / math.sqrt(n)  # standard deviation of the mean
    reach = np.maximum(t * _deviations(n), margin / unit)  # of the mean in this unit, where a difference counts
    shift = effect / unit
    return float((stats.norm.sf(reach - shift) + stats.norm.cdf(-reach - shift)).mean())


def equivalence_power(sd: float, n: int, margin: float, effect: float = 0.0, alpha: float = 0.05) -> float:
    """P(both one-sided tests reject) for normal differences; exact by integration over their standard deviation.

    = int P( -margin + t s / sqrt(n) < mean < margin - t s / sqrt(n) ) dF(s),  (n - 1) s^2 / sd^2 ~ chi^2_{n-1}

    Args:
        sd: standard deviation of the paired differences, above 0.
        n: pairs.
        margin: margin of the test.
        effect: true mean difference.
        alpha: level of each test.

    Returns:
        The probability, 0 to 1.

    Examples:
        >>> round(equivalence_power(sd=0.5, n=10, margin=0.5), 2)
        0.8
    """
    t = float(stats.t.ppf(1 - alpha, n - 1))
    s = sd * _deviations(n)
    room = (margin - t * s / math.sqrt(n)).clip(min=0.0)
    error = sd / math.sqrt(n)
    inside = stats.norm.cdf((room - effect) / error) - stats.norm.cdf((-room - effect) / error)
    return float(inside.mean())


def seeds_needed(
    effect: float, sd: float, power: float = 0.8, alpha: float = 0.05, largest: int = 1000, margin: float = 0.0
) -> int | None:
    """The smallest number of pairs at which `superiority_power` reaches ``power``; None beyond ``largest``.

    Args:
        effect: true mean difference.
        sd: standard deviation of the paired differences, above 0.
        power: probability to reach.
        alpha: level of the test.
        largest: largest number of pairs that is tried.
        margin: see `superiority_power`.

    Returns:
        Number of pairs, or None.

    Examples:
        >>> seeds_needed(effect=1.0, sd=1.0)
        10
    """
    enough = (n for n in range(2, largest + 1) if superiority_power(effect, sd, n, alpha, margin) >= power)
    return next(enough, None)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values that keep the chance of any false finding below alpha (Holm, 1979).

    With p_(1) <= ... <= p_(m):  p~_(k) = max over j <= k of min(1, (m - j + 1) p_(j)).

    Args:
        p_values: p-value of each comparison, by name.

    Returns:
        Adjusted p-values by name, in the same order.

    Examples:
        >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
        {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for k, name in enumerate(sorted(p_values, key=lambda key: p_values[key])):
        largest = max(largest, min(1.0, (len(p_values) - k) * p_values[name]))
        adjusted[name] = largest
    return {name: adjusted[name] for name in p_values}


def _deviations(n: int) -> np.ndarray:
    """Standard deviations of n standard normal values, at equally spaced probabilities (midpoint rule)."""
    return np.sqrt(stats.chi2.ppf((np.arange(4000) + 0.5) / 4000, n - 1) / (n - 1))


def _moments(differences: Sequence[float]) -> tuple[float, float, float, int]:
    """Mean, standard deviation, standard error, degrees of freedom."""
    x = np.asarray(differences, np.float64)
    if x.ndim != 1 or len(x) < 2 or not np.isfinite(x).all():
        raise DataError(f"a paired difference needs at least two finite values, not {x.tolist()}")
    sd = float(x.std(ddof=1))
    return float(x.mean()), sd, sd / math.sqrt(len(x)), len(x) - 1
