"""Intersection over union from counts, and the scores printed by the official tools."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

from topokd.choices import Absent
from topokd.errors import DataError

ABSENT_VALUE: dict[Absent, float] = {"skip": float("nan"), "zero": 0.0, "one": 1.0}
"""IoU of a class that occurs in neither truth nor prediction; NaN: left out of the mean."""


@runtime_checkable
class Counts(Protocol):
    """Point counts of one evaluation: ``matrix[p, t]`` by predicted and true class, ``missed[t]`` without a class."""

    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def matrix(self) -> Int64[ndarray, "c c"]: ...  # noqa: D102
    @property
    def missed(self) -> Int64[ndarray, " c"]: ...  # noqa: D102


def class_iou(matrix: Int64[ndarray, "c c"], missed: Int64[ndarray, " c"]) -> Float[ndarray, " c"]:
    """``TP / (TP + FP + FN)`` per class.

    Args:
        matrix: points by predicted class (rows) and true class (columns).
        missed: points by true class that have no predicted class; they count as FN.

    Returns:
        IoU in 0..1, NaN for a class in neither truth nor prediction.
    """
    tp = np.diag(matrix)
    union = matrix.sum(1) + matrix.sum(0) + missed - tp
    return np.where(union > 0, tp / np.maximum(union, 1), np.nan)


def mean_iou(iou: Float[ndarray, " c"], absent: Absent) -> float:
    """Mean over the classes, where ``absent`` decides how NaN entries count.

    Returns:
        The mean in 0..1; NaN if all classes are NaN and skipped.

    Raises:
        DataError: ``absent`` is unknown.

    Examples:
        >>> iou = np.array([0.5, 1.0, np.nan])
        >>> mean_iou(iou, "skip"), mean_iou(iou, "zero")
        (0.75, 0.5)
    """
    if absent not in ABSENT_VALUE:
        raise DataError(f"absent is {absent!r}; choose one of {', '.join(ABSENT_VALUE)}")
    if absent != "skip":
        return float(np.nan_to_num(iou, nan=ABSENT_VALUE[absent]).mean())
    known = iou[~np.isnan(iou)]
    return float(known.mean()) if known.size else float("nan")


@dataclass(frozen=True)
class OfficialScores:
    """The scores that the tool of a benchmark prints, as fractions 0..1.

    Attributes:
        miou: mean IoU by the benchmark's rule for absent classes.
        iou: IoU per class name in the benchmark's order; NaN for a class that the benchmark skips.
        extra: further numbers that the tool prints, by name.
    """

    miou: float
    iou: dict[str, float]
    extra: dict[str, float] = field(default_factory=dict)

    def rows(self) -> dict[str, float]:
        """All numbers by name, in percent: mIoU, the further numbers, then the classes."""
        return {name: 100 * value for name, value in ({"mIoU": self.miou} | self.extra | self.iou).items()}


def class_scores(counts: Counts) -> OfficialScores:
    """IoU of each class and their mean, for data without a tool of their own; absent classes are skipped.

    Args:
        counts: a `topokd.evaluation.ConfusionMatrix`, or anything with its three arrays.

    Examples:
        >>> from topokd.evaluation import ConfusionMatrix
        >>> cm = ConfusionMatrix(2, ("road", "car"))
        >>> cm.update([0, 1, 1], [0, 1, 0])
        >>> class_scores(cm).rows()
        {'mIoU': 50.0, 'road': 50.0, 'car': 50.0}
    """
    iou = class_iou(counts.matrix, counts.missed)
    return OfficialScores(mean_iou(iou, "skip"), dict(zip(counts.class_names, iou.tolist(), strict=True)))
