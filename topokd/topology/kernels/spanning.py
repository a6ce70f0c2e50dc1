"""The minimum spanning tree of a complete graph (Prim): all that degree 0 needs."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def tree(keys):  # type: ignore[no-untyped-def]
    """Its edges (n - 1, 2), i < j, by key, then by index. There is one such tree, for that order is strict."""
    n = keys.shape[0]
    best = np.full(n, np.inf)  # of each vertex outside: the first edge in the order that joins it to the tree
    code = np.full(n, n * n)
    outside = np.ones(n, np.bool_)
    lengths, codes = np.empty(max(1, n - 1)), np.empty(max(1, n - 1), np.int64)
    new = 0
    for step in range(n - 1):
        outside[new] = False
        chosen = -1
        for v in range(n):
            if not outside[v]:
                continue
            key, edge = keys[new, v], min(new, v) * n + max(new, v)
            if key < best[v] or (key == best[v] and edge < code[v]):
                best[v], code[v] = key, edge
            if chosen < 0 or best[v] < best[chosen] or (best[v] == best[chosen] and code[v] < code[chosen]):
                chosen = v
        lengths[step], codes[step] = best[chosen], code[chosen]
        new = chosen
    codes, lengths = codes[: n - 1], lengths[: n - 1]
    by_code = np.argsort(codes, kind="mergesort")
    codes, lengths = codes[by_code], lengths[by_code]
    codes = codes[np.argsort(lengths, kind="mergesort")]
    edges = np.empty((n - 1, 2), np.int64)
    for k in range(n - 1):
        edges[k, 0], edges[k, 1] = codes[k] // n, codes[k] % n
    return edges
