"""Common parts of the engines: the types of an engine and of its result, the total order of edges, the elder rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray


class Pairs(NamedTuple):
    """Persistence pairs as simplices: one entry per degree d, rows of ascending vertex indices.

    Attributes:
        birth: (K, d + 1) creating simplices of the finite classes.
        death: (K, d + 2) killing simplices.
        essential: (E, d + 1) creating simplices of the classes that never die.
        truncated_at: None, or the filtration value of the last edge that entered before a time limit.

    Examples:
        >>> from topokd.topology.engines import ENGINES
        >>> pairs = ENGINES["reduced"].compute(np.array([[0, 1.0, 3.0], [1.0, 0, 2.0], [3.0, 2.0, 0]]), 0, np.inf)
        >>> pairs.birth[0].tolist(), pairs.death[0].tolist(), pairs.essential[0].tolist()
        ([[1], [2]], [[0, 1], [1, 2]], [[0]])
    """

    birth: list[Int64[ndarray, "_ _"]]
    death: list[Int64[ndarray, "_ _"]]
    essential: list[Int64[ndarray, "_ _"]]
    truncated_at: float | None = None


class Engine(NamedTuple):
    """How pairs are computed.

    Attributes:
        compute: `compute(filtration, max_dim, limit) -> Pairs`; `filtration` (n, n) float64, symmetric; degrees 0
            to `max_dim` of the edges up to `limit` (inf: all).
        max_dim: highest degree that it can compute.
        preference: `auto` takes the engine with the lowest number that can compute the degree.
        has_time_limit: whether `compute` takes a keyword `time_limit`, in seconds or None.

    Examples:
        >>> from topokd.topology.engines import ENGINES
        >>> ENGINES["reduced"].max_dim, ENGINES["reduced"].has_time_limit
        (1, True)
    """

    compute: Callable[..., Pairs]
    max_dim: int
    preference: int
    has_time_limit: bool = False


def edge_ranks(
    filtration: Float64[ndarray, "n n"], limit: float = np.inf
) -> tuple[Int64[ndarray, "n n"], Int64[ndarray, "e 2"]]:
    """Number the edges in the total order (filtration value, then index).

    Args:
        filtration: (n, n) values of the edges, symmetric.
        limit: highest value of an edge that is numbered.

    Returns:
        Ranks (n, n), symmetric, from 1, and 0 on the diagonal and for edges above `limit`; the edges (e, 2) in order.

    Examples:
        >>> edge_ranks(np.array([[0, 2.0, 1.0], [2.0, 0, 1.0], [1.0, 1.0, 0]]))[1].tolist()
        [[0, 2], [1, 2], [0, 1]]
    """
    rows, columns = np.triu_indices(len(filtration), 1)
    values = filtration[rows, columns]
    order = np.argsort(values, kind="stable")
    order = order[: np.searchsorted(values[order], limit, side="right")]
    edges = np.stack([rows[order], columns[order]], axis=1)
    ranks = np.zeros(filtration.shape, dtype=np.int64)
    ranks[edges[:, 0], edges[:, 1]] = ranks[edges[:, 1], edges[:, 0]] = np.arange(1, len(edges) + 1)
    return ranks, edges


def elder_rule(edges: Int64[ndarray, "k 2"], n: int) -> tuple[Int64[ndarray, " k"], Int64[ndarray, " c"]]:
    """Degree 0: which component each merging edge kills.

    All vertices are born at 0, so age is the index: of two components the one with the higher lowest vertex dies.

    Args:
        edges: (k, 2) merging edges in order.
        n: number of vertices.

    Returns:
        The lowest vertex of the component that each edge kills (k,), and of each component left (c,).

    Examples:
        >>> dead, left = elder_rule(np.array([[1, 2], [0, 2]]), n=4)
        >>> dead.tolist(), left.tolist()
        ([2, 1], [0, 3])
    """
    root = list(range(n))

    def find(v: int) -> int:
        while root[v] != v:
            root[v] = root[root[v]]
            v = root[v]
        return v

    dead = np.empty(len(edges), dtype=np.int64)
    for k, (a, b) in enumerate(edges.tolist()):
        older, younger = sorted((find(a), find(b)))
        root[younger], dead[k] = older, younger
    return dead, np.flatnonzero(np.array(root, dtype=np.int64) == np.arange(n))
