"""PWCD of small diagrams, all pairs of points at once, values and gradients.

In plain C form (`topokd.compiled.native`). `chamfer` is the form for any diagrams. Here costs and gradients are those
of `chamfer`, bit for bit, if no two points are equally near. A comparison is that of a teacher's diagram of k pairs
with a student's of m pairs; of several comparisons, one after the other, the k + m pairs of both are rows of one list.
`layer` compares diagrams of clouds.
"""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

from functools import partial

import numpy as np

from topokd.topology.kernels.settings import jit_no_refcount
from topokd.topology.kernels.values import rounded

TIE = 1  # results of `compare` other than 0
NOT_FINITE = 2
REVERSED = 3

jit_unchecked = partial(jit_no_refcount, error_model="numpy")  # divisors may be zero


@jit_no_refcount
def load(x64, x32, single, count, begin, out, first):
    """Copy numbers to float64.

    Args:
        x64: the numbers, if not ``single``.
        x32: likewise, if ``single``.
        single: whether they are float32.
        count: how many are copied.
        begin: entry of the first one.
        out: on return the numbers, from entry ``first`` on.
        first: see ``out``.

    Returns:
        Whether all are finite.
    """
    wrong = 0.0
    for k in range(count):
        out[first + k] = np.float64(x32[begin + k]) if single else x64[begin + k]
        wrong += out[first + k] * 0.0
    return wrong == 0.0


@jit_no_refcount
def nearest(points, first, k, other, m, scale, cost64, cost32, single, mate, mates):
    """Costs and matches of `compare` one way: of k rows among m others.

    Args:
        points: birth and death of each row, in float64.
        first: first of the k rows.
        k: how many rows are matched.
        other: first of the m rows.
        m: how many rows they may be matched with.
        scale: weight of a match against the diagonal.
        cost64: on return the costs of the k rows, each at the entry of its row, if not ``single``.
        cost32: likewise, if ``single``.
        single: whether costs are float32.
        mate: on return, at entry ``mates`` + row, the row that each is matched with, -1 for the diagonal.
        mates: see ``mate``.

    Returns:
        Whether each match is the only nearest row.
    """
    alone = True
    for p in range(first, first + k):
        birth, death = points[2 * p], points[2 * p + 1]
        best, which, ties = np.inf, -1, 0
        for q in range(other, other + m):
            b, d = points[2 * q] - birth, points[2 * q + 1] - death
            squared = b * b + d * d
            ties += squared == best
            if squared < best:
                best, which, ties = squared, q, 1
        cost, mate[mates + p] = (death - birth) * (death - birth) / 2, -1
        if m > 0 and scale * best <= cost:
            cost, mate[mates + p] = scale * best, which
            alone = alone and ties == 1
        if single:
            cost32[p] = np.float32(cost)
        else:
            cost64[p] = cost
    return alone


@jit_no_refcount
def compare_pair(
    t64, t32, s64, s32, first, k, m, row, at, single, scale, points, mate, mates, cost64, cost32, weight64, weight32
):
    """`compare` for one of several comparisons, whose rows and weights are parts of common lists.

    Args:
        t64: the teacher's diagram (k, 2), if not ``single``.
        t32: likewise, if ``single``.
        s64: the list that holds the student's diagram (m, 2), if not ``single``.
        s32: likewise, if ``single``.
        first: entry of that list at which the diagram begins.
        k: pairs of the teacher.
        m: pairs of the student.
        row: row of the teacher's first pair; the student's follow.
        at: entry of the first weight.
        single: whether diagrams are float32.
        scale: weight of a match against the diagonal.
        points: on return birth and death of the k + m rows, in float64.
        mate: on return, at entry ``mates`` + row, the row of the nearest of the others, -1 for the diagonal.
        mates: see ``mate``.
        cost64: on return the costs of the k + m rows, each at the entry of its row, if not ``single``.
        cost32: likewise, if ``single``.
        weight64: on return persistence of the teacher's pairs, at least 0, from entry ``at`` on, if not ``single``.
        weight32: likewise, if ``single``.

    Returns:
        0; or `TIE`, `NOT_FINITE`, `REVERSED` (a death before its birth): then nothing else holds.
    """
    if not load(t64, t32, single, 2 * k, 0, points, 2 * row) or not load(
        s64, s32, single, 2 * m, first, points, 2 * (row + k)
    ):
        return NOT_FINITE
    for p in range(row, row + k + m):
        if points[2 * p + 1] < points[2 * p]:
            return REVERSED
    if not nearest(points, row, k, row + k, m, scale, cost64, cost32, single, mate, mates):
        return TIE
    if not nearest(points, row + k, m, row, k, scale, cost64, cost32, single, mate, mates):
        return TIE
    for p in range(k):
        if single:
            weight32[at + p] = max(t32[2 * p + 1] - t32[2 * p], np.float32(0.0))
        else:
            weight64[at + p] = max(t64[2 * p + 1] - t64[2 * p], 0.0)
    return 0


