"""PWCD of small diagrams from compiled calls: matches, values, and what gradients need."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from topokd.topology.native import compare_kernel, pull_kernel, values_kernel
from topokd.topology.sums import MAX_SUMMANDS, lanes_of

MAX_SMALL = MAX_SUMMANDS  # points of a diagram; each is compared with all points of the other


class Matches(NamedTuple):
    """Comparisons of teacher's diagrams (k, 2) with student's (m, 2), one after the other; rows are pairs of both.

    Attributes:
        sizes: k and m of each comparison.
        scale: s of Eq. 2-3.
        state: birth and death of each row, of each row its match, of each comparison the divisor of Eq. 2, then k and
            m; 64 bits each. `topokd.topology.layer` appends more.
        weights: log(1 + persistence) of the teacher's pairs, then the costs of all rows.
        rows: number of rows.
        known: number of the teacher's pairs.
    """

    sizes: list[int]
    scale: float
    state: Tensor
    weights: Tensor
    rows: int
    known: int


def is_small_diagram(diagram: Any, dtype: torch.dtype) -> bool:
    """Whether compiled calls take a teacher's diagram as it is: they read and write float32 or float64.

    One with a gradient, or in half precision, takes the general path.
    """
    return (
        type(diagram) is Tensor
        and diagram.dtype == dtype
        and dtype in (torch.float32, torch.float64)
        and diagram.dim() == 2
        and diagram.shape[0] <= MAX_SMALL
        and diagram.shape[1] == 2
        and not diagram.requires_grad
        and diagram.device.type == "cpu"
        and diagram.is_contiguous()
    )


def compare(teacher: Float[Tensor, "k 2"], student: Float[Tensor, "m 2"], scale: float) -> Matches | None:
    """The matches of two diagrams.

    Args:
        teacher: `is_small_diagram`.
        student: likewise, of the same type.
        scale: s of Eq. 2-3.

    Returns:
        None where two points are equally near, numbers are not finite, or a death is before its birth: then the general
        path is needed.
    """
    k, m, dtype = teacher.shape[0], student.shape[0], teacher.dtype
    rows = k + m
    state, weights = torch.empty(3 * rows + 3, dtype=torch.float64), torch.empty(k + rows, dtype=dtype)
    first, second, points, weight = teacher.data_ptr(), student.data_ptr(), state.data_ptr(), weights.data_ptr()
    cost = weight + k * weights.itemsize
    if compare_kernel(
        first, first, second, second, k, m, dtype == torch.float32, scale, points, points + 16 * rows, cost, cost,
        weight, weight,
    ):  # fmt: skip
        return None
    weights[:k].log1p_()
    return Matches([k, m], scale, state, weights, rows, k)


def add_values(matches: Matches, eps: float, total: Float[Tensor, ""]) -> None:
    """Add Eq. 2-3 of all comparisons, one after the other, to ``total``.

    Args:
        matches: its costs are overwritten.
        eps: epsilon of Eq. 2.
        total: changed in place; in the type of the diagrams.
    """
    lanes, count = lanes_of(total.dtype), len(matches.sizes) // 2
    if lanes == 0:
        return _add_values_of_torch(matches, eps, total)
    weight, at, divisors = matches.weights.data_ptr(), total.data_ptr(), matches.state.data_ptr() + 24 * matches.rows
    cost, single = weight + matches.known * total.itemsize, total.dtype == torch.float32
    values_kernel(
        divisors + 8 * count, count, single, lanes, eps, cost, cost, weight, weight, divisors, at, at
    )  # fmt: skip


def _add_values_of_torch(matches: Matches, eps: float, total: Float[Tensor, ""]) -> None:
    """`add_values` with torch's own sums, on processors whose order of summation is not known."""
    row, first = matches.known, 0
    for c, (k, m) in enumerate(zip(matches.sizes[::2], matches.sizes[1::2], strict=True)):
        weight, cost = matches.weights[first : first + k], matches.weights[row : row + k + m]
        divisor = weight.sum() + eps
        matches.state[3 * matches.rows + c] = divisor
        value = (weight * cost[:k]).sum() / divisor if k else torch.zeros_like(total)
        total += value + cost[k:].mean() if m else value
        row, first = row + k + m, first + k


def gradient_of(matches: Matches, gradient: float) -> Float[Tensor, "m 2"]:
    """Gradient of the student's diagram of one comparison, from that of its value."""
    k, m = matches.sizes
    single, rows = matches.weights.dtype == torch.float32, matches.rows
    work = torch.empty(6 * m, dtype=torch.float64)
    result = torch.empty((m, 2), dtype=matches.weights.dtype)
    points, weight, parts, at = matches.state.data_ptr(), matches.weights.data_ptr(), work.data_ptr(), result.data_ptr()
    pull_kernel(
        gradient, k, m, single, matches.scale, weight, weight, points + 24 * rows, points, points + 16 * rows, parts,
        parts + 32 * m if single else at, at,
    )  # fmt: skip
    return result
