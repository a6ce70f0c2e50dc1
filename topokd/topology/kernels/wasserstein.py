"""Optimal matchings of two diagrams, and the Wasserstein distance with its gradients; float64."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.norms import DIAGONAL, ground, raised, slope
from topokd.topology.kernels.settings import jit


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
def distance(a, b, order, p):  # type: ignore[no-untyped-def]
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
                change = weight * slope(a[i, axis] - b[j, axis], a[i, 1 - axis] - b[j, 1 - axis], cost_a[i], p)
                of_a[i, axis], of_b[j, axis] = change, -change
    for j in range(m):
        if not taken[j]:
            weight = 1.0 if order == 1.0 else (cost_b[j] / value) ** (order - 1.0)
            of_b[j, 0], of_b[j, 1] = -share * weight, share * weight
    return value, of_a, of_b
