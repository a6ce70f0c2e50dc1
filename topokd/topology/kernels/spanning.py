"""Minimum spanning tree of a complete graph by Prim's algorithm: all that degree 0 alone needs."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import jit
from topokd.topology.kernels.sorting import argsort


@jit
def minimum_spanning_tree(filtration: np.ndarray) -> np.ndarray:
    """Its edges (n - 1, 2), i < j, by value, then by index; unique, for that order is total."""
    n = filtration.shape[0]
    best = np.full(n, np.inf)  # of each vertex outside the tree: value and code of the first edge that joins it
    code = np.full(n, n * n)
    outside = np.ones(n, np.bool_)
    values, codes = np.empty(max(1, n - 1)), np.empty(max(1, n - 1), np.int64)
    new = 0
    for step in range(n - 1):
        outside[new] = False
        chosen = -1
        for v in range(n):
            if not outside[v]:
                continue
            value, edge = filtration[new, v], min(new, v) * n + max(new, v)
            if value < best[v] or (value == best[v] and edge < code[v]):
                best[v], code[v] = value, edge
            if chosen < 0 or best[v] < best[chosen] or (best[v] == best[chosen] and code[v] < code[chosen]):
                chosen = v
        values[step], codes[step] = best[chosen], code[chosen]
        new = chosen
    codes, values = codes[: n - 1], values[: n - 1]
    by_code = argsort(codes)
    codes, values = codes[by_code], values[by_code]
    codes = codes[argsort(values)]
    edges = np.empty((n - 1, 2), np.int64)
    for k in range(n - 1):
        edges[k, 0], edges[k, 1] = codes[k] // n, codes[k] % n
    return edges
