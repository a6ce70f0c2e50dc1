"""Engine `reduced` (ours): exact degrees 0 and 1 from the components of each edge's lune; no triangle is listed.

`topokd.topology.kernels` explains the algorithm: the reduced Vietoris-Rips filtration with annotations.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64, Int64, UInt8
from numpy import ndarray

from topokd.checks import available_memory
from topokd.errors import ParameterError
from topokd.topology import kernels
from topokd.topology.engines.base import Engine, Pairs, elder_rule

if TYPE_CHECKING:
    from topokd.topology.kernels.sweep import SweepResult

NAME = "reduced"
BYTES_PER_NEIGHBOUR = 32  # of a list: two numbers, twice while lists are moved, and its edge in a shell
MAX_POINTS = 1 << 16  # a vertex is 16 bits of an edge's code
MAX_EDGES = 1 << 30  # of a graph, stored from both ends: counted with 32 bits


def compute(
    filtration: Float64[ndarray, "n n"], max_dim: int = 1, limit: float = np.inf, time_limit: float | None = None
) -> Pairs:
    """Pairs of degrees 0 to `max_dim`, 1 at most.

    Args:
        filtration: (n, n) values of the edges, symmetric, n up to 65,536.
        max_dim: 0 or 1.
        limit: highest value of an edge.
        time_limit: seconds of wall time after which no further edge enters (degree 0 alone is not limited).

    Returns:
        The pairs; finite classes by death.

    Raises:
        ParameterError: for too many points.
    """
    n = len(filtration)
    if n > MAX_POINTS:
        raise ParameterError(f"engine {NAME!r} takes at most {MAX_POINTS:,} points, got {n:,}: sample first")
    filtration = np.ascontiguousarray(filtration)
    if max_dim == 0:
        merging = kernels.spanning.minimum_spanning_tree(filtration)
        merging = merging[filtration[merging[:, 0], merging[:, 1]] <= limit]
        dead, components = elder_rule(merging, n)
        return Pairs([dead[:, None]], [merging], [components[:, None]])
    with _raised_after(time_limit) as stop:
        return _pairs(kernels.sweep.pairs(filtration, limit, stop))


def compute_from_points(
    x: Float64[ndarray, "n c"], max_dim: int = 1, limit: float = np.inf, allowed: float = np.inf
) -> Pairs | None:
    """The pairs that `compute` finds, without a matrix: memory is linear in the edges near living classes.

    With fewer than 12 coordinates squared distances have the same bits as those of `squared_distances`, so that the
    pairs are the same, ties included; with more, edges whose lengths agree to 15 digits may change places.

    Args:
        x: (n, c) points.
        max_dim: 0 or 1.
        limit: highest squared length of an edge.
        allowed: edges that may enter, about.

    Returns:
        The pairs, or None if more edges have to enter than allowed.

    Raises:
        MemoryError: the edges do not fit into memory.

    Examples:
        >>> compute_from_points(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])).birth[1].tolist()
        [[2, 3]]
    """
    if len(x) == 0 or x.shape[1] == 0:
        return compute(np.zeros((len(x), len(x))), max_dim, limit)
    x = np.ascontiguousarray(x - x[0])
    if max_dim == 0:
        dead, merging, components = kernels.sparse_sweep.components(x, limit)
        return Pairs([dead[:, None]], [merging], [components[:, None]])
    available = available_memory()
    most = 1 << 48 if available is None else available // BYTES_PER_NEIGHBOUR
    sweep = kernels.sparse_sweep.pairs(x, limit, most, allowed)
    return _pairs(sweep) if sweep.truncated_at == np.inf else None


def compute_from_edges(n: int, ends: Int64[ndarray, "e 2"], max_dim: int = 1) -> Pairs:
    """The pairs that `compute` finds in the matrix of a graph, without the matrix.

    Memory is linear in the edges; time in the edges and in the triangles that they make.

    Args:
        n: number of vertices.
        ends: (e, 2) vertices of the edges in the total order, the lower one first, each edge once.
        max_dim: 0 or 1.

    Raises:
        ParameterError: for too many vertices or edges.

    Examples:
        >>> compute_from_edges(4, np.array([[0, 1], [1, 2], [2, 3], [0, 3]])).essential[1].tolist()
        [[0, 3]]
    """
    if max(n, len(ends)) > MAX_EDGES:
        raise ParameterError(
            f"a graph of {n:,} points and {len(ends):,} edges: at most {MAX_EDGES:,} of each are taken"
        )
    both = np.concatenate([ends, ends[:, ::-1]])
    order = np.lexsort((both[:, 1], both[:, 0]))
    start = np.searchsorted(both[order, 0], np.arange(n + 1))
    number = (order % max(1, len(ends))).astype(np.int32)
    neighbours = both[order, 1].astype(np.int32)
    sweep = kernels.graph_sweep.pairs(ends.astype(np.int32), start, neighbours, number, max_dim)
    pairs = _pairs(sweep)
    return pairs if max_dim > 0 else Pairs(pairs.birth[:1], pairs.death[:1], pairs.essential[:1])


def _pairs(sweep: SweepResult) -> Pairs:
    order = np.argsort(sweep.death_order, kind="stable")
    dies = sweep.death_order[order] >= 0
    finite, essential = order[dies], order[~dies]
    return Pairs(
        [sweep.dead_vertex[:, None], sweep.birth_edge[finite]],
        [sweep.merging_edge, np.sort(sweep.death_triangle[finite], axis=1)],
        [sweep.component[:, None], sweep.birth_edge[essential]],
        None if sweep.truncated_at == np.inf else sweep.truncated_at,
    )


@contextlib.contextmanager
def _raised_after(seconds: float | None) -> Iterator[UInt8[ndarray, " 1"]]:
    """A flag that the sweep reads between batches of edges; it becomes 1 after `seconds`."""
    stop = np.zeros(1, np.uint8)
    if seconds is None:
        yield stop
        return
    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), stop.fill, [1])
    timer.daemon = True
    timer.start()
    try:
        yield stop
    finally:
        timer.cancel()


ENGINE = Engine(compute, max_dim=1, preference=0, has_time_limit=True)