def compare(t64, t32, s64, s32, k, m, single, scale, points, mate, cost64, cost32, weight64, weight32):
    """min(``scale`` * squared distance to the nearest of the others, squared distance to the diagonal), both ways.

    Args:
        t64: the teacher's diagram (k, 2), if not ``single``.
        t32: likewise, if ``single``.
        s64: the student's diagram (m, 2), if not ``single``.
        s32: likewise, if ``single``.
        k: pairs of the teacher.
        m: pairs of the student.
        single: whether diagrams are float32.
        scale: weight of a match against the diagonal.
        points: on return birth and death of each row, in float64.
        mate: on return the row of the nearest of the others, -1 for the diagonal; then, after one word, k and m.
        cost64: on return the cost of each row, if not ``single``.
        cost32: likewise, if ``single``.
        weight64: on return persistence of the teacher's pairs, at least 0, if not ``single``.
        weight32: likewise, if ``single``.

    Returns:
        0; or `TIE`, `NOT_FINITE`, `REVERSED` (a death before its birth): then nothing else holds.
    """
    mate[k + m + 1], mate[k + m + 2] = k, m
    return compare_pair(
        t64, t32, s64, s32, 0, k, m, 0, 0, single, scale, points, mate, 0, cost64, cost32, weight64, weight32
    )


@jit_unchecked
def add_up(numbers, first, count, lanes, zero):
    """The sum of numbers in the order in which torch adds them up, see `topokd.topology.sums`.

    Args:
        numbers: float32 or float64.
        first: entry of the first one.
        count: how many are added up.
        lanes: numbers in a vector register of this processor, see `topokd.topology.sums.lanes_of`.
        zero: 0 in the type of the numbers.

    Returns:
        The sum, in that type.
    """
    width = lanes if count >= lanes else 1
    groups = count // width
    quarter = groups // 4 * 4
    total = zero
    for k in range(first + groups * width, first + count):
        total += numbers[k]
    for lane in range(width):
        a = b = c = d = zero
        for k in range(first + lane, first + lane + quarter * width, 4 * width):
            a += numbers[k]
            b += numbers[k + width]
            c += numbers[k + 2 * width]
            d += numbers[k + 3 * width]
        for k in range(first + lane + quarter * width, first + lane + groups * width, width):
            a += numbers[k]
        total += a + b + c + d
    return total


@jit_unchecked
def value_of(cost, weight, row, at, k, m, lanes, zero, eps, size):
    """Eq. 2-3 of one comparison.

    Args:
        cost: cost of each row, float32 or float64; those of the teacher's pairs are multiplied by their weights.
        weight: log(1 + persistence) of the teacher's pairs.
        row: row of the teacher's first pair; the student's follow.
        at: entry of the first weight.
        k: pairs of the teacher.
        m: pairs of the student.
        lanes: see `add_up`.
        zero: 0 in the type of ``cost``.
        eps: eps of Eq. 2, in that type.
        size: m in that type.

    Returns:
        The value, and the divisor of Eq. 2: the sum of the weights + eps, 0 if the teacher has no pair.
    """
    value = total = zero
    if k > 0:
        total = add_up(weight, at, k, lanes, zero) + eps
        for p in range(k):
            cost[row + p] *= weight[at + p]
        value = add_up(cost, row, k, lanes, zero) / total
    if m > 0:
        value += add_up(cost, row + k, m, lanes, zero) / size
    return value, total


