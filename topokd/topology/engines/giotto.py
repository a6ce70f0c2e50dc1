"""Engine `giotto-ph`: the parallel Ripser of giotto-tda, run on the ranks of the edges.

giotto-ph works in float32, returns wrong generators on several threads, and names only the longest edge of a critical
simplex. With each value replaced by its rank in the total order, a value of the diagram is the number of one edge,
exact in float32 up to 2^24 edges (5,793 points). The other vertices of a critical simplex are searched among those
adjacent to both ends of that edge.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray

from topokd.errors import ParameterError
from topokd.topology.engines.base import Engine, Pairs, edge_ranks, elder_rule

NAME = "giotto-ph"
MAX_EDGES = 1 << 24  # whole numbers that float32 represents
ONE_AT_A_TIME = threading.Lock()  # giotto-ph holds the GIL while it waits for its own threads: two callers can deadlock

Ranks = Int64[ndarray, "n n"]
Edges = Int64[ndarray, "e 2"]
Numbers = Int64[ndarray, " k"]


def compute(filtration: Float64[ndarray, "n n"], max_dim: int = 1, limit: float = np.inf) -> Pairs:
    """Pairs of degrees 0 to `max_dim`.

    Args:
        filtration: (n, n) values of the edges, symmetric, n up to 5,793.
        max_dim: highest degree.
        limit: highest value of an edge.

    Raises:
        ParameterError: for too many points, or if giotto-ph is not installed.
    """
    n = len(filtration)
    ranks, edges = edge_ranks(filtration, limit)
    if len(edges) > MAX_EDGES:
        raise ParameterError(f"engine {NAME!r} can distinguish 2^24 edges; {n:,} points have {len(edges):,}")
    if len(edges) == 0:  # giotto-ph rejects a cloud without edges
        empty = [np.empty((0, d + 1), dtype=np.int64) for d in range(max_dim + 2)]
        return Pairs(empty[:-1], empty[1:], [np.arange(n)[:, None], *empty[1:-1]])
    births, deaths, essentials = [], [], []
    for dim, diagram in enumerate(_diagrams(ranks, len(edges), max_dim)):
        finite = np.isfinite(diagram[:, 1])
        pairs = diagram[finite].astype(np.int64)
        pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]  # by death, then by birth
        if dim == 0:
            merging = edges[pairs[:, 1] - 1]
            dead, components = elder_rule(merging, n)
            births.append(dead[:, None])
            deaths.append(merging)
            essentials.append(components[:, None])
        else:
            births.append(_simplices(ranks, edges, pairs[:, 0], dim + 1))
            deaths.append(_killing_simplices(ranks, edges, pairs[:, 1], dim + 2))
            essentials.append(_simplices(ranks, edges, np.sort(diagram[~finite, 0].astype(np.int64)), dim + 1))
    return Pairs(births, deaths, essentials)


def _diagrams(ranks: Ranks, count: int, max_dim: int) -> list[Float64[ndarray, "_ 2"]]:
    with ONE_AT_A_TIME:
        ripser_parallel = _ripser_parallel()
    weights = ranks.astype(np.float32)
    weights[ranks == 0] = count + 1  # edges above the limit
    np.fill_diagonal(weights, 0)
    whole = count == len(ranks) * (len(ranks) - 1) // 2
    limit = np.inf if whole else float(count)
    with ONE_AT_A_TIME:
        result = ripser_parallel(weights, metric="precomputed", maxdim=max_dim, n_threads=1, thresh=limit)
    return [np.asarray(diagram, dtype=np.float64) for diagram in result["dgms"]]


def _ripser_parallel() -> Callable[..., Any]:
    try:
        from gph import ripser_parallel
    except ImportError as error:
        raise ParameterError(
            "degree 2 (max_dim=2) and engine 'giotto-ph' need giotto-ph: pip install 'topokd[giotto]' (AGPL-3.0); "
            "engine 'reference' computes degree 2 without it, slowly"
        ) from error
    return ripser_parallel


def _simplices(ranks: Ranks, edges: Edges, numbers: Numbers, size: int) -> Int64[ndarray, "k size"]:
    """For each edge number, the first simplex of `size` vertices with this longest edge."""
    simplices = np.empty((len(numbers), size), dtype=np.int64)
    for k, number in enumerate(numbers.tolist()):
        edge = edges[number - 1].tolist()
        added = _first_clique(ranks, _lune(ranks, edge, number), number, size - 2)
        assert added is not None  # giotto-ph found a simplex with this longest edge
        simplices[k] = sorted([*edge, *added])
    return simplices


def _first_clique(ranks: Ranks, vertices: Int64[ndarray, " l"], number: int, size: int) -> list[int] | None:
    """Lexicographically first `size` of the ascending `vertices` joined by edges before `number`; None if none."""
    if size == 0:
        return []
    for k, v in enumerate(vertices.tolist()):
        later = vertices[k + 1 :]
        near = ranks[v, later]
        rest = _first_clique(ranks, later[(near > 0) & (near < number)], number, size - 1)
        if rest is not None:
            return [v, *rest]
    return None


def _killing_simplices(ranks: Ranks, edges: Edges, numbers: Numbers, size: int) -> Int64[ndarray, "k size"]:
    """The killing simplices. In degree 1 the third vertex represents a component of the edge's lune.

    The first component cancels with the edge itself, the others kill classes; if one edge kills several, they are taken
    in turn.
    """
    if size != 3:
        return _simplices(ranks, edges, numbers, size)
    triangles = np.empty((len(numbers), 3), dtype=np.int64)
    previous, turn = -1, 0
    for k, number in enumerate(numbers.tolist()):
        turn = turn + 1 if number == previous else 1
        previous = number
        edge = edges[number - 1].tolist()
        triangles[k] = sorted([*edge, _first_members(ranks, edge, _lune(ranks, edge, number), number)[turn]])
    return triangles


def _lune(ranks: Ranks, vertices: list[int], number: int) -> Int64[ndarray, " l"]:
    """Vertices joined to all of `vertices` by edges before `number`, in ascending order."""
    near = ranks[vertices]
    return np.flatnonzero(((near > 0) & (near < number)).all(axis=0))


def _first_members(ranks: Ranks, edge: list[int], lune: Int64[ndarray, " l"], number: int) -> list[int]:
    """The vertex of each component of `lune` (under the edges before `number`) that entered it first.

    They are in that order: by the rank of the later one of their two edges to `edge`.
    """
    lune = lune[np.argsort(ranks[np.ix_(np.array(edge), lune)].max(axis=0))]
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


ENGINE = Engine(compute, max_dim=2, preference=1)
