"""The sliced Wasserstein distance on lines of increasing angle: sorted once, then kept in order."""

from __future__ import annotations

import numpy as np

from topokd.topology.kernels.settings import jit, jit_no_refcount


@jit_no_refcount
def project(points, x, y, order, along):  # type: ignore[no-untyped-def]
    """Project points on a line, in order.

    The order on the line before is nearly right: any two points change places once in half a turn, so that insertion
    takes no more than k (k - 1) / 2 exchanges for all lines together.

    Args:
        points: (k, 2) pairs.
        x: first coordinate of the line's unit vector.
        y: second coordinate.
        order: (k,) rows in the order on the line before; on return in that on this line.
        along: (k,) on return their projections, rising.
    """
    for i in range(len(order)):
        row = order[i]
        value = x * points[row, 0] + y * points[row, 1]
        place = i
        while place > 0 and along[place - 1] > value:
            along[place], order[place] = along[place - 1], order[place - 1]
            place -= 1
        along[place], order[place] = value, row


@jit
def distance(a, b, lines, order_a, order_b, middle_a, middle_b):  # type: ignore[no-untyped-def]
    """Mean over lines of the sum of distances of sorted projections, and its gradients (k, 2) and (m, 2).

    On each line the points of ``a`` and the middles of ``b`` are matched in order with the points of ``b`` and the
    middles of ``a``. A pair's middle is its point on the diagonal; middles have one order on all lines, or its reverse.

    Args:
        a: (k, 2) pairs.
        b: (m, 2) pairs.
        lines: (l, 2) unit vectors, of increasing angle within half a turn.
        order_a: (k,) rows in any order; changed.
        order_b: (m,) likewise.
        middle_a: (k,) rows by birth + death.
        middle_b: (m,) likewise.
    """
    k, m = len(a), len(b)
    of_a, of_b = np.zeros((k, 2)), np.zeros((m, 2))
    on_a, on_b = np.empty(k), np.empty(m)
    total = 0.0
    for line in range(len(lines)):
        x, y = lines[line, 0], lines[line, 1]
        project(a, x, y, order_a, on_a)
        project(b, x, y, order_b, on_b)
        half = (x + y) / 2
        ia = ib = ma = mb = 0  # how many points of a and of b, and middles of them, are matched
        for _ in range(k + m):
            # the next of a's points and b's middles, with the next of b's points and a's middles
            row_mb = middle_b[mb if half > 0 else m - 1 - mb] if mb < m else -1
            row_ma = middle_a[ma if half > 0 else k - 1 - ma] if ma < k else -1
            left = half * (b[row_mb, 0] + b[row_mb, 1]) if mb < m else np.inf
            right = half * (a[row_ma, 0] + a[row_ma, 1]) if ma < k else np.inf
            point_left, point_right = ia < k and on_a[ia] <= left, ib < m and on_b[ib] <= right
            left, right = on_a[ia] if point_left else left, on_b[ib] if point_right else right
            total += abs(left - right)
            if left != right:
                sign = 1.0 if left > right else -1.0
                if point_left:
                    of_a[order_a[ia], 0] += sign * x
                    of_a[order_a[ia], 1] += sign * y
                else:
                    of_b[row_mb, 0] += sign * half
                    of_b[row_mb, 1] += sign * half
                if point_right:
                    of_b[order_b[ib], 0] -= sign * x
                    of_b[order_b[ib], 1] -= sign * y
                else:
                    of_a[row_ma, 0] -= sign * half
                    of_a[row_ma, 1] -= sign * half
            ia, mb = ia + point_left, mb + (not point_left)
            ib, ma = ib + point_right, ma + (not point_right)
    return total / len(lines), of_a / len(lines), of_b / len(lines)
