"""Engines: each turns ordered edges into the simplices that create and destroy every Vietoris-Rips class.

An engine is one function ``compute(keys, max_dim, limit) -> Pairs``. ``keys`` (n, n) orders the edges (squared or plain
distances, float64, symmetric); equal keys are ordered by index (i, j), i < j, row by row, so the order is total and
every engine returns the same pairs. Pairs that live for no time at all in that order are left out; pairs of equal
length but different edges are kept here and dropped by the caller, who knows the precision of the diagram.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Pairs(NamedTuple):
    """Simplices (rows of vertex indices, rising) per degree d: births (K, d+1), deaths (K, d+2), essential (E, d+1).

    ``reached``: None, or the key of the last edge let in before a time limit stopped the sweep.
    """

    birth: list[np.ndarray]
    death: list[np.ndarray]
    essential: list[np.ndarray]
    reached: float | None = None


def edge_ranks(keys: np.ndarray, limit: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Position of each edge in the total order (key, then index), and the edges in that order.

    Returns ``ranks`` (n, n) int64, symmetric, counting from 1, zero on the diagonal and for edges above ``limit``, and
    ``edges`` (E, 2).

    >>> edge_ranks(np.array([[0, 2.0, 1.0], [2.0, 0, 1.0], [1.0, 1.0, 0]]))[1].tolist()
    [[0, 2], [1, 2], [0, 1]]
    """
    rows, columns = np.triu_indices(len(keys), 1)
    values = keys[rows, columns]
    order = np.argsort(values, kind="stable")
    order = order[: np.searchsorted(values[order], limit, side="right")]
    edges = np.stack([rows[order], columns[order]], axis=1)
    ranks = np.zeros(keys.shape, dtype=np.int64)
    ranks[edges[:, 0], edges[:, 1]] = ranks[edges[:, 1], edges[:, 0]] = np.arange(1, len(edges) + 1)
    return ranks, edges


def elder_rule(edges: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Degree 0: the vertex whose component ends at each merging edge, and the vertices of the components that remain.

    All vertices are born at 0, so age is the index: of two merging components the one whose lowest vertex is higher
    ends.
    """
    root = np.arange(n)

    def find(v: int) -> int:
        while root[v] != v:
            root[v] = root[root[v]]
            v = root[v]
        return v

    ended = np.empty(len(edges), dtype=np.int64)
    for k, (a, b) in enumerate(edges.tolist()):
        old, young = sorted((find(a), find(b)))
        root[young], ended[k] = old, young
    return ended, np.flatnonzero(root == np.arange(n))
