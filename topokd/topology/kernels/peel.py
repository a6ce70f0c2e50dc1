"""Vertices that the sparse sweep can leave out from some length on, so that a large hole does not need all edges.

Vertex u is dominated by w from the squared length r on if (u, w) enters by r and, for every other vertex x, (w, x)
enters before (u, x) or by r. Then N(u) is in N(w) at every later edge, and the complex collapses onto the one without u
(strong collapse: Barmak and Minian, 2012; Boissonnat and Pritam, 2020). These collapses commute with the inclusions, so
later deaths are those of the cloud without u. Removed one after another, the points of a disk shrink to one, and
those of an annulus to the rim of its hole.
"""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.kd_tree import STACK, Tree, box_reach, is_before_edge, remove, shell, squared
from topokd.topology.kernels.relative_neighbours import is_nearer
from topokd.topology.kernels.settings import jit, jit_no_refcount
from topokd.topology.kernels.sparse_state import NeighbourLists

MIN_NEAR, MAX_NEAR = 48, 192  # neighbours that may dominate a vertex, about
OBSTACLES = 16  # vertices that rule all of them out, at most; a vertex that needs more stays


@jit
def peel(tree: Tree, lists: NeighbourLists, reached: float) -> int:
    """Remove vertices from the tree, and from the lists, that are dominated from `reached` on. Returns how many.

    A vertex that stays has obstacles, which together rule all its neighbours out; when one of them is removed, the
    vertex is examined again.
    """
    n = tree.label.shape[0]
    members, distance, stack = np.empty(n, np.int64), np.empty(n), np.empty(STACK, np.int64)
    obstacles, count = np.empty((n, OBSTACLES), np.int32), np.zeros(n, np.int64)
    before, removed, radius = tree.left[1], 1, reached
    while removed > 0:
        removed = 0
        for u in range(n):
            if tree.alive[u] == 0 or not (count[u] == 0 or _any_gone(tree.alive, obstacles[u], count[u])):
                continue
            near = shell(tree, u, -1.0, radius, stack, members, distance)
            while near > MAX_NEAR or (near < MIN_NEAR and radius < reached):
                radius = min(reached, radius * (0.7 if near > MAX_NEAR else 1.5))
                near = shell(tree, u, -1.0, radius, stack, members, distance)
            w = _dominating(tree, u, near, reached, members, obstacles[u], count[u : u + 1], stack)
            if w >= 0:
                remove(tree, u)
                lists.dominator[u] = w
                removed += 1
    if tree.left[1] < before:
        _clean(tree, lists)
    return before - tree.left[1]


@jit_no_refcount
def _any_gone(alive: np.ndarray, obstacles: np.ndarray, count: int) -> bool:
    gone = False
    for k in range(count):
        gone |= alive[obstacles[k]] == 0
    return gone


@jit_no_refcount
def _dominating(
    tree: Tree,
    u: int,
    near: int,
    reached: float,
    members: np.ndarray,
    obstacles: np.ndarray,
    count: np.ndarray,
    stack: np.ndarray,
) -> int:
    """One of the neighbours `members[:near]` of u that dominates it, or -1 and the obstacles."""
    coords, label = tree.coords, tree.label
    kept = 0
    for k in range(count[0]):  # obstacles of the previous examination that are still there
        if tree.alive[obstacles[k]] != 0:
            obstacles[kept] = obstacles[k]
            kept += 1
    count[0] = kept
    for k in range(kept):
        near = _not_ruled_out(coords, label, u, obstacles[k], reached, members, near)
    while near > 0:
        x = _obstacle(tree, u, members[near // 2], reached, stack)
        if x < 0:
            return members[near // 2]
        if count[0] == OBSTACLES:
            return -1
        obstacles[count[0]] = x
        count[0] += 1
        near = _not_ruled_out(coords, label, u, x, reached, members, near)
    return -1


@jit_no_refcount
def _not_ruled_out(
    coords: np.ndarray, label: np.ndarray, u: int, x: int, reached: float, members: np.ndarray, near: int
) -> int:
    """Keep the neighbours of u that x does not prevent from dominating it. Returns their number."""
    kept = 0
    for k in range(near):
        w = members[k]
        if w == x or squared(coords, w, x) <= reached or not is_before_edge(coords, label, u, x, w, x):
            members[kept] = w
            kept += 1
    return kept


@jit_no_refcount
def _obstacle(tree: Tree, u: int, w: int, reached: float, stack: np.ndarray) -> int:
    """A vertex that is farther than `reached` from w and has its edge to u before that to w; -1 for none."""
    coords, label, alive, low, high = tree.coords, tree.label, tree.alive, tree.low, tree.high
    stack[0], depth = 1, 1
    while depth > 0:
        depth -= 1
        node = stack[depth]
        if tree.left[node] == 0 or box_reach(coords, low, high, node, w) <= reached:
            continue
        if is_nearer(coords, low, high, node, w, u, box_reach(coords, low, high, node, u)):
            continue
        if node < tree.inner:
            stack[depth], stack[depth + 1] = 2 * node, 2 * node + 1
            depth += 2
            continue
        for x in range(tree.first[node], tree.last[node]):
            if alive[x] == 0 or x in (u, w) or squared(coords, w, x) <= reached:
                continue
            if is_before_edge(coords, label, u, x, w, x):
                return x
    return -1


@jit_no_refcount
def _clean(tree: Tree, lists: NeighbourLists) -> None:
    """Take removed vertices out of the lists."""
    for p in range(lists.is_active.shape[0]):
        if lists.is_active[p] == 0:
            continue
        if tree.alive[p] == 0:
            lists.is_active[p] = 0
            continue
        kept, busy = lists.start[p], 0
        for k in range(lists.start[p], lists.start[p] + lists.size[p]):
            if tree.alive[lists.vertex[k]] != 0:
                lists.vertex[kept], lists.annotation[kept] = lists.vertex[k], lists.annotation[k]
                kept += 1
                busy += lists.annotation[k] != 0
        lists.busy[p] = busy
        lists.size[p] = kept - lists.start[p]
