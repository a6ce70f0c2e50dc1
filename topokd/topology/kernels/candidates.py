"""Shortcut 3, candidates: the future edges whose lune may be empty when they enter.

Only these can merge components or create a class. The sweep looks for them once, when all classes have died and one
component is left; when none of them is left either, the diagrams are complete.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.bitset import ONE, ZERO, lowest_bit
from topokd.topology.kernels.settings import compiled, jit_no_refcount, jit_part
from topokd.topology.kernels.state import CANDIDATE, Annotations, Graph, edge_index

HUBS = 8  # neighbours of a vertex that are tried on all its future edges at once


@jit_part
def mark(graph: Graph, annotations: Annotations, limit: float) -> None:
    """Mark the future edges (i, j) up to `limit` with no vertex v such that d(i, v), d(j, v) < d(i, j)."""
    n = graph.vertex.shape[0]
    marked = _mark(graph, limit, np.empty(n, np.uint64), np.empty(n), np.empty(n + 1, np.int64))
    annotations.counters[0].candidates += marked


@jit_no_refcount
def _mark(graph: Graph, limit: float, hubs: np.ndarray, shortest: np.ndarray, future: np.ndarray) -> int:
    """`mark` with its buffers.

    It is separate for speed: where references are counted, a row view costs a count and each field of `graph` that is
    read in the loop a count for every array in `graph`.

    The first 64 positions are in most lunes already, a few neighbours of i settle nearly all that remains of its row,
    and only for the rest is every vertex tried.

    Args:
        graph: the graph so far.
        limit: highest value of an edge.
        hubs: (n,) buffer: the hubs adjacent to each vertex, a bitset of one word.
        shortest: (n,) buffer: the shortest edge from a neighbour of i to each vertex.
        future: (n + 1,) buffer: the other ends of the edges of i that may have to be marked.

    Returns:
        the number of edges that are marked.
    """
    filtration, adjacent, position, vertex = graph.filtration, graph.adjacent, graph.position, graph.vertex
    n = filtration.shape[0]
    for v in range(n):
        hubs[v] = adjacent[position[v], 0]
    marked = 0
    for i in range(n):
        of_i, neighbours = filtration[i], adjacent[position[i]]
        count = _edges_without_hub(hubs, of_i, i, limit, future)
        if count > n // HUBS:
            for j in range(i + 1, n):
                shortest[j] = np.inf
            tried, unsettled = 0, n
            for w in range(adjacent.shape[1]):
                left = neighbours[w]
                while left != ZERO and tried < HUBS and unsettled > 0:
                    of_v = filtration[vertex[w * 64 + lowest_bit(left)]]
                    unsettled = _lower(shortest[i + 1 :], of_v[i + 1 :], of_i[i + 1 :])
                    left &= left - ONE
                    tried += 1
            total, count = count, 0
            for c in range(total):
                j = future[c]
                future[count] = j
                count += shortest[j] >= of_i[j]
        for c in range(count):
            j = future[c]
            of_q = adjacent[position[j]]
            common = ZERO
            for w in range(neighbours.shape[0]):
                common |= neighbours[w] & of_q[w]
            if common == ZERO and not _has_cofacet(of_i, filtration[j], of_i[j]):
                graph.edge_annotation[edge_index(graph.row_start, position[i], position[j])] = CANDIDATE
                marked += 1
    return marked


@jit_no_refcount
def _edges_without_hub(hubs: np.ndarray, of_i: np.ndarray, i: int, limit: float, future: np.ndarray) -> int:
    """Fill `future` with the vertices after i, up to `limit`, that share no hub with it. Returns their number."""
    count = 0
    for j in range(i + 1, of_i.shape[0]):
        future[count] = j
        count += (hubs[i] & hubs[j] == ZERO) & (of_i[j] <= limit)
    return count


@jit_no_refcount
def _has_cofacet(of_i: np.ndarray, of_j: np.ndarray, value: float) -> bool:
    """Whether some vertex is closer than `value` to both i and j."""
    for first in range(0, of_i.shape[0], 64):
        closer = 0
        for v in range(first, min(first + 64, of_i.shape[0])):  # no early exit: the loop is vectorised
            closer |= (of_i[v] < value) & (of_j[v] < value)
        if closer != 0:
            return True
    return False


@compiled(_nrt=False, fastmath={"nnan", "nsz"})
def _lower(shortest: np.ndarray, of_v: np.ndarray, of_i: np.ndarray) -> int:
    """`shortest = min(shortest, of_v)`; returns how many are still not below `of_i`."""
    unsettled = 0
    for j in range(shortest.shape[0]):
        shortest[j] = min(shortest[j], of_v[j])
        unsettled += shortest[j] >= of_i[j]
    return unsettled
