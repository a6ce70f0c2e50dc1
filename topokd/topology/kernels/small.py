"""Diagrams of clouds of up to 64 points: neighbourhoods, and the living classes of an edge, are a few words of bits.

One compiled call does everything between the points and the critical edges. Read in this order:

1. `small_edges`: the points are loaded, and their edges listed in the order in which they enter;
2. `small_sweep`: the edges enter one by one, which gives pairs of simplices;
3. `values.critical`: the values of the simplices, and the edges that a gradient passes through;
4. this file: the three steps for one cloud, and for many, whose results are appended to common lists.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import jit_no_refcount
from topokd.topology.kernels.small_edges import fill_squares, load_points, order_edges
from topokd.topology.kernels.small_sweep import sweep
from topokd.topology.kernels.values import EDGES, ESSENTIAL_0, ESSENTIAL_1, FINITE_0, FINITE_1, critical

NOT_FINITE, OUT_OF_RANGE = -1, -2  # statuses of a cloud that needs another path


@jit_no_refcount
def diagram_of(x64, x32, first, single, n, c, limit, tolerance, unit, with_cycles, least, most, floats, table, words_of,
               counts, simplices):  # fmt: skip
    """Pairs, values and critical edges of one cloud.

    Args:
        x64: rows of all clouds, if not ``single``.
        x32: likewise, if ``single``.
        first: first row of the cloud.
        single: whether the rows are float32.
        n: number of points.
        c: number of coordinates.
        limit: squared length of the longest edge that enters.
        tolerance: tolerance of ties, in multiples of ``unit``, see `values.critical`.
        unit: a length; negative for the extent of the cloud.
        with_cycles: whether degree 1 is computed.
        least: smallest extent whose squares are safe.
        most: greatest one.
        floats: scratch; on return the values in list 4 and the factors of critical edges in list 5.
        table: scratch, see `diagrams`.
        words_of: scratch, likewise.
        counts: on return five numbers, see `values`.
        simplices: on return vertices of the pairs in lists 0 to 5, see `values.critical`; ends and owners of critical
            edges in lists 6 and 7.

    Returns:
        0; or why there are none, `NOT_FINITE` or `OUT_OF_RANGE`.
    """
    filtration, points, centred = floats[0], floats[1], floats[2]
    extent = load_points(x64, x32, first, single, n, c, points, centred)
    if extent < 0.0:
        return NOT_FINITE
    if extent > most or (extent < least and extent != 0.0):
        return OUT_OF_RANGE
    fill_squares(centred, n, c, filtration)
    radius = np.inf
    for i in range(n):
        farthest = 0.0
        for j in range(n):
            farthest = max(farthest, filtration[i * n + j])
        radius = min(radius, farthest)
    edges = table[8]
    count = order_edges(filtration, words_of[0], n, min(limit, radius), edges, table[9], table[10])
    sweep(edges, count, n, with_cycles, table, words_of, counts, simplices)
    counted = extent if unit < 0.0 else unit
    eps = 1e-12 * counted
    if eps == 0.0:
        eps = 1e-12
    critical(
        points, c, single, tolerance * counted, eps, counts, simplices, floats[3], floats[4], simplices[6],
        simplices[7], floats[5],
    )  # fmt: skip
    return 0


@jit_no_refcount
def append_results(
    counts, simplices, floats, whole, whole_at, values64, values32, single, value_at, factors, factor_at
):
    """Append the results of one cloud to the lists of all.

    Args:
        counts: five numbers of the cloud, see `values`.
        simplices: its simplices and critical edges, as `diagram_of` leaves them.
        floats: its values and factors, likewise.
        whole: on return the simplices, ends and owners, from entry ``whole_at`` on.
        whole_at: see ``whole``.
        values64: on return the values, from entry ``value_at`` on, if not ``single``.
        values32: likewise, if ``single``.
        single: whether values are float32.
        value_at: see ``values64``.
        factors: on return the factors of critical edges, from entry ``factor_at`` on.
        factor_at: see ``factors``.
    """
    finite_0, finite_1, edges = counts[FINITE_0], counts[FINITE_1], counts[EDGES]
    essential_0, essential_1 = counts[ESSENTIAL_0], counts[ESSENTIAL_1]
    sizes = (
        finite_0, 2 * finite_0, essential_0, 2 * finite_1, 3 * finite_1, 2 * essential_1, 2 * edges, edges,
    )  # fmt: skip
    for part in range(8):
        for k in range(sizes[part]):
            whole[whole_at] = simplices[part][k]
            whole_at += 1
    for k in range(2 * finite_0 + 2 * finite_1 + essential_0 + essential_1):
        if single:
            values32[value_at + k] = np.float32(floats[4][k])
        else:
            values64[value_at + k] = floats[4][k]
    for k in range(edges):
        factors[factor_at + k] = floats[5][k]


def diagrams(
    x64, x32, single, clouds, c, limit, tolerance, unit, with_cycles, least, most, room, ends, counts, whole, values64,
    values32, factors, floats, table, words_of, simplices,
):  # fmt: skip
    """Diagrams of several clouds, until the lists are full.

    Args:
        x64: rows, if not ``single``.
        x32: rows, if ``single``.
        single: whether the rows are float32.
        clouds: number of clouds.
        c: number of coordinates.
        limit: squared length of the longest edge that enters.
        tolerance: tolerance of ties, in multiples of ``unit``, see `values.critical`.
        unit: a length; negative for the extent of the cloud.
        with_cycles: whether degree 1 is computed.
        least: smallest extent whose squares are safe.
        most: greatest one.
        room: entries of ``whole``; of the other lists there are half as many.
        ends: rows of cloud k are those from entry k to entry k + 1.
        counts: on return five numbers per cloud, see `values`; the first is negative where a cloud needs another path.
        whole: on return the simplices of all clouds, with the ends and the owners of critical edges.
        values64: on return the values of all clouds, if not ``single``.
        values32: likewise, if ``single``.
        factors: on return the factors of critical edges.
        floats: scratch, lists of float64, see `topokd.topology.native.Workspace`.
        table: scratch, lists of int64, likewise.
        words_of: scratch, lists of uint64, likewise; the first is the memory of the first list of ``floats``.
        simplices: scratch, lists of int64, likewise.

    Returns:
        The number of clouds done.
    """
    whole_at = value_at = factor_at = 0
    for cloud in range(clouds):
        n = ends[cloud + 1] - ends[cloud]
        if room - whole_at < 16 * n * n:
            return cloud
        totals = simplices[8]
        status = diagram_of(
            x64, x32, ends[cloud], single, n, c, limit, tolerance, unit, with_cycles, least, most, floats, table,
            words_of, totals, simplices,
        )  # fmt: skip
        for k in range(5):
            counts[5 * cloud + k] = status if status < 0 else totals[k]
        if status == 0:
            append_results(
                totals, simplices, floats, whole, whole_at, values64, values32, single, value_at, factors, factor_at
            )
            pairs, essential = totals[FINITE_0] + totals[FINITE_1], totals[ESSENTIAL_0] + totals[ESSENTIAL_1]
            whole_at += 3 * pairs + 2 * totals[FINITE_1] + essential + totals[ESSENTIAL_1] + 3 * totals[EDGES]
            value_at += 2 * pairs + essential
            factor_at += totals[EDGES]
    return clouds


def load_rows(x64, x32, single, n, c, points, centred, out):
    """`load_points` of one cloud, to be called from Python.

    Args:
        x64: (n, c) rows, if not ``single``.
        x32: likewise, if ``single``.
        single: whether the rows are float32.
        n: number of points.
        c: number of coordinates.
        points: (n, c) on return the rows, in float64.
        centred: (n, c) on return the rows minus the first one.
        out: on return one number, the result of `load_points`.

    Returns:
        0.
    """
    out[0] = load_points(x64, x32, 0, single, n, c, points, centred)
    return 0


def squared_distances(x, n, c, out):
    """Squared distances (n, n) of rows (n, c), as `diagrams` computes them."""
    fill_squares(x, n, c, out)
    return 0
