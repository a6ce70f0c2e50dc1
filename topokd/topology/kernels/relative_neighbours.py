"""The relative neighbour graph: the edges with an empty lune, which merge components or create classes of degree 1.

Edge (i, j) is in it if no vertex v has both (i, v) and (j, v) before (i, j) in the total order of the edges (length,
then vertices; Toussaint, 1980). Those that join two components are the minimum spanning tree, the others create all
classes of degree 1. They are found without listing edges: a box of the tree that is nearer to a neighbour v of i than
to i itself holds no relative neighbour of i.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.kd_tree import (
    MARGIN,
    STACK,
    Tree,
    box_distance,
    box_reach,
    code,
    is_before,
    next_leaf,
    squared,
)
from topokd.topology.kernels.settings import jit, jit_no_refcount

HUBS = 32  # neighbours of a vertex that boxes are compared with


@jit
def relative_neighbours(tree: Tree, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """The relative neighbour graph in the total order.

    Args:
        tree: the points.
        limit: highest squared length of an edge.

    Returns:
        The edges (e, 2), positions in the tree; their squared lengths (e,).
    """
    n = tree.coords.shape[0]
    edges, values, count = np.empty((2 * n + 16, 2), np.int64), np.empty(2 * n + 16), 0
    stack, hubs, lengths = np.empty(STACK, np.int64), np.empty(HUBS, np.int64), np.empty(HUBS)
    near = np.empty(n, np.int64)
    for i in range(n):
        count_near = candidates(tree, i, limit, stack, hubs, lengths, near)
        for k in range(count_near):
            j = near[k]
            if i < j and not _has_cofacet(tree, i, j, stack):
                if count == values.shape[0]:
                    edges, values = np.concatenate((edges, edges)), np.concatenate((values, values))
                edges[count, 0], edges[count, 1], values[count] = i, j, squared(tree.coords, i, j)
                count += 1
    order = in_order(tree, edges[:count], values[:count])
    return edges[order], values[order]


@jit
def in_order(tree: Tree, edges: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Permutation that sorts edges (e, 2) by value (e,), then by code."""
    order = np.argsort(values)
    begin = 0
    for k in range(1, order.shape[0] + 1):
        if k == order.shape[0] or values[order[k]] != values[order[begin]]:
            if k - begin > 1:
                tied = order[begin:k].copy()
                codes = np.empty(k - begin, np.int64)
                for t in range(k - begin):
                    codes[t] = code(tree.label, edges[tied[t], 0], edges[tied[t], 1])
                order[begin:k] = tied[np.argsort(codes)]
            begin = k
    return order


@jit_no_refcount
def candidates(
    tree: Tree, i: int, limit: float, stack: np.ndarray, hubs: np.ndarray, lengths: np.ndarray, members: np.ndarray
) -> int:
    """Fill `members` with the vertices that share no hub with i: all its relative neighbours, and few others.

    Args:
        tree: the points.
        i: a position in the tree.
        limit: highest squared length of an edge.
        stack: (STACK,) buffer.
        hubs: (HUBS,) buffer: the first vertices found.
        lengths: (HUBS,) buffer: squared lengths of their edges to i, rounded up.
        members: (n,) buffer: positions of the vertices.

    Returns:
        The number of vertices.
    """
    coords, label, first, last, low, high = tree.coords, tree.label, tree.first, tree.last, tree.low, tree.high
    stack[0], depth, count, known = 1, 1, 0, 0
    while depth > 0:
        depth -= 1
        node = stack[depth]
        nearest = box_distance(coords, low, high, node, i)
        if nearest > limit or tree.left[node] == 0:
            continue
        reach = box_reach(coords, low, high, node, i)
        settled = False
        for h in range(known):
            if lengths[h] < nearest and is_nearer(coords, low, high, node, hubs[h], i, reach):
                settled = True
                break
        if settled:
            continue
        if node < tree.inner:
            near, far = 2 * node, 2 * node + 1
            if box_distance(coords, low, high, far, i) < box_distance(coords, low, high, near, i):
                near, far = far, near
            stack[depth], stack[depth + 1] = far, near
            depth += 2
            continue
        for j in range(first[node], last[node]):
            if j == i or tree.alive[j] == 0:
                continue
            value = squared(coords, i, j)
            if value > limit:
                continue
            own = code(label, i, j)
            shared = False
            for h in range(known):
                v = hubs[h]
                if is_before(coords, label, v, j, value, own) and is_before(coords, label, v, i, value, own):
                    shared = True
                    break
            if not shared:
                members[count] = j
                count += 1
                if known < HUBS:
                    hubs[known], lengths[known] = j, value * (1 + MARGIN)
                    known += 1
    return count


@jit_no_refcount
def is_nearer(coords: np.ndarray, low: np.ndarray, high: np.ndarray, node: int, v: int, i: int, reach: float) -> bool:
    """Whether all of a box is nearer to v than to i, beyond rounding: the difference of the squares is linear.

    Args:
        coords: (n, c) points in the order of the tree.
        low: (nodes, c) lowest coordinates of each node's bounding box.
        high: (nodes, c) highest ones.
        node: the node whose box it is.
        v: a position in the tree.
        i: another one.
        reach: `box_reach` of i, which the allowance for rounding is a share of.
    """
    of_v, of_i = 0.0, 0.0
    for k in range(coords.shape[1]):
        corner = low[node, k] if coords[v, k] > coords[i, k] else high[node, k]
        of_v += (coords[v, k] - corner) * (coords[v, k] - corner)
        of_i += (coords[i, k] - corner) * (coords[i, k] - corner)
    return of_v - of_i < -MARGIN * reach


@jit_no_refcount
def _has_cofacet(tree: Tree, i: int, j: int, stack: np.ndarray) -> bool:
    """Whether some vertex has edges to i and to j that come before (i, j)."""
    coords, label = tree.coords, tree.label
    value, own = squared(coords, i, j), code(label, i, j)
    stack[0] = 1
    leaf, depth = next_leaf(tree, i, j, value, stack, 1)
    while leaf >= 0:
        for v in range(tree.first[leaf], tree.last[leaf]):
            if v in (i, j) or not is_before(coords, label, v, i, value, own):
                continue
            if is_before(coords, label, v, j, value, own):
                return True
        leaf, depth = next_leaf(tree, i, j, value, stack, depth)
    return False


@jit
def merges(tree: Tree, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which edges in order join two components, the component that each of those kills, and those that are left.

    All vertices are born at 0, so age is the original number: the component with the higher lowest number dies.

    Returns:
        Whether each edge joins (e,); the oldest vertex of each component that dies (k,) and of those left (c,).
    """
    label = tree.label
    n = label.shape[0]
    parent = np.arange(n)  # by original number
    joins, dead = np.zeros(edges.shape[0], np.bool_), np.empty(n, np.int64)
    count = 0
    for e in range(edges.shape[0]):
        a, b = _root(parent, label[edges[e, 0]]), _root(parent, label[edges[e, 1]])
        if a != b:
            joins[e] = True
            parent[max(a, b)] = min(a, b)
            dead[count] = max(a, b)
            count += 1
    return joins, dead[:count].copy(), np.flatnonzero(parent == np.arange(n))


@jit_no_refcount
def _root(parent: np.ndarray, v: int) -> int:
    while parent[v] != v:
        parent[v] = parent[parent[v]]
        v = parent[v]
    return v
