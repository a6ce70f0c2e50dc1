"""Bottleneck distance between two diagrams, exact: what Proposition 1 and Figure 8 are stated in."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching


def bottleneck_distance(first: Float[ndarray, "k 2"], second: Float[ndarray, "m 2"]) -> float:
    """inf over matchings of the largest ||p - q||_inf, a point may also go to the diagonal at (death - birth) / 2.

    The answer is one of the finitely many costs, found by bisection. Whether a cost t suffices is two bipartite
    matchings: all points of ``first`` too persistent for the diagonal must fit into ``second`` within t, and the other
    way round; then one matching does both (Mendelsohn and Dulmage).

    >>> bottleneck_distance(np.array([[0.0, 1.0], [0.3, 0.4]]), np.array([[0.0, 1.25]]))
    0.25
    """
    first, second = (np.asarray(d, dtype=np.float64).reshape(-1, 2) for d in (first, second))
    between = np.abs(first[:, None] - second[None]).max(axis=2)  # (k, m)
    alone = [(d[:, 1] - d[:, 0]) / 2 for d in (first, second)]
    costs = np.unique(np.concatenate([[0.0], between.ravel(), *alone]))
    low, high = 0, len(costs) - 1  # the highest cost always suffices: everything to the diagonal
    while low < high:
        middle = (low + high) // 2
        fits = between <= costs[middle]
        if _covers(fits[alone[0] > costs[middle]]) and _covers(fits.T[alone[1] > costs[middle]]):
            high = middle
        else:
            low = middle + 1
    return float(costs[low])


def _covers(fits: np.ndarray) -> bool:
    """Whether every row can have a column of its own."""
    if len(fits) == 0:
        return True
    if not fits.any(axis=1).all():
        return False
    return bool((maximum_bipartite_matching(csr_matrix(fits), perm_type="column") >= 0).all())
