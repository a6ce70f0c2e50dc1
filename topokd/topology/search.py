"""When diagrams are computed from a search for neighbours instead of a matrix of all distances.

The search (`topokd.topology.kernels.sparse_sweep`) looks for edges near living classes only, in a k-d tree, up to the
last death. It needs memory that is linear in those edges, and is the faster one of the two for many points of few
coordinates without a large hole: 100,000 points in the plane take seconds. A hole as large as the cloud needs most of
its edges, unless the points around it can be peeled off (`kernels.peel`).
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from topokd.errors import DataError, ParameterError
from topokd.topology.distances import MIN_CHANNELS_FOR_GRAM
from topokd.topology.engines import Pairs, reduced
from topokd.topology.filtration_input import matrix_fits
from topokd.topology.graphs import SparseDistances

MAX_CHANNELS = MIN_CHANNELS_FOR_GRAM - 1  # with more, squared distances come from a matrix product, with other bits
# (coordinates, points): clouds with up to this many coordinates are searched from this many points on
SEARCHED_FROM = ((3, 4097), (MAX_CHANNELS, 16385))
COST = 10.0  # of an edge in a search, about, in that of a pair of points in a matrix


def unsearchable(
    engine: str, metric: str, max_dim: int, time_limit: float | None, gradient: str, proof: bool, weighted: bool
) -> str | None:
    """The first argument of `vietoris_rips` that needs a matrix of distances, as text for a message; None if none does.

    Args:
        engine: as in `vietoris_rips`, like the others but the last two.
        metric: likewise.
        max_dim: likewise.
        time_limit: likewise.
        gradient: likewise.
        proof: whether a certificate or cycles are requested.
        weighted: whether there are weights.
    """
    needs = {
        f"engine={engine!r}": engine not in ("auto", reduced.NAME),
        f"metric={metric!r}": metric != "euclidean",
        f"max_dim={max_dim}": max_dim > 1,
        "time_limit": time_limit is not None,
        "certificate or cycles": proof,
        "gradient='big_step'": gradient == "big_step",
        "weights": weighted,
    }
    return next((name for name, does in needs.items() if does), None)


def use_search(search: bool | None, cloud: Float[Tensor, "n c"] | SparseDistances, special: str | None) -> bool:
    """Whether the edges of a cloud come from a search.

    Args:
        search: the argument of `vietoris_rips`.
        cloud: points; or distances, for which there is no search.
        special: result of `unsearchable`.

    Raises:
        ParameterError: ``search`` is true where it is not possible.
    """
    n, channels = cloud.shape
    if search is not None and not isinstance(search, bool):
        raise ParameterError(f"search is {search!r}: pass True, False, or None to decide by the size of the cloud")
    if search is None:
        return special is None and any(channels <= most and n >= least for most, least in SEARCHED_FROM)
    if search and special is not None:
        raise ParameterError(f"search=True looks for neighbours of points, but {special} needs a matrix: leave one out")
    if search and channels > MAX_CHANNELS:
        raise ParameterError(f"search=True takes up to {MAX_CHANNELS} coordinates, got {channels}: leave it out")
    return search


def searched_edges(
    search: bool | None, cloud: Float[Tensor, "n c"] | SparseDistances, special: str | None
) -> float | None:
    """How many edges a search may look at; None where edges come from a matrix.

    A search takes about `COST` times as long for an edge as a matrix for a pair of points. A search that was chosen
    automatically is given up before it has taken as long as the matrix would, so both together take at most about twice
    as long. If a matrix does not fit into memory, or ``search`` is true, the number is not limited.

    Args:
        search: as in `use_search`, like the others.
        cloud: likewise.
        special: likewise.
    """
    if not use_search(search, cloud, special):
        return None
    n = cloud.shape[0]
    if search:
        return math.inf
    return n * (n - 1) / 2 / COST if matrix_fits(n) else math.inf


def search_pairs(
    values: Float64[ndarray, "n c"], max_dim: int, limit: float, allowed: float = math.inf
) -> Pairs | None:
    """Pairs of a cloud, from a search for neighbours; None if it needs more edges than ``allowed``.

    Of equal points only the first is searched: the others merge with it at length 0, and a tree cannot separate them.

    Args:
        values: (n, c) points.
        max_dim: 0 or 1.
        limit: squared length of the longest edge that enters.
        allowed: edges that may enter, about.

    Raises:
        DataError: its edges do not fit into memory.

    Examples:
        >>> import numpy as np
        >>> search_pairs(np.array([[0.0], [0.0], [1.0], [3.0]]), 0, np.inf).death[0].tolist()
        [[0, 2], [2, 3]]
    """
    first = first_of_equals(values)
    try:
        pairs = reduced.compute_from_points(values[first], max_dim, limit, allowed)
    except MemoryError as error:
        raise DataError(
            f"not enough memory for the edges around the largest hole of {len(values):,} points: "
            "pass a threshold, or sample first (farthest_point_sampling)"
        ) from error
    if pairs is None or len(first) == len(values):
        return pairs
    return pairs._replace(
        birth=[first[simplices] for simplices in pairs.birth],
        death=[first[simplices] for simplices in pairs.death],
        essential=[first[simplices] for simplices in pairs.essential],
    )


def first_of_equals(values: Float64[ndarray, "n c"]) -> Int64[ndarray, " m"]:
    """Indices, in order, of the rows that equal no earlier row.

    Examples:
        >>> import numpy as np
        >>> first_of_equals(np.array([[2.0, 1.0], [0.0, 0.0], [2.0, 1.0], [-0.0, 0.0]])).tolist()
        [0, 1]
    """
    order = np.lexsort(values.T)  # stable: equal rows in the order of their indices
    own = np.ones(len(values), dtype=bool)
    own[1:] = (values[order[1:]] != values[order[:-1]]).any(axis=1)
    return np.sort(order[own])
