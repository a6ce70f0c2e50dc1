"""The lune of an edge of a sparse graph: its members, its components, and the annotations of the edges to them.

Edges are numbered in filtration order. The neighbours of each vertex are listed once, those that edges join to it only
later included: an edge has entered if its number is below that of the current one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from topokd.topology.kernels.annotations import add, add_four, kill_class
from topokd.topology.kernels.settings import jit_no_refcount
from topokd.topology.kernels.state import OUT_OF_SPACE, Annotations

SKEW = 16  # a list this many times as long as the other is searched, not read


class EdgeLists(NamedTuple):
    """A graph of n vertices and m edges, the annotations of its edges, and scratch space for a lune."""

    ends: np.ndarray  # (m, 2) vertices of each edge, the lower one first
    start: np.ndarray  # (n + 1,) where the neighbours of each vertex begin
    vertex: np.ndarray  # (2 m,) neighbours of vertex after vertex, rising
    number: np.ndarray  # (2 m,) the edges to them
    annotation: np.ndarray  # (m,) number of each edge's annotation; -1 while it is only known to be the sum of `sides`
    sides: np.ndarray  # (m, 2) the two other edges of a cofacet
    lune: np.ndarray  # (n,) scratch: members of the lune, component after component
    place: np.ndarray  # (n,) scratch: where each member is in `lune`; -1 for other vertices
    entry: np.ndarray  # (n,) scratch: the later one of the two edges to each member
    to: np.ndarray  # (n, 2) scratch: both edges
    first: np.ndarray  # (n,) scratch: of each component the member that entered first


@jit_no_refcount
def fill_lune(lists: EdgeLists, e: int, most: int) -> int:
    """Fill `lune` with the vertices joined to both ends of an edge before it, the first that was first.

    Args:
        lists: the graph.
        e: the edge.
        most: members after which to stop.

    Returns:
        The number of members.
    """
    start, vertex, number, lune, place = lists.start, lists.vertex, lists.number, lists.lune, lists.place
    p, q = np.int64(lists.ends[e, 0]), np.int64(lists.ends[e, 1])
    if start[q + 1] - start[q] < start[p + 1] - start[p]:
        p, q = q, p
    k, k_end = start[q], start[q + 1]
    skewed = k_end - k > SKEW * (start[p + 1] - start[p])
    count = 0
    for m in range(start[p], start[p + 1]):
        v = np.int64(vertex[m])
        if number[m] >= e:
            continue
        if skewed:
            k = _lower_bound(vertex, k, k_end, v)
        else:
            while k < k_end and vertex[k] < v:
                k += 1
        if k == k_end:
            break
        if vertex[k] != v or number[k] >= e:
            continue
        lists.to[v, 0], lists.to[v, 1] = number[m], number[k]
        lists.entry[v] = max(number[m], number[k])
        lune[count], place[v] = v, count
        if lists.entry[v] < lists.entry[lune[0]]:
            _swap(lune, place, 0, count)
        count += 1
        if count == most:
            break
    return count


@jit_no_refcount
def _lower_bound(vertex: np.ndarray, begin: int, end: int, v: int) -> int:
    """The first of the rising entries `vertex[begin:end]` that is not below v, or `end`."""
    while begin < end:
        middle = (begin + end) >> 1
        if vertex[middle] < v:
            begin = middle + 1
        else:
            end = middle
    return begin


@jit_no_refcount
def _swap(lune: np.ndarray, place: np.ndarray, a: int, b: int) -> None:
    lune[a], lune[b] = lune[b], lune[a]
    place[lune[a]], place[lune[b]] = a, b


@jit_no_refcount
def find_components(lists: EdgeLists, e: int, count: int) -> int:
    """Fill `first` with the member of each component of the lune that entered first; components in that order.

    Args:
        lists: ``lune`` and ``place`` as `fill_lune` leaves them for the edge; ``lune`` is reordered.
        e: the edge.
        count: number of members.

    Returns:
        The number of components.
    """
    start, vertex, number = lists.start, lists.vertex, lists.number
    lune, place, entry, first = lists.lune, lists.place, lists.entry, lists.first
    components, reached = 0, 0  # members before `reached` are in components found so far
    while reached < count:
        reader, earliest = reached, np.int64(lune[reached])
        reached += 1
        while reader < reached:  # members reader : reached have neighbours that are not looked for yet
            u = np.int64(lune[reader])
            reader += 1
            earliest = earliest if entry[earliest] < entry[u] else u
            if start[u + 1] - start[u] > SKEW * (count - reached):
                for k in range(reached, count):
                    at = _lower_bound(vertex, start[u], start[u + 1], lune[k])
                    if at < start[u + 1] and vertex[at] == lune[k] and number[at] < e:
                        _swap(lune, place, k, reached)
                        reached += 1
                continue
            for k in range(start[u], start[u + 1]):
                v = vertex[k]
                if number[k] < e and place[v] >= reached:
                    _swap(lune, place, place[v], reached)
                    reached += 1
                    if reached == count:
                        break
        k = components
        while k > 0 and entry[first[k - 1]] > entry[earliest]:
            first[k] = first[k - 1]
            k -= 1
        first[k] = earliest
        components += 1
    return components


@jit_no_refcount
def clear_lune(lists: EdgeLists, count: int) -> None:
    """Forget the `count` members of a lune."""
    for k in range(count):
        lists.place[lists.lune[k]] = -1


@jit_no_refcount
def attach_cells(lists: EdgeLists, annotations: Annotations, e: int, components: int) -> int:
    """Kill a class, or none, with each of the components of the lune but the first. Returns 0 or OUT_OF_SPACE."""
    first, to = lists.first, lists.to
    annotations.counters[0].relations += components - 1
    for k in range(1, components):
        u, v = first[0], first[k]
        a, b = _evaluate(lists, annotations, to[u, 0]), _evaluate(lists, annotations, to[u, 1])
        c, d = _evaluate(lists, annotations, to[v, 0]), _evaluate(lists, annotations, to[v, 1])
        if min(a, b, c, d) == OUT_OF_SPACE:
            return OUT_OF_SPACE
        boundary = 0 if max(a, b, c, d) == 0 else add_four(annotations, a, b, c, d)
        if boundary == OUT_OF_SPACE:
            return OUT_OF_SPACE
        if boundary > 0:
            kill_class(annotations, boundary, lists.ends[e, 0], lists.ends[e, 1], v)
    return 0


@jit_no_refcount
def _evaluate(lists: EdgeLists, annotations: Annotations, e: int) -> int:
    """Annotation of an edge from its sides, and of the edges needed for it; all are stored. Or OUT_OF_SPACE."""
    annotation, sides, stack = lists.annotation, lists.sides, annotations.stack
    if annotation[e] >= 0:
        return np.int64(annotation[e])  # type: ignore[return-value]
    stack[0, 0], depth = e, 1
    while depth > 0:
        f = stack[depth - 1, 0]
        a, b = sides[f, 0], sides[f, 1]
        of_a, of_b = np.int64(annotation[a]), np.int64(annotation[b])
        if annotation[f] >= 0:
            depth -= 1
        elif of_a >= 0 and of_b >= 0:
            made = of_a + of_b
            if of_a != 0 and of_b != 0:
                made = add(annotations, of_a, of_b)
                if made == OUT_OF_SPACE:
                    return OUT_OF_SPACE
            annotation[f] = made
            depth -= 1
        elif depth == stack.shape[0]:
            annotations.counters[0].stack_needed = depth
            return OUT_OF_SPACE
        else:
            stack[depth, 0] = a if of_a < 0 else b
            depth += 1
    return np.int64(annotation[e])  # type: ignore[return-value]
