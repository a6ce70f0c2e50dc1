"""Cost of each point of one diagram against another: its nearest point there, or the diagonal."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import jit, jit_inline, jit_numpy_errors, jit_part
from topokd.topology.kernels.sorting import argsort

UNDERFLOW = 1e-150  # squares of distances below it may be zero


@jit_numpy_errors  # scale may be 0
def costs(points: np.ndarray, others: np.ndarray, scale: float) -> tuple[np.ndarray, ...]:
    """min(`scale` * squared distance to the nearest of `others`, squared distance to the diagonal), per point.

    Args:
        points: (k, 2) birth and death.
        others: (m, 2) birth and death.
        scale: weight of a match against the diagonal.

    Returns:
        costs (k,); matches: index of the point (e,), index of the place (e,) and weight (e,), where ties share the
        weight equally; places (g, 2), the distinct rows of `others`; place of each of `others` (m,).
    """
    k, m = points.shape[0], others.shape[0]
    births, deaths = np.empty(m), np.empty(m)
    for q in range(m):
        births[q] = others[q, 0]
    by_birth = argsort(births)
    for q in range(m):
        deaths[q] = others[by_birth[q], 1]
    order = by_birth[argsort(deaths)]
    place_of = np.empty(m, np.int64)
    g = 0
    for q in order:
        if g == 0 or others[q, 0] != births[g - 1] or others[q, 1] != deaths[g - 1]:
            births[g], deaths[g] = others[q, 0], others[q, 1]
            g += 1
        place_of[q] = g - 1
    places = np.empty((g, 2))
    for q in range(g):
        places[q, 0], places[q, 1] = births[q], deaths[q]
    births, deaths = births[:g], deaths[:g]

    cost, nearest, ties = np.empty(k), np.empty(k), np.empty(k, np.int64)
    total = 0
    for p in range(k):
        birth, death = points[p, 0], points[p, 1]
        cost[p] = (death - birth) * (death - birth) / 2
        # only places closer than the diagonal matter
        nearest[p], ties[p] = _nearest(births, deaths, birth, death, 1.000001 * cost[p] / scale)
        if ties[p] > 0 and scale * nearest[p] <= cost[p]:
            cost[p] = scale * nearest[p]
        else:
            ties[p] = 0
        total += ties[p]
    rows, columns, weights = np.empty(total, np.int64), np.empty(total, np.int64), np.empty(total)
    count = 0
    for p in range(k):
        last = count + ties[p]
        farthest = 1.000001 * np.sqrt(nearest[p]) + UNDERFLOW if ties[p] > 0 else 0.0
        q = np.searchsorted(deaths, points[p, 1] - farthest)
        while count < last:
            if _squared(places[q, 0], places[q, 1], points[p, 0], points[p, 1]) == nearest[p]:
                rows[count], columns[count], weights[count] = p, q, 1.0 / ties[p]
                count += 1
            q += 1
    return cost, rows, columns, weights, places, place_of


@jit_inline
def _squared(b: float, d: float, birth: float, death: float) -> float:
    return (b - birth) * (b - birth) + (d - death) * (d - death)


@jit_part
def _nearest(births: np.ndarray, deaths: np.ndarray, birth: float, death: float, reach: float) -> tuple[float, int]:
    """Squared distance to the nearest place, and how many places tie; (inf, 0) if all are beyond `reach`.

    `deaths` is sorted: the search starts at `death` and takes places by the difference in death until that alone
    is too large.
    """
    nearest, ties = np.inf, 0
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
        squared = _squared(births[q], deaths[q], birth, death)
        if squared < nearest:
            nearest, ties = squared, 1
            reach = min(reach, nearest)
        elif squared == nearest:
            ties += 1
    return nearest, ties


@jit
def gradients(
    gradient: np.ndarray,
    points: np.ndarray,
    rows: np.ndarray,
    columns: np.ndarray,
    weights: np.ndarray,
    places: np.ndarray,
    place_of: np.ndarray,
    scale: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of both diagrams from that of the costs.

    Args:
        gradient: (k,) gradient of the costs.
        points: (k, 2) the argument of `costs`.
        rows: (e,) index of the point of each match, from `costs`.
        columns: (e,) index of its place, likewise.
        weights: (e,) its weight, likewise.
        places: (g, 2) distinct rows of the others, likewise.
        place_of: (m,) place of each of the others, likewise.
        scale: the argument of `costs`.

    Returns:
        Gradients of `points` (k, 2) and of the others (m, 2).
    """
    of_points, of_places = np.zeros(points.shape), np.zeros(places.shape)
    matched = np.zeros(points.shape[0], np.bool_)
    for e in range(rows.shape[0]):
        p, q = rows[e], columns[e]
        matched[p] = True
        for axis in range(2):
            slope = 2.0 * scale * weights[e] * gradient[p] * (points[p, axis] - places[q, axis])
            of_points[p, axis] += slope
            of_places[q, axis] -= slope
    for p in range(points.shape[0]):
        if not matched[p]:
            slope = gradient[p] * (points[p, 1] - points[p, 0])
            of_points[p, 0], of_points[p, 1] = -slope, slope
    size = np.zeros(places.shape[0])
    for place in place_of:
        size[place] += 1.0
    of_others = np.empty((place_of.shape[0], 2))
    for q in range(place_of.shape[0]):
        for axis in range(2):
            of_others[q, axis] = of_places[place_of[q], axis] / size[place_of[q]]
    return of_points, of_others
