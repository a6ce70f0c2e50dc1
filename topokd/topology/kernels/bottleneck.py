"""Bottleneck distance of two diagrams with its gradients; float64."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.norms import DIAGONAL, slope
from topokd.topology.kernels.settings import jit, jit_no_refcount
from topokd.topology.kernels.sorting import argsort


@jit
def distance(a, b):  # type: ignore[no-untyped-def]
    """The distance, and its gradients (k, 2) and (m, 2): the pairs of a best matching that cost it share them.

    The answer is one of finitely many costs. It is at least ``low``, for every point has to go somewhere; whether a
    cost suffices is a matching of the points too far from the diagonal. Bisection first over numbers, until few costs
    are left, then over these.
    """
    k, m = a.shape[0], b.shape[0]
    order_a, order_b = argsort(a[:, 1]), argsort(b[:, 1])
    a_sorted, b_sorted = a[order_a], b[order_b]
    alone_a, alone_b = (a_sorted[:, 1] - a_sorted[:, 0]) / 2, (b_sorted[:, 1] - b_sorted[:, 0]) / 2
    low = max(_lower_bound(a_sorted, b_sorted, alone_a), _lower_bound(b_sorted, a_sorted, alone_b))
    of_a, of_b = np.zeros((k, 2)), np.zeros((m, 2))
    high = low
    for alone in alone_a:
        high = max(high, alone)
    for alone in alone_b:
        high = max(high, alone)
    fits, mate_a, mate_b = _cover(a_sorted, b_sorted, alone_a, alone_b, low)
    if fits:
        high = low
    else:
        for _ in range(60):
            if _count_between(a_sorted, b_sorted, alone_a, alone_b, low, high) <= 4 * (k + m):
                break
            middle = low + (high - low) / 2
            if not low < middle < high:
                break
            if _cover(a_sorted, b_sorted, alone_a, alone_b, middle)[0]:
                high = middle
            else:
                low = middle
        costs = np.unique(_costs_between(a_sorted, b_sorted, alone_a, alone_b, low, high))
        first, last = 0, costs.shape[0] - 1  # the answer is among them, and the last suffices
        while first < last:
            middle_cost = (first + last) // 2
            if _cover(a_sorted, b_sorted, alone_a, alone_b, costs[middle_cost])[0]:
                last = middle_cost
            else:
                first = middle_cost + 1
        high = costs[first]
        fits, mate_a, mate_b = _cover(a_sorted, b_sorted, alone_a, alone_b, high)
    if high > 0:
        critical = 0
        for i in range(k):
            j = mate_a[i]
            if j < 0:
                if alone_a[i] == high:
                    critical += 1
                    of_a[order_a[i], 0], of_a[order_a[i], 1] = -0.5, 0.5
            elif _apart(a_sorted, i, b_sorted, j) == high:
                critical += 1
                db, dd = a_sorted[i, 0] - b_sorted[j, 0], a_sorted[i, 1] - b_sorted[j, 1]
                of_a[order_a[i], 0], of_a[order_a[i], 1] = slope(db, dd, high, np.inf), slope(dd, db, high, np.inf)
                of_b[order_b[j], 0], of_b[order_b[j], 1] = -of_a[order_a[i], 0], -of_a[order_a[i], 1]
        for j in range(m):
            if mate_b[j] < 0 and alone_b[j] == high:
                critical += 1
                of_b[order_b[j], 0], of_b[order_b[j], 1] = -0.5, 0.5
        if critical > 1:
            of_a /= critical
            of_b /= critical
    return high, of_a, of_b


@jit_no_refcount
def _apart(a, i, b, j):  # type: ignore[no-untyped-def]
    return max(abs(a[i, 0] - b[j, 0]), abs(a[i, 1] - b[j, 1]))


@jit_no_refcount
def _first_from(b, value):  # type: ignore[no-untyped-def]
    """The first row of ``b``, sorted by death, with a death of at least ``value``."""
    below, above = 0, b.shape[0]
    while below < above:
        middle = (below + above) // 2
        if b[middle, 1] < value:
            below = middle + 1
        else:
            above = middle
    return below


@jit_no_refcount
def _reach(i, a, cost):  # type: ignore[no-untyped-def]
    """Deaths beyond this distance of row i's cost more than ``cost``, rounding included."""
    return cost + 4e-16 * (cost + abs(a[i, 1]))


