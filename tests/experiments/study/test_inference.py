"""Intervals cover, tests keep their level and find known effects: checked on simulated experiments."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from topokd.errors import DataError
from topokd.experiments.study import (
    StreetScores,
    bootstrap_difference,
    equivalence_power,
    holm,
    paired_difference,
    seeds_needed,
    superiority_power,
    tost,
)
from topokd.experiments.study.bootstrap import miou
from topokd.experiments.study.inference import pairs

pytestmark = pytest.mark.unit
N = 10  # seeds of the study


def experiments(effect: float, sd: float, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(effect, sd, (count, N))


def test_the_interval_covers_the_effect_and_the_p_value_is_that_of_scipy() -> None:
    differences = [paired_difference(list(d)) for d in experiments(0.7, 1.3, 2000)]
    assert np.mean([x.low <= 0.7 <= x.high for x in differences]) == pytest.approx(0.95, abs=0.015)
    for d, x in zip(experiments(0.7, 1.3, 20), differences, strict=False):
        assert x.p == pytest.approx(stats.ttest_1samp(d, 0.0).pvalue)


@pytest.mark.parametrize(("effect", "sd"), [(0.0, 1.0), (0.5, 1.0), (1.0, 0.8)])
def test_stated_power_is_the_share_of_experiments_that_find_the_effect(effect: float, sd: float) -> None:
    share = np.mean([paired_difference(list(d)).p < 0.05 for d in experiments(effect, sd, 2000)])
    assert superiority_power(effect, sd, N) == pytest.approx(share, abs=0.025)


@pytest.mark.parametrize(("effect", "sd"), [(0.0, 0.5), (0.2, 0.4), (0.5, 0.5)])
def test_stated_power_of_equivalence_is_the_share_of_experiments_that_call_it(effect: float, sd: float) -> None:
    share = np.mean([tost(list(d), 0.5).equivalent for d in experiments(effect, sd, 2000)])
    assert equivalence_power(sd, N, 0.5, effect) == pytest.approx(share, abs=0.025)
    if effect == 0.5:  # at the margin, a false finding
        assert share <= 0.05 + 0.012


def test_equivalence_is_the_90_percent_interval_within_the_margin() -> None:
    for d in experiments(0.1, 0.6, 200):
        narrow = paired_difference(list(d), level=0.9)
        assert tost(list(d), 0.5).equivalent == (narrow.low > -0.5 and narrow.high < 0.5)


def test_holm_keeps_the_chance_of_any_false_finding() -> None:
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(1000):
        p = {str(k): paired_difference(list(rng.normal(0, 1, N))).p for k in range(8)}
        false += any(value < 0.05 for value in holm(p).values())
    assert false / 1000 < 0.07
    assert holm({"a": 0.001, "b": 0.6, "c": 0.9}) == pytest.approx({"a": 0.003, "b": 1.0, "c": 1.0})


@pytest.mark.parametrize("n", [2, 3, 5, 10, 40])
def test_power_is_the_tail_of_the_noncentral_t_and_a_number_for_every_effect(n: int) -> None:
    for effect in np.linspace(0.0, 20.0, 81):
        t, delta = stats.t.ppf(0.975, n - 1), effect * np.sqrt(n)
        tail = stats.nct.sf(t, n - 1, delta) + stats.nct.cdf(-t, n - 1, delta)
        power = superiority_power(float(effect), 1.0, n)
        assert np.isfinite(power) and (np.isnan(tail) or power == pytest.approx(tail, abs=2e-3))


@pytest.mark.long
def test_the_power_with_a_margin_is_the_share_of_verdicts() -> None:
    differences = np.random.default_rng(0).normal(0.7, 0.8, (20_000, N))
    mean, error = differences.mean(1), differences.std(1, ddof=1) / np.sqrt(N)
    found = (abs(mean) / error > stats.t.ppf(0.995, N - 1)) & (abs(mean) >= 0.5)
    assert superiority_power(0.7, 0.8, N, alpha=0.01, margin=0.5) == pytest.approx(found.mean(), abs=0.01)
    assert seeds_needed(0.7, 0.8, alpha=0.01, margin=0.5) > seeds_needed(0.7, 0.8, alpha=0.01)
    assert seeds_needed(0.5, 0.8, margin=0.5) is None  # half of the means are below the margin


def test_seeds_needed_is_the_first_number_with_the_power() -> None:
    n = seeds_needed(effect=0.5, sd=0.8)
    assert n is not None
    assert superiority_power(0.5, 0.8, n) >= 0.8 > superiority_power(0.5, 0.8, n - 1)
    assert seeds_needed(effect=1e-4, sd=1.0) is None


def test_pairs_need_common_seeds() -> None:
    assert pairs({0: 3.0, 1: 5.0, 7: 1.0}, {1: 1.0, 0: 1.0}) == [2.0, 4.0]
    with pytest.raises(DataError, match="at least two"):
        pairs({0: 1.0}, {0: 1.0})
    with pytest.raises(DataError, match="finite"):
        paired_difference([1.0, float("nan")])
    with pytest.raises(DataError, match="above 0"):
        tost([1.0, 2.0], 0.0)


def simulated(effect: float, street_sd: float, seed_sd: float, rng: np.random.Generator) -> list[StreetScores]:
    """Two rows of 8 seeds on 20 streets with a true difference of IoU, noise per seed and per street."""
    seeds, streets, classes, points = 8, 20, 3, 10_000
    base = np.clip(0.5 + rng.normal(0, 0.05, (1, streets, classes)), 0.1, 0.9)
    own_street, own_seed = rng.normal(0, street_sd, (1, streets, 1)), rng.normal(0, seed_sd, (seeds, 1, 1))
    rows = []
    for shift in (effect + own_street + own_seed, 0.0):
        accuracy = np.clip(base + shift + np.zeros((seeds, 1, 1)), 0.0, 1.0)
        iou_counts = [accuracy * points, np.full_like(accuracy, points), np.full_like(accuracy, points)]
        rows.append(StreetScores(np.stack(iou_counts, 2), tuple(range(seeds)), tuple(map(str, range(streets)))))
    return rows


@pytest.mark.long
def test_bootstrap_intervals_cover_the_variation_that_they_resample() -> None:
    rng = np.random.default_rng(5)
    truth = np.mean([bootstrap_difference(*simulated(0.05, 0.03, 0.02, rng), draws=1)[0] for _ in range(300)])
    inside = []
    for _ in range(150):
        _, low, high = bootstrap_difference(*simulated(0.05, 0.03, 0.02, rng), over="both", draws=200)
        inside.append(low <= truth <= high)
    assert 0.88 < np.mean(inside) <= 1.0


def test_each_source_of_noise_widens_its_own_interval_only() -> None:
    def width(over: str, street_sd: float, seed_sd: float) -> float:
        interval = bootstrap_difference(
            *simulated(0.05, street_sd, seed_sd, np.random.default_rng(1)), over=over, draws=400
        )
        return interval[2] - interval[1]

    assert width("streets", 0.05, 0.0) > 5 * width("seeds", 0.05, 0.0)
    assert width("seeds", 0.0, 0.05) > 3 * width("streets", 0.0, 0.05)
    assert width("both", 0.05, 0.05) > max(width("streets", 0.05, 0.05), width("seeds", 0.05, 0.05)) * 0.95


def test_rows_with_other_seeds_or_streets_are_not_compared() -> None:
    first, second = simulated(0.1, 0.0, 0.0, np.random.default_rng(0))
    other = StreetScores(second.counts[:4], (0, 1, 2, 3), second.streets)
    with pytest.raises(DataError, match="cannot be paired"):
        bootstrap_difference(first, other)


def test_miou_of_counts_is_that_of_the_confusion_matrix() -> None:
    from topokd.evaluation import ConfusionMatrix

    rng = np.random.default_rng(2)
    truth, predicted = rng.integers(0, 4, 500), rng.integers(0, 3, 500)
    matrix = ConfusionMatrix(6)
    matrix.update(predicted, truth)
    counts = np.stack([np.diag(matrix.matrix), matrix.matrix.sum(1), matrix.matrix.sum(0)])
    assert miou(counts) == pytest.approx(100 * matrix.miou("skip"))
