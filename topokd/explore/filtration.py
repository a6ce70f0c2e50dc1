"""What the filtration player draws: the edges of a cloud in order, and the triangles that they complete."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, UInt32
from numpy import ndarray

from topokd.topology import squared_distances
from topokd.topology.engines import edge_ranks

MAX_TRIANGLES = 60_000
"""Triangles that are sent to the browser; the complex on 1,024 points has 178,433,024."""


@dataclass(frozen=True)
class Filtration:
    """The 2-skeleton of a Vietoris-Rips filtration in the engines' total order (length, then index).

    Attributes:
        edges: (m, 2) vertices of all m = n (n - 1) / 2 edges, the shortest first.
        lengths: (m,) of the edges.
        entered: (m,) how many triangles the complex has once the edge has entered; exact.
        triangles: (t, 3) vertices of the first t triangles.
        completed_by: (t,) the position in `edges` of the longest edge of each triangle, rising.
    """

    edges: Int64[ndarray, "m 2"]
    lengths: Float32[ndarray, " m"]
    entered: Float64[ndarray, " m"]
    triangles: Int64[ndarray, "t 3"]
    completed_by: UInt32[ndarray, " t"]


def rips_filtration(points: Float[ndarray, "n c"], max_triangles: int = MAX_TRIANGLES) -> Filtration:
    """Edges of all lengths, and the first triangles, as many whole edges' worth as fit into `max_triangles`.

    Edge {i, j} completes the triangles {i, j, k} whose two other edges came before it, so their number is that of the
    vertices k in its lune.

    Args:
        points: (n, c) cloud.
        max_triangles: how many triangles are listed at most; all are counted.

    Examples:
        >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        >>> found = rips_filtration(square)
        >>> found.edges.tolist(), found.entered.tolist()
        ([[0, 1], [0, 3], [1, 2], [2, 3], [0, 2], [1, 3]], [0.0, 0.0, 0.0, 0.0, 2.0, 4.0])
        >>> found.triangles.tolist(), found.completed_by.tolist()
        ([[0, 1, 2], [0, 2, 3], [0, 1, 3], [1, 2, 3]], [4, 4, 5, 5])
    """
    squared = squared_distances(np.asarray(points, dtype=np.float64))
    ranks, edges = edge_ranks(squared, np.inf)  # from 1
    ranks = ranks.astype(np.int32)
    np.fill_diagonal(ranks, np.iinfo(np.int32).max)  # an edge's own ends are not in its lune
    lengths = np.sqrt(squared[edges[:, 0], edges[:, 1]]).astype(np.float32)
    counts = np.zeros(len(edges), dtype=np.int64)
    for i in range(len(ranks) - 1):
        of_edge = ranks[i, i + 1 :]
        counts[of_edge - 1] = _lunes(ranks, i, of_edge, slice(i + 1, None)).sum(axis=1)
    entered = np.cumsum(counts)
    last = int(np.searchsorted(entered, max_triangles, side="right"))  # edges whose triangles are listed
    found, completed = [], []
    for i in range(len(ranks) - 1):
        chosen = i + 1 + np.flatnonzero(ranks[i, i + 1 :] <= last)
        row, k = np.nonzero(_lunes(ranks, i, ranks[i, chosen], chosen))
        found.append(np.stack([np.full(len(k), i), chosen[row], k], axis=1))
        completed.append(ranks[i, chosen[row]] - 1)
    triangles = np.sort(np.concatenate([np.empty((0, 3), np.int64), *found]), axis=1)
    by = np.concatenate([np.empty(0, np.int64), *completed])
    order = np.lexsort((triangles[:, 2], triangles[:, 1], triangles[:, 0], by))
    return Filtration(edges, lengths, entered.astype(np.float64), triangles[order], by[order].astype(np.uint32))


def _lunes(ranks: ndarray, i: int, of_edge: ndarray, others: slice | ndarray) -> ndarray:
    """(k, n) which vertices are joined to both ends of each edge {i, others} by earlier edges."""
    limit = of_edge[:, None]
    inside: ndarray = ranks[others] < limit
    inside &= ranks[i][None] < limit
    return inside
