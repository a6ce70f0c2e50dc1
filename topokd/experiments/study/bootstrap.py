"""Uncertainty over streets, and over seeds and streets together, of a difference in mIoU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from topokd.errors import DataError

Over = Literal["seeds", "streets", "both"]


@dataclass(frozen=True)
class StreetScores:
    """Confusion counts of the runs of one row, by street.

    Attributes:
        counts: (seeds, streets, 3, classes) numbers of true positives, points predicted, and points in the truth.
        seeds: seeds of the runs, along the first axis.
        streets: names of the streets, along the second axis.

    Examples:
        >>> counts = np.array([[[[2, 1], [4, 2], [2, 2]]]])  # one seed, one street
        >>> row = StreetScores(counts, seeds=(0,), streets=("a",))
        >>> round(miou(row.counts[0].sum(axis=0)).item(), 2)
        41.67
    """

    counts: Float[ndarray, "k s 3 c"] | Int64[ndarray, "k s 3 c"]
    seeds: tuple[int, ...]
    streets: tuple[str, ...]


def miou(counts: Float[ndarray, "*b 3 c"] | Int64[ndarray, "*b 3 c"]) -> Float[ndarray, "*b"]:
    """Mean over the classes in truth or prediction of TP / (truth + prediction - TP), in percent.

    Examples:
        >>> miou(np.array([[[2, 0], [4, 0], [2, 0]]])).tolist()  # the second class does not occur
        [50.0]
    """
    hit, predicted, truth = (counts[..., k, :].astype(np.float64) for k in range(3))
    union = predicted + truth - hit
    seen = union > 0
    iou = np.divide(hit, union, out=np.zeros_like(hit), where=seen)
    return np.asarray(100 * iou.sum(-1) / np.maximum(seen.sum(-1), 1))


def bootstrap_difference(
    treatment: StreetScores,
    control: StreetScores,
    over: Over = "both",
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float, float]:
    """mIoU(treatment) - mIoU(control) in points, mean over seeds, with a percentile interval of resampled units.

    A draw takes seeds, streets or both with replacement, the same ones for both rows, so that runs stay paired. Counts
    of the drawn streets are added before the IoU is computed, as in one evaluation on these streets. With few streets
    the interval is slightly too narrow (percentile intervals do not correct bias).

    Args:
        treatment: one row.
        control: another row with the same seeds and streets.
        over: what is resampled; the rest stays as it is.
        draws: number of resamples.
        level: confidence level of the interval.
        seed: seed of the resampling.

    Returns:
        Difference, lower end, upper end.

    Raises:
        DataError: the rows have different seeds or streets.

    Examples:
        >>> counts = np.random.default_rng(0).integers(50, 99, (3, 4, 3, 2)) * np.array([1, 3, 3])[:, None]
        >>> row = StreetScores(counts, (0, 1, 2), ("a", "b", "c", "d"))
        >>> bootstrap_difference(row, row, draws=10)
        (0.0, 0.0, 0.0)
    """
    if treatment.seeds != control.seeds or treatment.streets != control.streets:
        raise DataError(
            f"rows cannot be paired: seeds {treatment.seeds} and {control.seeds}, "
            f"{len(treatment.streets)} and {len(control.streets)} streets"
        )
    rng = np.random.default_rng(seed)
    both = np.stack([treatment.counts, control.counts])  # (2, k, s, 3, c)
    _, k, s = both.shape[:3]

    def difference(weights: Float[ndarray, " s"] | Int64[ndarray, " s"], seeds: Int64[ndarray, " k"]) -> float:
        scores = miou(np.einsum("rkscd,s->rkcd", both[:, seeds], weights))  # (2, k)
        return float((scores[0] - scores[1]).mean())

    every_seed, every_street = np.arange(k), np.ones(s)
    values = [
        difference(
            every_street if over == "seeds" else np.bincount(rng.integers(s, size=s), minlength=s),
            every_seed if over == "streets" else rng.integers(k, size=k),
        )
        for _ in range(draws)
    ]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return difference(every_street, every_seed), float(low), float(high)
