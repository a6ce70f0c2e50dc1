"""Values of critical simplices, their critical edges, and the gradient from there to the points.

`topokd.topology.kernels.critical` for whole diagrams, in plain C form: `topokd.compiled.native` calls these functions.
Pairs of zero persistence in the precision of the points are left out here.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import compiled, jit_no_refcount

FINITE_0, FINITE_1, ESSENTIAL_0, ESSENTIAL_1, EDGES = range(5)  # entries of `counts`
SIDES = ((0, 1), (0, 2), (1, 2))  # of a triangle


@compiled(_nrt=False, fastmath={"reassoc", "contract", "nsz"})
def distance(points, a, b, c):
    """Distance of the rows that begin at entries a and b."""
    total = 0.0
    for k in range(c):
        difference = points[a + k] - points[b + k]
        total += difference * difference
    return np.sqrt(total)


@jit_no_refcount
def rounded(value, single):
    """The value in the precision of the points."""
    return np.float64(np.float32(value)) if single else value


@jit_no_refcount
def add_edge(a, b, length, owner, share, eps, ends, owners, factors, count):
    """List a critical edge.

    Args:
        a: one end.
        b: the other end.
        length: its length.
        owner: entry of the values that it belongs to.
        share: number of critical edges of the simplex, which share its gradient equally.
        eps: added to the length that a gradient is divided by.
        ends: on return a and b in entries 2 ``count`` and 2 ``count`` + 1.
        owners: on return ``owner`` in entry ``count``.
        factors: on return 1 / ``share`` / (``length`` + ``eps``) in entry ``count``.
        count: critical edges listed so far.

    Returns:
        How many are listed now.
    """
    ends[2 * count], ends[2 * count + 1], owners[count] = a, b, owner
    factors[count] = 1.0 / (share * (length + eps))
    return count + 1


@jit_no_refcount
def critical(points, c, single, tolerance, eps, counts, simplices, lengths, floats, ends, owners, factors):
    """Fill in the values of all pairs, and their critical edges; compact the simplices to the pairs that are kept.

    Args:
        points: (n, c) rows.
        c: number of coordinates.
        single: whether values are rounded to float32 (and compared in it).
        tolerance: edges within it of the longest of a simplex share its gradient.
        eps: added to the lengths that a gradient is divided by.
        counts: numbers of pairs and of essential classes, see the constants above; those kept on return.
        simplices: six lists of vertices: of degree 0 birth (k, 1), death (k, 2), essential (e, 1), of degree 1 birth
            (k, 2), death (k, 3), essential (e, 2).
        lengths: scratch, four numbers per pair of degree 1.
        floats: on return birth and death of degree 0, of degree 1, then the essential births of both.
        ends: on return the ends of each critical edge.
        owners: on return the entry of ``floats`` that each critical edge is the value of.
        factors: on return 1 / (critical edges of the simplex) / (length + eps).
    """
    birth_0, death_0, birth_1, death_1, essential_1 = (
        simplices[0], simplices[1], simplices[3], simplices[4], simplices[5],
    )  # fmt: skip
    edges = kept = 0
    for k in range(counts[FINITE_0]):
        a, b = death_0[2 * k], death_0[2 * k + 1]
        length = distance(points, a * c, b * c, c)
        value = rounded(length, single)
        if value > 0.0:
            birth_0[kept], death_0[2 * kept], death_0[2 * kept + 1] = birth_0[k], a, b
            floats[2 * kept], floats[2 * kept + 1] = 0.0, value
            edges = add_edge(a, b, length, 2 * kept + 1, 1, eps, ends, owners, factors, edges)
            kept += 1
    counts[FINITE_0], kept, base = kept, 0, 2 * kept
    for k in range(counts[FINITE_1]):
        born = distance(points, birth_1[2 * k] * c, birth_1[2 * k + 1] * c, c)
        dies = 0.0
        for side in range(3):
            a, b = death_1[3 * k + SIDES[side][0]], death_1[3 * k + SIDES[side][1]]
            lengths[4 * kept + side] = distance(points, a * c, b * c, c)
            dies = max(dies, lengths[4 * kept + side])
        if rounded(dies, single) > rounded(born, single):
            lengths[4 * kept + 3] = born
            for v in range(2):
                birth_1[2 * kept + v] = birth_1[2 * k + v]
            for v in range(3):
                death_1[3 * kept + v] = death_1[3 * k + v]
            floats[base + 2 * kept], floats[base + 2 * kept + 1] = rounded(born, single), rounded(dies, single)
            kept += 1
    counts[FINITE_1] = kept
    for k in range(kept):
        edges = add_edge(
            birth_1[2 * k], birth_1[2 * k + 1], lengths[4 * k + 3], base + 2 * k, 1, eps, ends, owners, factors, edges
        )
    for k in range(kept):
        longest = max(lengths[4 * k], lengths[4 * k + 1], lengths[4 * k + 2])
        tied = 0
        for side in range(3):
            tied += lengths[4 * k + side] >= longest - tolerance
        for side in range(3):
            if lengths[4 * k + side] >= longest - tolerance:
                a, b = death_1[3 * k + SIDES[side][0]], death_1[3 * k + SIDES[side][1]]
                edges = add_edge(a, b, lengths[4 * k + side], base + 2 * k + 1, tied, eps, ends, owners, factors, edges)
    base += 2 * kept
    for k in range(counts[ESSENTIAL_0]):
        floats[base + k] = 0.0
    base += counts[ESSENTIAL_0]
    for k in range(counts[ESSENTIAL_1]):
        a, b = essential_1[2 * k], essential_1[2 * k + 1]
        length = distance(points, a * c, b * c, c)
        floats[base + k] = rounded(length, single)
        edges = add_edge(a, b, length, base + k, 1, eps, ends, owners, factors, edges)
    counts[EDGES] = edges


@jit_no_refcount
def slopes(
    gradient_0, gradient_1, split, points, skipped, edges, ends, first_end, owners, first_owner, factors, first_factor,
    c, out,
):  # fmt: skip
    """Add the gradient of the points, from that of the two diagrams, see `spread`.

    Args:
        gradient_0: gradient of the values before entry ``split``, float32 or float64.
        gradient_1: gradient of the others.
        split: see ``gradient_0``.
        points: (n, c) rows, float32 or float64.
        skipped: 1 to leave out ``gradient_0``, plus 2 to leave out ``gradient_1``.
        edges: number of critical edges.
        ends: their ends, from entry ``first_end`` on, see `critical`.
        first_end: see ``ends``.
        owners: entries of the values that they belong to, from entry ``first_owner`` on.
        first_owner: see ``owners``.
        factors: their factors, from entry ``first_factor`` on.
        first_factor: see ``factors``.
        c: number of coordinates.
        out: (n, c) float64, to which the gradient is added.
    """
    for e in range(edges):
        owner = owners[first_owner + e]
        degree = np.int64(owner >= split)
        if skipped >> degree & 1:
            continue
        g = (gradient_1[owner - split] if degree == 1 else gradient_0[owner]) * factors[first_factor + e]
        i, j = ends[first_end + 2 * e] * c, ends[first_end + 2 * e + 1] * c
        for k in range(c):
            slope = g * (np.float64(points[i + k]) - np.float64(points[j + k]))
            out[i + k] += slope
            out[j + k] -= slope


def finish(points, c, single, tolerance, eps, counts, simplices, lengths, floats, factors):
    """`critical`, for `topokd.topology.values`.

    Args:
        points: (n, c) rows.
        c: number of coordinates.
        single: as in `critical`, like the arguments that are not described here.
        tolerance: likewise.
        eps: likewise.
        counts: likewise.
        simplices: the six lists of `critical`; on return the ends in list 6 and the owners in list 7.
        lengths: likewise.
        floats: likewise.
        factors: likewise.

    Returns:
        0.
    """
    critical(points, c, single, tolerance, eps, counts, simplices, lengths, floats, simplices[6], simplices[7], factors)
    return 0


def spread(
    first64, first32, second64, second32, split, skipped, single, x64, x32, n, c, edges, ends, owners, factors, out,
    result,
):  # fmt: skip
    """The gradient of the points from those of the two diagrams.

    Args:
        first64: gradient of the entries before ``split``, if not ``single``.
        first32: likewise, if ``single``.
        second64: gradient of the others, if not ``single``.
        second32: likewise, if ``single``.
        split: see ``first64``.
        skipped: 1 if there is no gradient of the first part, plus 2 if there is none of the second.
        single: whether points and gradients are float32.
        x64: points (n, c), if not ``single``.
        x32: likewise, if ``single``.
        n: number of points.
        c: number of coordinates.
        edges: number of critical edges.
        ends: see `critical`.
        owners: see `critical`.
        factors: see `critical`.
        out: (n, c) on return the gradient.
        result: (n, c) on return the gradient in float32, if ``single``.
    """
    for k in range(n * c):
        out[k] = 0.0
    if single:
        slopes(first32, second32, split, x32, skipped, edges, ends, 0, owners, 0, factors, 0, c, out)
        for k in range(n * c):
            result[k] = np.float32(out[k])
    else:
        slopes(first64, second64, split, x64, skipped, edges, ends, 0, owners, 0, factors, 0, c, out)
    return 0
