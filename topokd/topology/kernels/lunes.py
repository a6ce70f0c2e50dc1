"""Shortcut 1, lunes: whether the lune of an edge is connected, its components, and one vertex of each.

Works on the scratch bitsets of `Graph`; `scratch_lune` holds the lune when these functions are called.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.bitset import ONE, ZERO, lowest_bit, lowest_member
from topokd.topology.kernels.settings import jit_no_refcount
from topokd.topology.kernels.state import Graph


@jit_no_refcount
def is_connected(adjacent: np.ndarray, lune: np.ndarray, component: np.ndarray, rest: np.ndarray, hub: int) -> bool:
    """Whether the lune has one component.

    Four hubs cover most lunes; a vertex that they do not cover usually has a neighbour that they do. Takes arrays, not
    the graph: the tuple of all its arrays would be copied to the stack for each edge, 4 % of the sweep.

    Args:
        adjacent: (n, words) closed neighbourhood of each position, a bitset.
        lune: (words,) bitset of the lune, not empty.
        component: (words,) scratch.
        rest: (words,) scratch.
        hub: lowest member of the lune.
    """
    words = lune.shape[0]
    left = ZERO
    for w in range(words):
        rest[w] = lune[w] & ~adjacent[hub, w]
        left |= rest[w]
    if left == ZERO:
        return True
    second, third, fourth = _next_hubs(lune, adjacent[hub])
    left = ZERO
    for w in range(words):
        rest[w] &= ~(adjacent[second, w] | adjacent[third, w] | adjacent[fourth, w])
        left |= rest[w]
    if left == ZERO:
        return True
    for w in range(words):
        component[w] = lune[w] & ~rest[w]
    return _all_adjacent(adjacent, component, rest) or _extend(adjacent, component, rest) < 0


@jit_no_refcount
def _next_hubs(lune: np.ndarray, neighbours: np.ndarray) -> tuple[int, int, int]:
    """The second to fourth lowest common member; if there are fewer, some are repeated."""
    second, third, fourth, hubs = 0, 0, 0, 0
    for w in range(lune.shape[0]):
        members = lune[w] & neighbours[w]
        while members != ZERO:
            second, third, fourth = third, fourth, w * 64 + lowest_bit(members)
            members &= members - ONE
            hubs += 1
            if hubs == 4:
                return second, third, fourth
    if hubs < 2:
        third = fourth
    if hubs < 3:
        second = third
    return second, third, fourth


@jit_no_refcount
def _all_adjacent(adjacent: np.ndarray, component: np.ndarray, rest: np.ndarray) -> bool:
    """Whether each member of `rest` has a neighbour in `component`: true of most lunes, and quick to see."""
    for w in range(rest.shape[0]):
        left = rest[w]
        while left != ZERO:
            neighbours = adjacent[w * 64 + lowest_bit(left)]
            left &= left - ONE
            common = ZERO
            for x in range(component.shape[0]):  # no early exit: the loop is vectorised
                common |= neighbours[x] & component[x]
            if common == ZERO:
                return False
    return True


@jit_no_refcount
def _extend(adjacent: np.ndarray, component: np.ndarray, rest: np.ndarray) -> int:
    """Move the vertices connected to `component` there from `rest`. Returns the lowest member left, -1 if none."""
    words = rest.shape[0]
    changed = True
    while changed:
        changed = False
        for w in range(words):
            left = rest[w]
            while left != ZERO:
                v = w * 64 + lowest_bit(left)
                left &= left - ONE
                neighbours = adjacent[v]
                common = ZERO
                for x in range(words):
                    common |= neighbours[x] & component[x]
                if common != ZERO:
                    changed = True
                    rest[w] &= ~(ONE << np.uint64(v & 63))
                    component[w] |= ONE << np.uint64(v & 63)
                    for x in range(words):
                        joined = neighbours[x] & rest[x]
                        component[x] |= joined
                        rest[x] &= ~joined
                    left &= rest[w]
    return lowest_member(rest)


@jit_no_refcount
def _split_off(adjacent: np.ndarray, component: np.ndarray, rest: np.ndarray, v: int) -> int:
    """Make `component` that of v, taken out of `rest`. Returns the lowest member left, -1 if none."""
    for w in range(rest.shape[0]):
        component[w] = rest[w] & adjacent[v, w]
        rest[w] &= ~adjacent[v, w]
    return _extend(adjacent, component, rest)


@jit_no_refcount
def find_components(graph: Graph) -> int:
    """Fill `scratch_members` with the lowest position of each component of the lune. Returns their number."""
    adjacent, component, rest = graph.adjacent, graph.scratch_component, graph.scratch_rest
    for w in range(rest.shape[0]):
        rest[w] = graph.scratch_lune[w]
    count, v = 0, lowest_member(graph.scratch_lune)
    while v >= 0:
        graph.scratch_members[count] = v
        v = _split_off(adjacent, component, rest, v)
        count += 1
    return count


@jit_no_refcount
def find_first_members(graph: Graph, i: int, j: int) -> int:
    """Fill `scratch_members` with the position of each component that entered the lune of (i, j) first.

    They are in the order in which their triangles with (i, j) come: by the longer of their two edges. So the killing
    triangle does not depend on how the points are numbered unless two edges are equally long. Returns their number.
    """
    filtration, vertex, adjacent, members = graph.filtration, graph.vertex, graph.adjacent, graph.scratch_members
    component, rest = graph.scratch_component, graph.scratch_rest
    for w in range(rest.shape[0]):
        rest[w] = graph.scratch_lune[w]
    count, v = 0, lowest_member(graph.scratch_lune)
    while v >= 0:
        v = _split_off(adjacent, component, rest, v)
        first, first_value, first_code = -1, np.inf, 0
        for w in range(component.shape[0]):
            left = component[w]
            while left != ZERO:
                u = w * 64 + lowest_bit(left)
                left &= left - ONE
                value, code = _entry(filtration, i, j, vertex[u])
                if value < first_value or (value == first_value and code < first_code):
                    first, first_value, first_code = u, value, code
        k = count
        while k > 0 and _entry(filtration, i, j, vertex[members[k - 1]]) > (first_value, first_code):
            members[k] = members[k - 1]
            k -= 1
        members[k] = first
        count += 1
    return count


@jit_no_refcount
def _entry(filtration: np.ndarray, i: int, j: int, v: int) -> tuple[float, int]:
    """When v enters the lune of (i, j): filtration value and code of the later one of its two edges."""
    n = filtration.shape[0]
    code_i, code_j = min(i, v) * n + max(i, v), min(j, v) * n + max(j, v)
    if filtration[i, v] > filtration[j, v] or (filtration[i, v] == filtration[j, v] and code_i > code_j):
        return filtration[i, v], code_i
    return filtration[j, v], code_j
