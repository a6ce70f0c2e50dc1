"""The backward pass from PWCD to the points of clouds in one call, in plain C form (`topokd._native`)."""

# mypy: disable-error-code="no-untyped-def"
from __future__ import annotations

import numpy as np

from topokd.topology.kernels.nearest import pull
from topokd.topology.kernels.values import slopes


def gradients(
    g, x64, x32, single, c, rows, clouds, degrees, compared, counts, whole, factors, sizes, scale, weight64, weight32,
    total, points, mate, parts, of_pairs, of_points, out64, out32,
):  # fmt: skip
    """Gradients of the points of several clouds, one after the other, from that of the sum of all values.

    Args:
        g: gradient of the sum.
        x64: points of each cloud, if not ``single``.
        x32: likewise, if ``single``.
        single: whether clouds and diagrams are float32.
        c: number of coordinates.
        rows: number of points of each cloud.
        clouds: number of clouds.
        degrees: whose diagrams are compared.
        compared: how many degrees these are.
        counts: of each cloud, see `small.diagrams`, and so are the next two.
        whole: simplices and critical edges.
        factors: of critical edges.
        sizes: of the comparisons, cloud by cloud and degree by degree, see `nearest.compare`, and so are the next ones.
        scale: likewise.
        weight64: likewise.
        weight32: likewise.
        total: likewise.
        points: likewise.
        mate: likewise.
        parts: scratch, see `nearest.gradients`.
        of_pairs: scratch, two numbers per finite pair of a cloud.
        of_points: scratch, one number per coordinate of a cloud.
        out64: on return the gradients (n, c), if not ``single``.
        out32: likewise, if ``single``.
    """
    comparison = row = at = whole_at = factor_at = out_at = 0
    for cloud in range(clouds):
        a, b, e, f, m = (
            counts[5 * cloud], counts[5 * cloud + 1], counts[5 * cloud + 2], counts[5 * cloud + 3],
            counts[5 * cloud + 4],
        )  # fmt: skip
        for entry in range(2 * (a + b)):
            of_pairs[entry] = 0.0
        for d in range(compared):
            k, own = sizes[2 * comparison], sizes[2 * comparison + 1]
            pull(
                g, total[comparison], weight64, weight32, single, row, at, k, own, scale, points, mate, parts, of_pairs,
                2 * a * degrees[d],
            )  # fmt: skip
            comparison, row, at = comparison + 1, row + k + own, at + k
        size = rows[cloud] * c
        for k in range(size):
            of_points[k] = 0.0
        ends = whole_at + 3 * a + e + 5 * b + 2 * f
        owners = ends + 2 * m
        if single:
            slopes(
                of_pairs, of_pairs, 0, x32[cloud], 0, m - f, whole, ends, whole, owners, factors, factor_at, c,
                of_points,
            )  # fmt: skip
            for k in range(size):
                out32[out_at + k] = np.float32(of_points[k])
        else:
            slopes(
                of_pairs, of_pairs, 0, x64[cloud], 0, m - f, whole, ends, whole, owners, factors, factor_at, c,
                of_points,
            )  # fmt: skip
            for k in range(size):
                out64[out_at + k] = of_points[k]
        whole_at, factor_at, out_at = owners + m, factor_at + m, out_at + size
    return 0
