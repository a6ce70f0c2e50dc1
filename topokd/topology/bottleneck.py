"""Exact bottleneck distance between two diagrams, used by Proposition 1 and Figure 8."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray


def bottleneck_distance(first: Float[ndarray, "k 2"], second: Float[ndarray, "m 2"]) -> float:
    """inf over matchings of max ||p - q||_inf, where a point may be matched to the diagonal, at (death - birth) / 2.

    The distance is one of finitely many costs, found by bisection. A cost t suffices if two bipartite matchings exist:
    all points of `first` too persistent for the diagonal have partners in `second` within t, and the other way
    round; then one matching does both (Mendelsohn and Dulmage, 1958).

    Args:
        first: (k, 2) birth and death.
        second: (m, 2) birth and death.

    Examples:
        >>> bottleneck_distance(np.array([[0.0, 1.0], [0.3, 0.4]]), np.array([[0.0, 1.25]]))
        0.25
    """
    first, second = (np.asarray(d, dtype=np.float64).reshape(-1, 2) for d in (first, second))
    between = np.abs(first[:, None] - second[None]).max(axis=2)  # (k, m)
    to_diagonal = [(d[:, 1] - d[:, 0]) / 2 for d in (first, second)]
    costs = np.unique(np.concatenate([[0.0], between.ravel(), *to_diagonal]))
    low, high = 0, len(costs) - 1  # the highest cost always suffices: everything to the diagonal
    while low < high:
        middle = (low + high) // 2
        fits = between <= costs[middle]
        if _has_perfect_matching(fits[to_diagonal[0] > costs[middle]]) and _has_perfect_matching(
            fits.T[to_diagonal[1] > costs[middle]]
        ):
            high = middle
        else:
            low = middle + 1
    return float(costs[low])


def _has_perfect_matching(fits: Bool[ndarray, "k m"]) -> bool:
    """Whether all rows can be matched to distinct columns."""
    from scipy.sparse import csr_matrix  # here, because it takes longer to import than the rest of the package
    from scipy.sparse.csgraph import maximum_bipartite_matching

    if len(fits) == 0:
        return True
    if not fits.any(axis=1).all():
        return False
    return bool((maximum_bipartite_matching(csr_matrix(fits), perm_type="column") >= 0).all())
