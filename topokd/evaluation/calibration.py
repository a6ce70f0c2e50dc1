"""Whether a network is right as often as its confidence says."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from topokd.data import IGNORE
from topokd.errors import DataError
from topokd.options import whole


class Calibration:
    """ECE = sum_b n_b / n | accuracy_b - confidence_b | over bins b of confidence (Guo et al., ICML 2017, Eq. 3).

    The confidence of a point is the largest of its class probabilities. Bins are of equal width, closed on the right.

    Args:
        bins: their number; the paper has 15.

    Attributes:
        count: points of each bin (b,).
        right: of these, points predicted right (b,).
        confidence: sum of the confidences of each bin (b,).

    Examples:
        >>> calibration = Calibration()
        >>> calibration.update(np.array([[0.8, 0.2], [0.8, 0.2]]), np.array([0, 1]))  # 80 % sure, half are right
        >>> round(calibration.error(), 4)
        0.3
    """

    def __init__(self, bins: int = 15) -> None:
        bins = whole(bins, "bins", most=1 << 20)
        self.count, self.right, self.confidence = (np.zeros(bins) for _ in range(3))

    def update(self, probability: Float[ndarray, "n c"], truth: Int64[ndarray, " n"]) -> None:
        """Count the labelled points of one scan.

        Args:
            probability: (n, c) of each class.
            truth: (n,) classes, or `IGNORE`.

        Raises:
            DataError: the shapes differ, or a probability is not in 0..1.
        """
        if probability.ndim != 2 or probability.shape[:1] != truth.shape:
            raise DataError(f"probability has shape {probability.shape} and truth {truth.shape}: give (n, c) and (n,)")
        if not ((probability >= 0) & (probability <= 1.001)).all():  # also for NaN
            raise DataError("probability holds values outside 0..1: give the softmax of the network's output")
        known = truth != IGNORE
        given = np.asarray(probability[known], np.float64)
        confidence, bins = given.max(1, initial=0.0), len(self.count)
        place = (np.ceil(confidence * bins).astype(np.int64) - 1).clip(0, bins - 1)
        self.count += np.bincount(place, minlength=bins)
        self.right += np.bincount(place, given.argmax(1) == truth[known], minlength=bins)
        self.confidence += np.bincount(place, confidence, minlength=bins)

    def error(self) -> float:
        """ECE, 0..1; NaN if nothing was counted."""
        points = self.count.sum()
        return float(np.abs(self.right - self.confidence).sum() / points) if points else float("nan")
