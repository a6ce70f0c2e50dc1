"""PWCD of many pairs of small diagrams at once, with what its gradient needs, from a few compiled calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from topokd.topology.native import address, compare_kernel, pull_kernel, values_kernel
from topokd.topology.sums import MAX_SUMMANDS, lanes_of

MAX_SMALL = MAX_SUMMANDS  # points of a diagram for which all pairs are looked at


class Comparison(NamedTuple):
    """Teacher's diagrams (k, 2) against student's (m, 2): matches, and the weights of Eq. 2.

    Attributes:
        sizes: k and m of each comparison.
        single: whether diagrams are float32.
        scale: s of Eq. 2-3.
        state: birth and death of all rows in float64, then their matches, then the divisors of Eq. 2.
        weights: log(1 + persistence) of the teacher's pairs, then the costs of all rows.
        largest: m of the largest student's diagram.
    """

    sizes: ndarray
    single: bool
    scale: float
    state: Tensor
    weights: Tensor
    largest: int

    def addresses(self) -> tuple[int, int, int, int, int]:
        """Of sizes, points, matches, divisors and weights, for kernels."""
        points, rows = self.state.data_ptr(), (len(self.state) - len(self.sizes) // 2) // 3
        return address(self.sizes), points, points + 16 * rows, points + 24 * rows, self.weights.data_ptr()


def is_small_diagram(diagram: Any, dtype: torch.dtype) -> bool:
    """Whether compiled calls take a teacher's diagram as it is; one with a gradient takes the general path."""
    return (
        type(diagram) is Tensor
        and diagram.dtype == dtype
        and diagram.device.type == "cpu"
        and not diagram.requires_grad
        and diagram.dim() == 2
        and len(diagram) <= MAX_SMALL
        and diagram.shape[1] == 2
        and diagram.is_contiguous()
    )


def compare(
    teachers: Sequence[int], students: Sequence[int], sizes: Sequence[int], dtype: torch.dtype, scale: float
) -> Comparison | None:
    """Compare pairs of diagrams.

    Args:
        teachers: addresses of diagrams, contiguous, of up to `MAX_SMALL` pairs.
        students: likewise.
        sizes: k and m of each pair of diagrams.
        dtype: of all diagrams, float32 or float64.
        scale: s of Eq. 2-3.

    Returns:
        None where two points are equally near, or numbers are not finite: then the general path is needed.
    """
    single, count = dtype == torch.float32, len(teachers)
    rows, known = sum(sizes), sum(sizes[::2])
    table = np.array([*teachers, *students, *sizes], dtype=np.int64)
    state = torch.empty(3 * rows + count, dtype=torch.float64)
    weights = torch.empty(known + rows, dtype=dtype)
    at, points, weight = address(table), state.data_ptr(), weights.data_ptr()
    other, counted, cost = at + 8 * count, at + 16 * count, weight + known * weights.itemsize
    if compare_kernel(
        at, at, other, other, counted, count, single, scale, points, points + 16 * rows, cost, cost, weight, weight
    ):
        return None
    weights[:known].log1p_()
    return Comparison(table[2 * count :], single, scale, state, weights, max(sizes[1::2]))


def add_values(found: Comparison, eps: float, total: Float[Tensor, ""]) -> None:
    """Add Eq. 2-3 of all comparisons, one after the other, to ``total``.

    Args:
        found: its costs are overwritten.
        eps: epsilon of Eq. 2.
        total: changed in place; in the type of the diagrams.
    """
    sizes, _, _, divisors, weight = found.addresses()
    count, known = len(found.sizes) // 2, int(found.sizes[::2].sum())
    cost, at = weight + known * found.weights.itemsize, total.data_ptr()
    lanes = lanes_of(total.dtype)
    if lanes:
        values_kernel(sizes, count, found.single, lanes, eps, cost, cost, weight, weight, divisors, at, at)
        return
    row, first, divisor = known, 0, found.state[len(found.state) - count :]
    for c, (k, m) in enumerate(found.sizes.reshape(-1, 2).tolist()):
        weighting, costs = found.weights[first : first + k], found.weights[row : row + k + m]
        divided = weighting.sum() + eps
        divisor[c] = divided
        if k > 0:
            total += (weighting * costs[:k]).sum() / divided + (costs[k:].mean() if m else 0.0)
        elif m > 0:
            total += costs.mean()
        row, first = row + k + m, first + k


def gradient_of(found: Comparison, gradient: float) -> Tensor:
    """Gradients (m, 2) of the student's diagrams, one after the other, from that of the sum of all values."""
    sizes, points, matches, divisors, weight = found.addresses()
    rows, single = int(found.sizes[1::2].sum()), found.single
    work = torch.empty(4 * found.largest + 2 * rows, dtype=torch.float64)
    result = torch.empty((rows, 2), dtype=torch.float32 if single else torch.float64)
    parts, at = work.data_ptr(), result.data_ptr()
    out = parts + 32 * found.largest if single else at
    pull_kernel(
        gradient, sizes, len(found.sizes) // 2, single, found.scale, weight, weight, divisors, points, matches, parts,
        out, at,
    )  # fmt: skip
    return result