def values(sizes, count, single, lanes, eps, cost64, cost32, weight64, weight32, total, sum64, sum32):
    """Add the values of all comparisons, one after the other, to ``sum64`` or ``sum32``.

    Args:
        sizes: k and m of each comparison.
        count: comparisons.
        single: as in `compare`, like the arguments that are not described here.
        lanes: see `add_up`.
        eps: eps of Eq. 2.
        cost64: overwritten.
        cost32: likewise.
        weight64: log(1 + persistence) of the teacher's pairs.
        weight32: likewise.
        total: on return the divisor of Eq. 2 of each comparison.
        sum64: one number, if not ``single``.
        sum32: likewise, if ``single``.
    """
    row = at = 0
    for c in range(count):
        k, m = sizes[2 * c], sizes[2 * c + 1]
        if single:
            small, divisor = value_of(
                cost32, weight32, row, at, k, m, lanes, np.float32(0.0), np.float32(eps), np.float32(m)
            )
            sum32[0] += small
            total[c] = divisor
        else:
            value, total[c] = value_of(cost64, weight64, row, at, k, m, lanes, 0.0, eps, np.float64(m))
            sum64[0] += value
        row, at = row + k + m, at + k
    return 0


@jit_unchecked
def pull(g, total, weight64, weight32, single, row, at, k, m, scale, points, mate, mates, parts, out, first):
    """Gradient (m, 2) of the student's diagram in one comparison.

    What comes from the costs of the teacher's pairs and from its own are rounded before they are added, as autograd
    does.

    Args:
        g: gradient of the value.
        total: divisor of Eq. 2, see `value_of`.
        weight64: log(1 + persistence) of the teacher's pairs, if not ``single``.
        weight32: likewise, if ``single``.
        single: whether the gradient is rounded to float32.
        row: row of the teacher's first pair; the student's follow.
        at: entry of the first weight.
        k: pairs of the teacher.
        m: pairs of the student.
        scale: weight of a match against the diagonal.
        points: see `compare_pair`.
        mate: likewise.
        mates: likewise.
        parts: scratch (2, m, 2): what comes from the costs of the teacher's pairs, and from the student's own.
        out: on return the gradient, in float64, from entry ``first`` on.
        first: see ``out``.
    """
    for entry in range(4 * m):
        parts[entry] = 0.0
    of_teacher, of_student = rounded(g / total, single), rounded(g / m, single)
    for p in range(row, row + k + m):
        of_cost = of_student
        if p < row + k:
            weight = np.float64(weight32[at + p - row]) if single else weight64[at + p - row]
            of_cost = rounded(of_teacher * weight, single)
        q = mate[mates + p]
        for axis in range(2):
            if q >= 0:
                slope = 2.0 * scale * of_cost * (points[2 * p + axis] - points[2 * q + axis])
                if p < row + k:
                    parts[2 * (q - row - k) + axis] -= slope
                else:
                    parts[2 * (m + p - row - k) + axis] += slope
            elif p >= row + k:
                slope = of_cost * (points[2 * p + 1] - points[2 * p])
                parts[2 * (m + p - row - k) + axis] = slope if axis == 1 else -slope
    for entry in range(2 * m):
        own, other = rounded(parts[2 * m + entry], single), rounded(parts[entry], single)
        out[first + entry] = rounded(own + other, single)


def gradient(g, k, m, single, scale, weight64, weight32, total, points, mate, parts, out64, out32):
    """Gradient (m, 2) of the student's diagram of one comparison.

    Args:
        g: gradient of the value.
        k: as in `compare` and `values`, like the arguments that are not described here.
        m: likewise.
        single: likewise.
        scale: likewise.
        weight64: likewise.
        weight32: likewise.
        total: likewise.
        points: likewise.
        mate: likewise.
        parts: scratch, 4 m numbers.
        out64: on return the gradient.
        out32: likewise in float32, if ``single``.
    """
    pull(g, total[0], weight64, weight32, single, 0, 0, k, m, scale, points, mate, 0, parts, out64, 0)
    if single:
        for entry in range(2 * m):
            out32[entry] = np.float32(out64[entry])
    return 0
