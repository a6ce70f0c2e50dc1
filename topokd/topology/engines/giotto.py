"""Engine ``giotto-ph``: the parallel Ripser of giotto-tda, run on the ranks of the edges.

giotto-ph works in float32, returns wrong generators on several threads, and names only the longest edge of a critical
simplex. Replacing every length by its rank in the total order removes the first two: each value of the diagram then is
the number of one edge, exact in float32 up to 2^24 edges (5,793 points). The other vertices of a critical simplex
are looked up among the points joined to both ends of that edge.
"""

from __future__ import annotations

import threading

import numpy as np

from topokd.errors import ParameterError
from topokd.topology.engines import Pairs, edge_ranks, elder_rule

MAX_EDGES = 1 << 24  # whole numbers that float32 holds
ONE_AT_A_TIME = threading.Lock()  # giotto-ph keeps the GIL while it waits for its own threads: two callers can deadlock


def compute(keys: np.ndarray, max_dim: int = 1, limit: float = np.inf) -> Pairs:
    """Pairs of degrees 0 ... max_dim. Raises :class:`ParameterError` for more than 5,793 points."""
    n = len(keys)
    ranks, edges = edge_ranks(keys, limit)
    if len(edges) > MAX_EDGES:
        raise ParameterError(f"engine 'giotto-ph' tells at most 2^24 edges apart, and {n} points have {len(edges)}")
    if len(edges) == 0:  # giotto-ph refuses a cloud without edges
        empty = [np.empty((0, d + 1), dtype=np.int64) for d in range(max_dim + 2)]
        return Pairs(empty[:-1], empty[1:], [np.arange(n)[:, None], *empty[1:-1]])
    values = _diagrams(ranks, len(edges), max_dim)
    births: list[np.ndarray] = []
    deaths: list[np.ndarray] = []
    essentials: list[np.ndarray] = []
    for dim, diagram in enumerate(values):
        finite = np.isfinite(diagram[:, 1])
        pairs = diagram[finite].astype(np.int64)
        pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]  # by death, then by birth
        if dim == 0:
            merges = edges[pairs[:, 1] - 1]
            ended, remaining = elder_rule(merges, n)
            births.append(ended[:, None])
            deaths.append(merges)
            essentials.append(remaining[:, None])
        else:
            births.append(_simplices(ranks, edges, pairs[:, 0], dim + 1))
            deaths.append(_killers(ranks, edges, pairs[:, 1], dim + 2))
            essentials.append(_simplices(ranks, edges, np.sort(diagram[~finite, 0].astype(np.int64)), dim + 1))
    return Pairs(births, deaths, essentials)


def _diagrams(ranks: np.ndarray, count: int, max_dim: int) -> list[np.ndarray]:
    with ONE_AT_A_TIME:
        from gph import ripser_parallel
    weights = ranks.astype(np.float32)
    weights[ranks == 0] = count + 1  # edges above the limit
    np.fill_diagonal(weights, 0)
    whole = count == len(ranks) * (len(ranks) - 1) // 2
    limit = np.inf if whole else float(count)
    with ONE_AT_A_TIME:
        result = ripser_parallel(weights, metric="precomputed", maxdim=max_dim, n_threads=1, thresh=limit)
    return [np.asarray(diagram, dtype=np.float64) for diagram in result["dgms"]]


def _simplices(ranks: np.ndarray, edges: np.ndarray, numbers: np.ndarray, size: int) -> np.ndarray:
    """A simplex of ``size`` vertices for each edge number: that edge, its longest, and the lowest vertices that fit."""
    found = np.empty((len(numbers), size), dtype=np.int64)
    for k, number in enumerate(numbers.tolist()):
        vertices = list(edges[number - 1])
        while len(vertices) < size:
            vertices.append(int(_lune(ranks, vertices, number)[0]))
        found[k] = sorted(vertices)
    return found


def _killers(ranks: np.ndarray, edges: np.ndarray, numbers: np.ndarray, size: int) -> np.ndarray:
    """The destroying simplices. In degree 1 the third vertex represents a component of the edge's lune.

    The first component fills the edge itself, the others end classes; where one edge ends several, they are taken in
    turn.
    """
    if size != 3:
        return _simplices(ranks, edges, numbers, size)
    found = np.empty((len(numbers), 3), dtype=np.int64)
    previous, turn = -1, 0
    for k, number in enumerate(numbers.tolist()):
        turn = turn + 1 if number == previous else 1
        previous = number
        edge = edges[number - 1]
        found[k] = sorted([*edge, _representatives(ranks, edge, _lune(ranks, list(edge), number), number)[turn]])
    return found


def _lune(ranks: np.ndarray, vertices: list[int], number: int) -> np.ndarray:
    """Points joined to all ``vertices`` by edges that come before ``number``."""
    near = ranks[vertices]
    return np.flatnonzero(((near > 0) & (near < number)).all(axis=0))


def _representatives(ranks: np.ndarray, edge: np.ndarray, lune: np.ndarray, number: int) -> list[int]:
    """The vertex of each component of ``lune`` (under the edges before ``number``) that was first joined to both ends.

    They come in that order: by the rank of the later one of the two edges.
    """
    lune = lune[np.argsort(ranks[np.ix_(edge, lune)].max(axis=0))]
    near = ranks[np.ix_(lune, lune)]
    joined = (near > 0) & (near < number)
    left = np.ones(len(lune), dtype=bool)
    first = []
    while left.any():
        first.append(int(lune[left.argmax()]))
        component = np.zeros(len(lune), dtype=bool)
        front = np.zeros(len(lune), dtype=bool)
        front[left.argmax()] = True
        while front.any():
            component |= front
            front = joined[front].any(axis=0) & ~component
        left &= ~component
    return first
