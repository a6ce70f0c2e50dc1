"""The topological loss taken apart: the match of every point of two diagrams, and the parts of L_topo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from topokd.topology import Persistence, squared_distances


@dataclass(frozen=True)
class Match:
    """The match of each point of one diagram among the points of another, for one degree and one direction of PWCD.

    Attributes:
        index: (k,) the nearest point of the other diagram, -1 for the diagonal.
        target: (k, 2) that point, or the foot of the perpendicular on the diagonal.
        cost: (k,) min(s ||p - q||^2, (d - b)^2 / 2).
        weight: (k,) share of the cost in this direction's sum: log(1 + d - b) / (sum + eps) from the teacher, 1 / k
            from the student.
    """

    index: Int64[ndarray, " k"]
    target: Float64[ndarray, "k 2"]
    cost: Float64[ndarray, " k"]
    weight: Float64[ndarray, " k"]

    @property
    def total(self) -> float:
        """The direction's part of PWCD: sum of weight times cost."""
        return float(self.weight @ self.cost)


def match_points(points: Float64[ndarray, "k 2"], others: Float64[ndarray, "m 2"], scale: float = 1.0) -> Match:
    """Match every point as Alg. 4 does: the nearest other point, unless the diagonal is cheaper; weights are 1 / k.

    Of points that tie, the first is named; the loss shares its gradient among them.

    Args:
        points: (k, 2) birth and death.
        others: (m, 2) birth and death.
        scale: s, the weight of a match against the diagonal.

    Examples:
        >>> match = match_points(np.array([[0.0, 1.0], [0.5, 0.6]]), np.array([[0.0, 0.9]]))
        >>> match.index.tolist(), match.cost.round(3).tolist()
        ([0, -1], [0.01, 0.005])
    """
    diagonal = (points[:, 1] - points[:, 0]) ** 2 / 2
    index: np.ndarray = np.full(len(points), -1)
    cost: np.ndarray = diagonal
    if len(points) and len(others):
        squared = ((points[:, None] - others[None]) ** 2).sum(axis=2)
        nearest = squared.argmin(axis=1)
        distance = scale * squared[np.arange(len(points)), nearest]
        index, cost = np.where(distance <= diagonal, nearest, -1), np.minimum(distance, diagonal)
    foot = np.repeat(points.mean(axis=1, keepdims=True), 2, axis=1)
    target = np.where((index < 0)[:, None], foot, others[index] if len(others) else foot)
    return Match(index, target, cost, np.full(len(points), 1 / max(1, len(points))))


def match_teacher(
    teacher: Float64[ndarray, "m 2"], student: Float64[ndarray, "k 2"], scale: float = 1.0, eps: float = 1e-6
) -> Match:
    """`match_points` from teacher to student, with the weights of Eq. 2."""
    match = match_points(teacher, student, scale)
    weight = np.log1p(np.maximum(teacher[:, 1] - teacher[:, 0], 0))
    return Match(match.index, match.target, match.cost, weight / (weight.sum() + eps))


def describe_match(
    teacher: Persistence, student: Persistence, scale: float = 1.0, eps: float = 1e-6
) -> list[dict[str, Any]]:
    """Per degree: both directions, point by point, and their totals (recall of Eq. 2, precision of Eq. 3).

    Args:
        teacher: its diagrams.
        student: its diagrams.
        scale: see `match_points`.
        eps: epsilon of Eq. 2.
    """
    parts = []
    for one, two in zip(teacher.diagrams, student.diagrams, strict=True):
        p, q = one.detach().double().numpy(), two.detach().double().numpy()
        recall, precision = match_teacher(p, q, scale, eps), match_points(q, p, scale)
        parts.append(
            {
                "recall": recall.total,
                "precision": precision.total,
                "teacher": _as_arrays(recall),
                "student": _as_arrays(precision),
            }
        )
    return parts


def _as_arrays(match: Match) -> dict[str, ndarray]:
    return {
        "index": match.index.astype(np.int32),
        "target": match.target,
        "cost": match.cost,
        "weight": match.weight,
    }


def cloud_size(points: Float64[ndarray, "n c"]) -> float:
    """Half the diameter, at least: the largest distance from the mean.

    Examples:
        >>> cloud_size(np.array([[0.0, 0.0], [2.0, 0.0]]))
        1.0
    """
    return float(np.sqrt(squared_distances(np.vstack([points.mean(axis=0), points]))[0].max()))
