"""Cost of each point of one diagram against another: the nearest point there, or the diagonal."""

from __future__ import annotations

import numpy as np
from numba import njit

TINY = 1e-150  # squares of distances below it may be zero


@njit(cache=True, nogil=True, error_model="numpy")  # scale may be 0
def costs(points, others, scale):  # type: ignore[no-untyped-def]
    """min(``scale`` * squared distance to the nearest of ``others``, squared distance to the diagonal), per point.

    Returns: the costs (k,); rows and columns of the pairs (p, q) that a match costs and the share of each, several
    where several places are as near; the places (g, 2), which are the distinct ones among ``others``, and the place of
    each of ``others`` (m,).
    """
    k, m = points.shape[0], others.shape[0]
    by_birth = np.argsort(others[:, 0], kind="mergesort")
    order = by_birth[np.argsort(others[:, 1][by_birth], kind="mergesort")]
    births, deaths = np.empty(m), np.empty(m)
    place_of = np.empty(m, np.int64)
    g = 0
    for q in order:
        if g == 0 or others[q, 0] != births[g - 1] or others[q, 1] != deaths[g - 1]:
            births[g], deaths[g] = others[q, 0], others[q, 1]
            g += 1
        place_of[q] = g - 1
    places = np.empty((g, 2))
    places[:, 0], places[:, 1] = births[:g], deaths[:g]

    cost, best, ties = np.empty(k), np.empty(k), np.empty(k, np.int64)
    total = 0
    for p in range(k):
        birth, death = points[p, 0], points[p, 1]
        cost[p] = (death - birth) * (death - birth) / 2
        # what is further off than the diagonal does not matter
        best[p], ties[p] = _nearest(places[:, 0], places[:, 1], birth, death, 1.000001 * cost[p] / scale)
        if ties[p] > 0 and scale * best[p] <= cost[p]:
            cost[p] = scale * best[p]
        else:
            ties[p] = 0
        total += ties[p]
    rows, columns, shares = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total)
    count = 0
    for p in range(k):
        last = count + ties[p]
        furthest = 1.000001 * np.sqrt(best[p]) + TINY if ties[p] > 0 else 0.0
        q = np.searchsorted(deaths[:g], points[p, 1] - furthest)
        while count < last:
            if _square(places[q, 0], places[q, 1], points[p, 0], points[p, 1]) == best[p]:
                rows[count], columns[count], shares[count] = p, q, 1.0 / ties[p]
                count += 1
            q += 1
    return cost, rows, columns, shares, places, place_of


@njit(cache=True, nogil=True, inline="always")
def _square(b, d, birth, death):  # type: ignore[no-untyped-def]
    return (b - birth) * (b - birth) + (d - death) * (d - death)


@njit(cache=True, nogil=True)
def _nearest(births, deaths, birth, death, reach):  # type: ignore[no-untyped-def]
    """Squared distance to the nearest place, and how many are as near; (inf, 0) if all are beyond ``reach``.

    The search begins where ``death`` would stand among the rising ``deaths`` and takes them by their distance from it
    until that alone is too far.
    """
    best, ties = np.inf, 0
    above = np.searchsorted(deaths, death)
    below = above - 1
    while above < deaths.shape[0] or below >= 0:
        if above == deaths.shape[0] or (below >= 0 and death - deaths[below] < deaths[above] - death):
            q = below
            below -= 1
        else:
            q = above
            above += 1
        if (deaths[q] - death) * (deaths[q] - death) > reach:
            break
        square = _square(births[q], deaths[q], birth, death)
        if square < best:
            best, ties = square, 1
            reach = min(reach, best)
        elif square == best:
            ties += 1
    return best, ties


@njit(cache=True, nogil=True)
def gradients(gradient, points, rows, columns, shares, places, place_of, scale):  # type: ignore[no-untyped-def]
    """Of the costs' ``gradient`` (k,), for ``points`` (k, 2) and the others (m, 2); the arrays are those of `costs`."""
    of_points, of_places = np.zeros(points.shape), np.zeros(places.shape)
    matched = np.zeros(points.shape[0], np.bool_)
    for e in range(rows.shape[0]):
        p, q = rows[e], columns[e]
        matched[p] = True
        for axis in range(2):
            move = 2.0 * scale * shares[e] * gradient[p] * (points[p, axis] - places[q, axis])
            of_points[p, axis] += move
            of_places[q, axis] -= move
    for p in range(points.shape[0]):
        if not matched[p]:
            move = gradient[p] * (points[p, 1] - points[p, 0])
            of_points[p, 0], of_points[p, 1] = -move, move
    size = np.zeros(places.shape[0])
    for place in place_of:
        size[place] += 1.0
    of_others = np.empty((place_of.shape[0], 2))
    for q in range(place_of.shape[0]):
        of_others[q] = of_places[place_of[q]] / size[place_of[q]]
    return of_points, of_others
