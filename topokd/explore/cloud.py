"""A cloud for the browser: its positions, its filtration and its persistence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray

from topokd.errors import DataError, ParameterError
from topokd.explore.files import check_points
from topokd.explore.filtration import rips_edges
from topokd.topology import Persistence, vietoris_rips
from topokd.topology.engines.reference import NAME as REFERENCE

MAX_POINTS = 2048
"""A filtration of all edges has n (n - 1) / 2 of them: 2.1 million here."""
REFERENCE_SIMPLICES = 50_000
"""Most simplices of the highest dimension for the engine `reference`: 3 s; at 256 points it would need 90 GB."""


@dataclass(frozen=True)
class DrawnCloud:
    """Points whose topology is shown.

    Args:
        points: (n, c) the points that define the filtration.
        label: its name in the legend.
        color: its colour, "#rrggbb".
        positions: (n, 2) or (n, 3) where to draw them; None: the points themselves, or their principal components.
        total: how many points these were sampled from; 0: they are all.

    Raises:
        DataError: if the points are not a finite array (n, c) of 3 to `MAX_POINTS` rows.

    Examples:
        >>> cloud = DrawnCloud(np.eye(5), "five corners of a simplex")
        >>> cloud.positions.shape
        (5, 3)
    """

    points: Float64[ndarray, "n c"]
    label: str = "cloud"
    color: str = "#1b4965"
    positions: Float[ndarray, "n d"] | None = None
    total: int = 0

    def __post_init__(self) -> None:
        points = check_points(np.asarray(self.points, dtype=np.float64), self.label)
        if len(points) > MAX_POINTS:
            raise DataError(f"{self.label} has {len(points):,} points; an explorer takes {MAX_POINTS:,}: sample first")
        object.__setattr__(self, "points", points)
        if self.positions is None:
            object.__setattr__(self, "positions", (points - points.mean(axis=0)) @ principal_axes(points))

    def drawn(self) -> Float[ndarray, "n 3"]:
        """Positions in space, float32; flat clouds lie at z = 0."""
        assert self.positions is not None
        missing = 3 - self.positions.shape[1]
        return np.pad(self.positions, ((0, 0), (0, missing))).astype(np.float32)


def principal_axes(points: Float64[ndarray, "n c"]) -> Float64[ndarray, "c d"]:
    """The identity for up to three columns, otherwise the first three principal axes, with fixed signs.

    Examples:
        >>> principal_axes(np.zeros((4, 2))).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if points.shape[1] <= 3:
        return np.eye(points.shape[1])
    axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][:3].T
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    return axes * np.where(largest < 0, -1.0, 1.0)


def persistence_of(
    points: Float64[ndarray, "n c"], max_dim: int = 1, engine: str = "auto", cycles: bool = False
) -> Persistence:
    """`vietoris_rips` of a cloud in double precision, with a cycle for each class of degree 1 if `cycles`.

    Raises:
        ParameterError: if the engine `reference` would compute for minutes, which cannot be stopped from the browser.
    """
    listed = math.comb(len(points), max_dim + 2)
    if engine == REFERENCE and listed > REFERENCE_SIMPLICES:
        most = max(n for n in range(3, 2 * MAX_POINTS) if math.comb(n, max_dim + 2) <= REFERENCE_SIMPLICES)
        raise ParameterError(
            f"engine {REFERENCE!r} is the textbook's reduction of all simplices, of which {len(points):,} points have "
            f"{listed:,} of {max_dim + 2} vertices: choose at most {most} points, or another engine"
        )
    cloud = torch.from_numpy(np.ascontiguousarray(points))
    return vietoris_rips(cloud, max_dim=max_dim, engine=engine, cycles=cycles)


def describe(cloud: DrawnCloud, persistence: Persistence) -> dict[str, Any]:
    """The arrays of a cloud that the browser needs, by name.

    Args:
        cloud: the points.
        persistence: diagrams of the points.
    """
    edges, lengths = rips_edges(cloud.points)
    return {
        "label": cloud.label,
        "color": cloud.color,
        "columns": cloud.points.shape[1],
        "total": max(cloud.total, len(cloud.points)),
        "flat": cloud.positions is not None and cloud.positions.shape[1] < 3,
        "positions": cloud.drawn(),
        "edges": edges.astype(np.uint16),
        "lengths": lengths,
        "pairs": describe_pairs(persistence),
        "cycles": None if persistence.cycles is None else describe_cycles(persistence),
    }


def describe_pairs(persistence: Persistence) -> list[dict[str, Any]]:
    """Per degree: pairs, their critical simplices, and the births of the classes that never die."""
    pairs = zip(
        persistence.diagrams,
        persistence.birth_simplices,
        persistence.death_simplices,
        persistence.essential,
        strict=True,
    )
    return [
        {
            "values": diagram.detach().double().numpy(),
            "birth": birth.numpy().astype(np.int32),
            "death": death.numpy().astype(np.int32),
            "essential": essential.detach().double().numpy(),
        }
        for diagram, birth, death, essential in pairs
    ]


def describe_cycles(persistence: Persistence) -> dict[str, ndarray]:
    """The cycles of the pairs of degree 1, one after the other.

    Returns:
        `edges`, (l, 2) vertices, and `starts`, (k + 1,): cycle i is ``edges[starts[i] : starts[i + 1]]``.

    Raises:
        ValueError: if the persistence was computed without cycles.
    """
    if persistence.cycles is None:
        raise ValueError("this persistence has no cycles: compute it with cycles=True")
    cycles = [cycle.numpy() for cycle in persistence.cycles]
    starts = np.cumsum([0, *map(len, cycles)])
    edges = np.concatenate([np.empty((0, 2), np.int64), *cycles])
    return {"edges": edges.astype(np.uint16), "starts": starts.astype(np.uint32)}
