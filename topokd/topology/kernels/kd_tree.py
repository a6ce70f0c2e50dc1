"""A k-d tree of points: finds the neighbours in a shell in time roughly proportional to their number.

Points are stored in the order of the tree, so near points are near in memory; `label` has their original numbers. The
squared distance of two points has the bits that `squared_distances` gives it for fewer than 12 coordinates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from topokd.topology.kernels.settings import compiled, jit, jit_no_refcount

LEAF = 8  # approximate number of points in a leaf
STACK = 128  # nodes that a search may have to return to: two per level
MARGIN = 1e-12  # relative rounding of a squared distance, with room


class Tree(NamedTuple):
    """Node k has the children 2 k and 2 k + 1; the root is 1."""

    coords: np.ndarray  # (n, c) in the order of the tree
    label: np.ndarray  # (n,) number of each point before
    first: np.ndarray  # (nodes,) points first : last are in the node
    last: np.ndarray  # (nodes,)
    low: np.ndarray  # (nodes, c) bounding box
    high: np.ndarray  # (nodes, c)
    alive: np.ndarray  # (n,) whether searches find the point; `remove` clears it
    left: np.ndarray  # (nodes,) how many of a node's points they find
    inner: int  # nodes below this number have children


@jit
def build(x: np.ndarray) -> Tree:
    """The tree of the points `x` (n, c), split at the median of the widest side of each box."""
    n, c = x.shape
    depth = 0
    while n >> depth > LEAF:
        depth += 1
    inner, nodes = 1 << depth, 2 << depth
    order = np.arange(n)
    first, last = np.zeros(nodes, np.int64), np.zeros(nodes, np.int64)
    low, high = np.empty((nodes, c)), np.empty((nodes, c))
    last[1] = n
    for node in range(1, nodes):
        begin, end = first[node], last[node]
        axis, widest = 0, -1.0
        for k in range(c):
            lowest, highest = np.inf, -np.inf
            for i in range(begin, end):
                lowest, highest = min(lowest, x[order[i], k]), max(highest, x[order[i], k])
            low[node, k], high[node, k] = lowest, highest
            if highest - lowest > widest:
                axis, widest = k, highest - lowest
        if node < inner:
            middle = (begin + end) // 2
            _select(order, x, axis, begin, end - 1, middle)
            first[2 * node], last[2 * node] = begin, middle
            first[2 * node + 1], last[2 * node + 1] = middle, end
    return Tree(x[order], order, first, last, low, high, np.ones(n, np.uint8), last - first, inner)


@jit_no_refcount
def _select(order: np.ndarray, x: np.ndarray, axis: int, left: int, right: int, k: int) -> None:
    """Reorder `order[left : right + 1]` so that no entry before k has a larger coordinate than any from k on."""
    while left < right:
        pivot = x[order[(left + right) // 2], axis]
        i, j = left, right
        while i <= j:
            while x[order[i], axis] < pivot:
                i += 1
            while x[order[j], axis] > pivot:
                j -= 1
            if i <= j:
                order[i], order[j] = order[j], order[i]
                i += 1
                j -= 1
        if k <= j:
            right = j
        elif k >= i:
            left = i
        else:
            return


@compiled(_nrt=False)
def _square(a: float) -> float:
    """Never contracted, as opposed to the products that follow it: the first square is rounded in a matrix too."""
    return a * a


@compiled(_nrt=False, fastmath={"contract"})
def squared(coords: np.ndarray, p: int, q: int) -> float:
    """Squared distance of two points, summed in the order of the coordinates."""
    total = _square(coords[p, 0] - coords[q, 0])
    for k in range(1, coords.shape[1]):
        difference = coords[p, k] - coords[q, k]
        total += difference * difference
    return total


@jit_no_refcount
def code(label: np.ndarray, p: int, q: int) -> int:
    """Breaks ties between edges of equal length, by the lower original number, then by the higher one."""
    i, j = label[p], label[q]
    return min(i, j) * label.shape[0] + max(i, j)


@jit_no_refcount
def is_before(coords: np.ndarray, label: np.ndarray, p: int, q: int, value: float, than: int) -> bool:
    """Whether edge (p, q) comes before another edge.

    Args:
        coords: (n, c) points in the order of the tree.
        label: (n,) original number of each.
        p: position of one end.
        q: position of the other end.
        value: squared length of the other edge.
        than: its code.
    """
    own = squared(coords, p, q)
    return own < value or (own == value and code(label, p, q) < than)


@jit_no_refcount
def is_before_edge(coords: np.ndarray, label: np.ndarray, p: int, q: int, i: int, j: int) -> bool:
    """Whether edge (p, q) comes before edge (i, j).

    Args:
        coords: (n, c) points in the order of the tree.
        label: (n,) original number of each.
        p: position of one end of the first edge.
        q: position of its other end.
        i: position of one end of the second edge.
        j: position of its other end.
    """
    return is_before(coords, label, p, q, squared(coords, i, j), code(label, i, j))


@jit_no_refcount
def remove(tree: Tree, p: int) -> None:
    """Hide a point from searches."""
    tree.alive[p] = 0
    node = 1
    tree.left[1] -= 1
    while node < tree.inner:
        node = 2 * node + (p >= tree.first[2 * node + 1])
        tree.left[node] -= 1


@jit_no_refcount
def box_distance(coords: np.ndarray, low: np.ndarray, high: np.ndarray, node: int, p: int) -> float:
    """Lower bound of the squared distances from p to the points of a node.

    Args:
        coords: (n, c) points in the order of the tree.
        low: (nodes, c) lowest coordinates of each node's bounding box.
        high: (nodes, c) highest ones.
        node: the node.
        p: a position in the tree.
    """
    total = 0.0
    for k in range(coords.shape[1]):
        outside = max(low[node, k] - coords[p, k], coords[p, k] - high[node, k], 0.0)
        total += outside * outside
    return total * (1 - MARGIN)


@jit_no_refcount
def box_reach(coords: np.ndarray, low: np.ndarray, high: np.ndarray, node: int, p: int) -> float:
    """Upper bound of the squared distances from p to the points of a node.

    Args:
        coords: (n, c) points in the order of the tree.
        low: (nodes, c) lowest coordinates of each node's bounding box.
        high: (nodes, c) highest ones.
        node: the node.
        p: a position in the tree.
    """
    total = 0.0
    for k in range(coords.shape[1]):
        farthest = max(high[node, k] - coords[p, k], coords[p, k] - low[node, k])
        total += farthest * farthest
    return total * (1 + MARGIN)


@jit_no_refcount
def shell(
    tree: Tree, p: int, inner: float, outer: float, stack: np.ndarray, members: np.ndarray, distance: np.ndarray
) -> int:
    """Find the points at a squared distance of `inner` to `outer` from p, both included, other than p.

    Args:
        tree: the points.
        p: the centre, a position in the tree.
        inner: lowest squared distance.
        outer: highest squared distance.
        stack: (STACK,) buffer.
        members: (n,) buffer: the points.
        distance: (n,) buffer: their squared distances.

    Returns:
        their number.
    """
    coords, first, last, low, high = tree.coords, tree.first, tree.last, tree.low, tree.high
    stack[0], depth, count = 1, 1, 0
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if tree.left[node] == 0 or box_distance(coords, low, high, node, p) > outer:
            continue
        if inner > 0 and box_reach(coords, low, high, node, p) < inner:
            continue
        if node < tree.inner:
            stack[depth], stack[depth + 1] = 2 * node, 2 * node + 1
            depth += 2
            continue
        for q in range(first[node], last[node]):
            value = squared(coords, p, q)
            if inner <= value <= outer and q != p and tree.alive[q] != 0:
                members[count], distance[count] = q, value
                count += 1
    return count


@jit_no_refcount
def next_leaf(tree: Tree, p: int, q: int, reach: float, stack: np.ndarray, depth: int) -> tuple[int, int]:
    """The next leaf that may hold points within the squared distance `reach` of both p and q.

    Args:
        tree: the points.
        p: a position in the tree.
        q: another one.
        reach: squared distance.
        stack: (STACK,) buffer, with the root, 1, at first.
        depth: nodes on it, 1 at first.

    Returns:
        the leaf, -1 if none is left, and how many nodes are on the stack.
    """
    while depth > 0:
        depth -= 1
        node = stack[depth]
        far = max(
            box_distance(tree.coords, tree.low, tree.high, node, p),
            box_distance(tree.coords, tree.low, tree.high, node, q),
        )
        if far > reach:
            continue
        if node >= tree.inner:
            return node, depth
        stack[depth], stack[depth + 1] = 2 * node, 2 * node + 1
        depth += 2
    return -1, 0
