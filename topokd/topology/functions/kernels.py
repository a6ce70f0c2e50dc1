"""Compiled loops of the functions of diagrams: highest tents, matchings of two diagrams. Self-contained, float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from topokd._numba import drop_stale_caches, jit, jit_no_refcount

drop_stale_caches(Path(__file__).parent, "kernels.py")

DIAGONAL = -1  # the mate of a point that goes to the diagonal


@jit
def highest_tents(points, grid, k):  # type: ignore[no-untyped-def]
    """Rows of the ``k`` highest tents max(0, min(t - b, d - t)) over each t, the highest first, (b, k, g).

    At ties the first row comes first. ``points`` (b, n, 2), ``k`` at most n.
    """
    index = np.empty((points.shape[0], k, grid.shape[0]), np.int64)
    heights = np.empty(k)
    for batch in range(points.shape[0]):
        for g in range(grid.shape[0]):
            t = grid[g]
            for row in range(points.shape[1]):
                height = max(0.0, min(t - points[batch, row, 0], points[batch, row, 1] - t))
                if row >= k and height <= heights[k - 1]:
                    continue
                place = min(row, k - 1)
                while place > 0 and heights[place - 1] < height:
                    heights[place] = heights[place - 1]
                    index[batch, place, g] = index[batch, place - 1, g]
                    place -= 1
                heights[place] = height
                index[batch, place, g] = row
    return index


# -- Wasserstein ---------------------------------------------------------------------------------------------------


@jit_no_refcount
def ground(db, dd, p):  # type: ignore[no-untyped-def]
    """The p-norm of (db, dd)."""
    db, dd = abs(db), abs(dd)
    if p == np.inf:
        return max(db, dd)
    if p == 1.0:
        return db + dd
    if p == 2.0:
        return np.sqrt(db * db + dd * dd)
    most = max(db, dd)
    return most * ((db / most) ** p + (dd / most) ** p) ** (1.0 / p) if most > 0 else 0.0


@jit_no_refcount
def raised(x, order):  # type: ignore[no-untyped-def]
    """x ** order, for order >= 1."""
    if order == 1.0:
        return x
    if order == 2.0:
        return x * x
    return x**order


@jit
def optimal_matching(a, b, order, p):  # type: ignore[no-untyped-def]
    """Mate of each point of ``a`` (k, 2) among ``b`` (m, 2), or DIAGONAL: least sum of cost ** order.

    Points of ``b`` that are the mate of none go to the diagonal. A pair is matched only where that is cheaper than both
    going to the diagonal, so the problem is k by m instead of (k + m) by (k + m). Costs are relative to the largest
    distance to the diagonal, so that their powers neither overflow nor vanish.
    """
    k, m = a.shape[0], b.shape[0]
    if k > m:
        other = optimal_matching(b, a, order, p)
        mate = np.full(k, DIAGONAL)
        for j in range(m):
            if other[j] >= 0:
                mate[other[j]] = j
        return mate
    mate = np.full(k, DIAGONAL)
    share = 0.5 if p == np.inf else 2.0 ** (1.0 / p - 1.0)
    alone_a, alone_b = (a[:, 1] - a[:, 0]) * share, (b[:, 1] - b[:, 0]) * share
    if k == 0:
        return mate
    scale = max(alone_a.max(), alone_b.max())
    if not scale > 0:
        return mate
    one_birth = True
    for i in range(k):
        one_birth = one_birth and a[i, 0] == a[0, 0]
    for j in range(m):
        one_birth = one_birth and b[j, 0] == a[0, 0]
    for i in range(k):
        alone_a[i] = raised(alone_a[i] / scale, order)
    for j in range(m):
        alone_b[j] = raised(alone_b[j] / scale, order)
    if one_birth:
        _align(a[:, 1] / scale, b[:, 1] / scale, alone_a, alone_b, order, mate)
        return mate
    gain = np.empty((k, m))
    for i in range(k):
        for j in range(m):
            cost = raised(ground(a[i, 0] - b[j, 0], a[i, 1] - b[j, 1], p) / scale, order)
            gain[i, j] = cost - alone_a[i] - alone_b[j]
    _assign(gain, mate)
    return mate


@jit
def _align(deaths_a, deaths_b, alone_a, alone_b, order, mate):  # type: ignore[no-untyped-def]
    """Diagrams of one birth lie on a line, where matched points keep their order: alignment, one cell at a time."""
    k, m = deaths_a.shape[0], deaths_b.shape[0]
    rows, columns = np.argsort(deaths_a), np.argsort(deaths_b)
    move = np.zeros((k + 1, m + 1), np.uint8)  # 0: match, 1: the row's point to the diagonal, 2: the column's
    best = np.empty(m + 1)
    best[0] = 0.0
    for j in range(m):
        best[j + 1] = best[j] + alone_b[columns[j]]
        move[0, j + 1] = 2
    for i in range(k):
        corner = best[0]
        death, alone = deaths_a[rows[i]], alone_a[rows[i]]
        best[0] += alone
        move[i + 1, 0] = 1
        left = best[0]
        for j in range(m):
            column = columns[j]
            value = corner + raised(abs(death - deaths_b[column]), order)
            corner = best[j + 1]
            step = 0
            if corner + alone < value:
                value, step = corner + alone, 1
            if left + alone_b[column] < value:
                value, step = left + alone_b[column], 2
            best[j + 1] = value
            left = value
            move[i + 1, j + 1] = step
    i, j = k, m
    while i > 0 or j > 0:
        if move[i, j] == 0:
            i, j = i - 1, j - 1
            mate[rows[i]] = columns[j]
        elif move[i, j] == 1:
            i -= 1
        else:
            j -= 1


@jit
def _assign(gain, mate):  # type: ignore[no-untyped-def]
    """Least sum of gains (k, m) over matchings of some rows to some columns; shortest augmenting paths row by row.

    An unmatched row counts 0: it has a private column of cost 0, which is where a path may end instead of at a free
    column. u, v: dual variables, gain - u - v >= 0 and u <= 0, v <= 0.
    """
    k, m = gain.shape
    u, v = np.zeros(k), np.zeros(m)
    owner = np.full(m, -1)
    free = np.zeros(k, np.bool_)
    for i in range(k):
        j = int(np.argmin(gain[i]))
        if gain[i, j] < 0:
            u[i] = gain[i, j]
            if owner[j] < 0:
                owner[j], mate[i] = i, j
            else:
                free[i] = True
    distance, before = np.empty(m), np.empty(m, np.int64)
    done, visited = np.zeros(m, np.bool_), np.empty(m, np.int64)
    for start in range(k):
        if not free[start]:
            continue
        distance[:] = np.inf
        done[:] = False
        count, row, base = 0, start, 0.0
        leave, leaver = np.inf, start  # the cheapest way to end by sending a row to the diagonal
        while True:
            if base - u[row] < leave:
                leave, leaver = base - u[row], row
            nearest, end = np.inf, -1
            for j in range(m):
                if done[j]:
                    continue
                if gain[row, j] < 0:
                    length = base + (gain[row, j] - u[row] - v[j])
                    if length < distance[j]:
                        distance[j], before[j] = length, row
                if distance[j] < nearest:
                    nearest, end = distance[j], j
            if end < 0 or leave <= nearest:
                end, total = -1, leave
                break
            if owner[end] < 0:
                total = nearest
                break
            done[end] = True
            visited[count] = end
            count += 1
            row, base = owner[end], nearest
        u[start] += total
        for c in range(count):
            j = visited[c]
            u[owner[j]] += total - distance[j]
            v[j] -= total - distance[j]
        if end < 0:
            end = mate[leaver]
            mate[leaver] = DIAGONAL
            if leaver == start:
                continue
        while True:
            row = before[end]
            previous = mate[row]
            owner[end], mate[row] = row, end
            if row == start:
                break
            end = previous


@jit
def wasserstein(a, b, order, p):  # type: ignore[no-untyped-def]
    """The distance, and its gradients (k, 2) and (m, 2) with the matching held fixed."""
    k, m = a.shape[0], b.shape[0]
    mate = optimal_matching(a, b, order, p)
    taken = np.zeros(m, np.bool_)
    share = 0.5 if p == np.inf else 2.0 ** (1.0 / p - 1.0)
    cost_a, cost_b = np.empty(k), np.empty(m)
    scale = 0.0
    for i in range(k):
        j = mate[i]
        if j >= 0:
            taken[j] = True
            cost_a[i] = ground(a[i, 0] - b[j, 0], a[i, 1] - b[j, 1], p)
        else:
            cost_a[i] = (a[i, 1] - a[i, 0]) * share
        scale = max(scale, cost_a[i])
    for j in range(m):
        cost_b[j] = 0.0 if taken[j] else (b[j, 1] - b[j, 0]) * share
        scale = max(scale, cost_b[j])
    of_a, of_b = np.zeros((k, 2)), np.zeros((m, 2))
    if scale == 0.0:
        return 0.0, of_a, of_b
    total = 0.0
    for i in range(k):
        total += raised(cost_a[i] / scale, order)
    for j in range(m):
        total += raised(cost_b[j] / scale, order)
    value = scale * (total if order == 1.0 else total ** (1.0 / order))
    for i in range(k):
        weight = 1.0 if order == 1.0 else (cost_a[i] / value) ** (order - 1.0)
        j = mate[i]
        if j < 0:
            of_a[i, 0], of_a[i, 1] = -share * weight, share * weight
        elif cost_a[i] > 0:
            for axis in range(2):
                slope = weight * _slope(a[i, axis] - b[j, axis], a[i, 1 - axis] - b[j, 1 - axis], cost_a[i], p)
                of_a[i, axis], of_b[j, axis] = slope, -slope
    for j in range(m):
        if not taken[j]:
            weight = 1.0 if order == 1.0 else (cost_b[j] / value) ** (order - 1.0)
            of_b[j, 0], of_b[j, 1] = -share * weight, share * weight
    return value, of_a, of_b


@jit_no_refcount
def _slope(own, other, norm, p):  # type: ignore[no-untyped-def]
    """Derivative of the p-norm of (own, other) in its first argument; of two equal maxima each has half."""
    sign = np.sign(own)
    if p == np.inf:
        if abs(own) > abs(other):
            return sign
        return sign / 2 if abs(own) == abs(other) else 0.0
    if p == 1.0:
        return sign
    return sign * (abs(own) / norm) ** (p - 1.0)


# -- bottleneck ----------------------------------------------------------------------------------------------------


@jit
def bottleneck(a, b):  # type: ignore[no-untyped-def]
    """The distance, and its gradients (k, 2) and (m, 2): the pairs of a best matching that cost it share them.

    The answer is one of finitely many costs. It is at least ``low``, for every point has to go somewhere; whether a
    cost suffices is a matching of the points too far from the diagonal. Bisection first over numbers, until few costs
    are left, then over these.
    """
    k, m = a.shape[0], b.shape[0]
    order_a, order_b = np.argsort(a[:, 1], kind="mergesort"), np.argsort(b[:, 1], kind="mergesort")
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
                of_a[order_a[i], 0], of_a[order_a[i], 1] = _slope(db, dd, high, np.inf), _slope(dd, db, high, np.inf)
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