@jit_no_refcount
def _lower_bound(a, b, alone):  # type: ignore[no-untyped-def]
    """The largest over points of ``a`` of the least cost that any place offers it."""
    bound = 0.0
    for i in range(a.shape[0]):
        best = alone[i]
        if best <= bound:
            continue
        j = _first_from(b, a[i, 1] - _reach(i, a, best))
        while j < b.shape[0] and b[j, 1] - a[i, 1] <= best and best > bound:
            best = min(best, _apart(a, i, b, j))
            j += 1
        bound = max(bound, best)
    return bound


@jit_no_refcount
def _count_between(a, b, alone_a, alone_b, low, high):  # type: ignore[no-untyped-def]
    count = 0
    for i in range(a.shape[0]):
        count += low < alone_a[i] <= high
        reach = _reach(i, a, high)
        j = _first_from(b, a[i, 1] - reach)
        while j < b.shape[0] and b[j, 1] - a[i, 1] <= reach:
            if alone_a[i] > low or alone_b[j] > low:
                count += low < _apart(a, i, b, j) <= high
            j += 1
    for j in range(b.shape[0]):
        count += low < alone_b[j] <= high
    return count


@jit
def _costs_between(a, b, alone_a, alone_b, low, high):  # type: ignore[no-untyped-def]
    """Costs above ``low`` and up to ``high`` of pairs that may be needed, and of the diagonal."""
    costs = np.empty(_count_between(a, b, alone_a, alone_b, low, high))
    count = 0
    for i in range(a.shape[0]):
        if low < alone_a[i] <= high:
            costs[count] = alone_a[i]
            count += 1
        reach = _reach(i, a, high)
        j = _first_from(b, a[i, 1] - reach)
        while j < b.shape[0] and b[j, 1] - a[i, 1] <= reach:
            if (alone_a[i] > low or alone_b[j] > low) and low < _apart(a, i, b, j) <= high:
                costs[count] = _apart(a, i, b, j)
                count += 1
            j += 1
    for j in range(b.shape[0]):
        if low < alone_b[j] <= high:
            costs[count] = alone_b[j]
            count += 1
    return costs


@jit
def _cover(a, b, alone_a, alone_b, cost):  # type: ignore[no-untyped-def]
    """Whether one matching within ``cost`` covers all points further than that from the diagonal, and the matching."""
    mate_a, mate_b = np.full(a.shape[0], DIAGONAL), np.full(b.shape[0], DIAGONAL)
    fits = _augment(a, b, alone_a, alone_b, cost, mate_a, mate_b)
    if fits:
        fits = _augment(b, a, alone_b, alone_a, cost, mate_b, mate_a)
    return fits, mate_a, mate_b


@jit
def _augment(a, b, alone_a, alone_b, cost, mate_a, mate_b):  # type: ignore[no-untyped-def]
    """Extend a matching until every row of ``a`` with alone_a > cost has a mate; False where that is impossible.

    A breadth-first path ends at a free row of ``b``, or at one whose owner may go to the diagonal. Rows of ``b`` that
    are matched stay matched.
    """
    k, m = a.shape[0], b.shape[0]
    before, seen, queue = np.empty(m, np.int64), np.full(m, -1), np.empty(k, np.int64)
    for start in range(k):
        if alone_a[start] <= cost or mate_a[start] >= 0:
            continue
        queue[0], head, tail = start, 0, 1
        end = -1
        while head < tail and end < 0:
            i = queue[head]
            head += 1
            reach = _reach(i, a, cost)
            j = _first_from(b, a[i, 1] - reach)
            while j < m and b[j, 1] - a[i, 1] <= reach:
                if seen[j] != start and _apart(a, i, b, j) <= cost:
                    seen[j], before[j] = start, i
                    owner = mate_b[j]
                    if owner < 0 or alone_a[owner] <= cost:
                        end = j
                        break
                    queue[tail] = owner
                    tail += 1
                j += 1
        if end < 0:
            return False
        if mate_b[end] >= 0:
            mate_a[mate_b[end]] = DIAGONAL
        while True:
            i = before[end]
            previous = mate_a[i]
            mate_a[i], mate_b[end] = end, i
            if i == start:
                break
            end = previous
    return True
