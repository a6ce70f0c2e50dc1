"""From the diagrams of clouds to matches with a teacher's, and from PWCD back to the points, each in one call.

In plain C form (`topokd.compiled.native`). `match` writes all that `gradients` needs to one list of words, ``state``,
in the order in which the arrays are named there.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from topokd.topology.kernels.nearest import compare_pair, pull
from topokd.topology.kernels.settings import jit_no_refcount
from topokd.topology.kernels.values import EDGES, ESSENTIAL_0, ESSENTIAL_1, FINITE_0, FINITE_1, slopes


@jit_no_refcount
def offsets(rows, comparisons, clouds):
    """Where the parts of ``state`` begin, after the points: matches, divisors, sizes, counts, critical edges."""
    sizes = 3 * rows + comparisons
    return 2 * rows, 3 * rows, sizes, sizes + 2 * comparisons, sizes + 2 * comparisons + 5 * clouds


def match(
    counts, clouds, degrees, compared, t64, t32, known, s64, s32, single, scale, whole, factors, state, words, cost64,
    cost32, weight64, weight32,
):  # fmt: skip
    """Compare the diagrams of clouds with a teacher's, and keep what a gradient needs.

    Args:
        counts: counts of each cloud, see `small.diagrams`.
        clouds: number of clouds.
        degrees: degrees whose diagrams are compared.
        compared: how many degrees these are.
        t64: the teacher's diagrams, cloud by cloud and degree by degree, if not ``single``.
        t32: likewise, if ``single``.
        known: pairs of each.
        s64: values of all clouds, see `small.diagrams`, if not ``single``.
        s32: likewise, if ``single``.
        single: whether clouds and diagrams are float32.
        scale: weight of a match against the diagonal.
        whole: see `small.diagrams`.
        factors: likewise.
        state: on return birth and death of each row, [matches], divisors, [k and m of each comparison, counts, and of
            each cloud the ends and the owners of its critical edges] and their factors.
        words: the same memory, where the parts in brackets are.
        cost64: as in `nearest.compare`, like the next ones.
        cost32: likewise.
        weight64: likewise.
        weight32: likewise.

    Returns:
        0; or why nothing else holds: a result of `nearest.compare`, or the first of ``counts`` below 0.
    """
    rows = 0
    for cloud in range(clouds):
        if counts[5 * cloud] < 0:
            return counts[5 * cloud]
        for d in range(compared):
            rows += known[compared * cloud + d] + counts[5 * cloud + degrees[d]]
    mates, _, sizes, counted, edge = offsets(rows, compared * clouds, clouds)
    row = at = value_at = whole_at = factor_at = comparison = 0
    for cloud in range(clouds):
        own_counts = 5 * cloud
        a, b = counts[own_counts + FINITE_0], counts[own_counts + FINITE_1]
        e, f = counts[own_counts + ESSENTIAL_0], counts[own_counts + ESSENTIAL_1]
        m = counts[own_counts + EDGES]
        for d in range(compared):
            k, own = known[comparison], counts[5 * cloud + degrees[d]]
            status = compare_pair(
                t64[comparison], t32[comparison], s64, s32, value_at + 2 * a * degrees[d], k, own, row, at, single,
                scale, state, words, mates, cost64, cost32, weight64, weight32,
            )  # fmt: skip
            if status != 0:
                return status
            words[sizes + 2 * comparison], words[sizes + 2 * comparison + 1] = k, own
            comparison, row, at = comparison + 1, row + k + own, at + k
        for k in range(5):
            words[counted + 5 * cloud + k] = counts[5 * cloud + k]
        ends = whole_at + 3 * a + e + 5 * b + 2 * f
        for k in range(3 * m):
            words[edge + k] = whole[ends + k]
        for k in range(m):
            state[edge + 3 * m + k] = factors[factor_at + k]
        edge, whole_at, factor_at = edge + 4 * m, ends + 3 * m, factor_at + m
        value_at += 2 * (a + b) + e + f
    return 0


def gradients(
    g, x64, x32, single, c, points, clouds, degrees, compared, scale, state, words, weight64, weight32, parts, of_pairs,
    of_points, out64, out32,
):  # fmt: skip
    """Gradients of the points of several clouds, one after the other, from that of the sum of all values.

    Args:
        g: gradient of the sum.
        x64: points of each cloud, if not ``single``.
        x32: likewise, if ``single``.
        single: as in `match`, like the arguments that are not described here.
        c: number of coordinates.
        points: number of points of each cloud; then the number of rows.
        clouds: likewise.
        degrees: likewise.
        compared: likewise.
        scale: likewise.
        state: likewise.
        words: likewise.
        weight64: log(1 + persistence) of the teacher's pairs, if not ``single``.
        weight32: likewise, if ``single``.
        parts: scratch, four numbers per pair of the largest diagram.
        of_pairs: scratch, two numbers per finite pair of a cloud.
        of_points: scratch, one number per coordinate of a cloud.
        out64: on return the gradients (n, c), if not ``single``.
        out32: likewise, if ``single``.
    """
    mates, divisors, sizes, counted, edge = offsets(points[clouds], compared * clouds, clouds)
    comparison = row = at = out_at = 0
    for cloud in range(clouds):
        first = counted + 5 * cloud
        a, b = words[first + FINITE_0], words[first + FINITE_1]
        f, m = words[first + ESSENTIAL_1], words[first + EDGES]
        for entry in range(2 * (a + b)):
            of_pairs[entry] = 0.0
        for d in range(compared):
            k, own = words[sizes + 2 * comparison], words[sizes + 2 * comparison + 1]
            pull(
                g, state[divisors + comparison], weight64, weight32, single, row, at, k, own, scale, state, words,
                mates, parts, of_pairs, 2 * a * degrees[d],
            )  # fmt: skip
            comparison, row, at = comparison + 1, row + k + own, at + k
        size, owners, factor = points[cloud] * c, edge + 2 * m, edge + 3 * m
        for k in range(size):
            of_points[k] = 0.0
        if single:
            slopes(of_pairs, of_pairs, 0, x32[cloud], 0, m - f, words, edge, words, owners, state, factor, c, of_points)
            for k in range(size):
                out32[out_at + k] = np.float32(of_points[k])
        else:
            slopes(of_pairs, of_pairs, 0, x64[cloud], 0, m - f, words, edge, words, owners, state, factor, c, of_points)
            for k in range(size):
                out64[out_at + k] = of_points[k]
        edge, out_at = edge + 4 * m, out_at + size
    return 0
