"""Diagrams as tensors: the values of all pairs of a cloud and their gradients, from one compiled call each way.

`topokd.topology.critical_edges` is the general form, for any simplices, for distances and for GPUs. Here values,
critical edges and the choice of the pairs that persist are made together, and the results are the same, bit for bit.
"""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from topokd.topology.critical_edges import EPS_DIST, SAFE, differentiable, extent, in_forward_mode, tangent_of
from topokd.topology.engines import Pairs
from topokd.topology.native import address, finish_kernel, spread_kernel, table_of


class PackedDiagrams(NamedTuple):
    """The pairs of one cloud with positive persistence; arrays own their memory.

    Attributes:
        counts: finite pairs of degree 0 and 1, essential classes of degree 0 and 1, critical edges.
        whole: in degree 0 births, deaths and essential simplices, of degree 1 likewise, then the ends of the critical
            edges, and the entry of ``values`` that each belongs to.
        values: birth and death of degree 0, of degree 1, and the essential births of both, in the type of the points.
        factors: factors of critical edges, see `kernels.values`.
    """

    counts: list[int]
    whole: ndarray
    values: ndarray
    factors: ndarray


def safe_extent(x: Tensor) -> float:
    """Clouds of up to this extent have distances that do not overflow."""
    return min(SAFE, float(torch.finfo(x.dtype).max) / (4 * math.sqrt(max(1, x.shape[1]))))


def packed_from(
    pairs: Pairs, points: Float64[ndarray, "n c"], single: bool, tolerance: float, unit: float
) -> PackedDiagrams:
    """Values and critical edges of an engine's pairs.

    Args:
        pairs: pairs of degree 0, or of degrees 0 and 1.
        points: rows of the cloud.
        single: whether values are float32.
        tolerance: tolerance of ties, in multiples of ``unit``.
        unit: a length.
    """
    empty = np.empty((0, 3), np.int64)
    births, deaths, essential = (
        [*part, empty][:2] for part in (pairs.birth, pairs.death, pairs.essential)
    )  # degree 1 is empty where it was not asked for
    a, b, e, f = len(births[0]), len(births[1]), len(essential[0]), len(essential[1])
    critical = a + 4 * b + f
    starts = list(accumulate((a, 2 * a, e, 2 * b, 3 * b, 2 * f, 2 * critical, critical), initial=0))
    simplices = np.empty(starts[-1], np.int64)
    listed = [part[degree].reshape(-1) for degree in range(2) for part in (births, deaths, essential)]
    np.concatenate(listed, out=simplices[: starts[6]])
    size = 2 * (a + b) + e + f
    floats = np.empty(size + 4 * b + critical)
    at, values_at = address(simplices), address(floats)
    table, lists = table_of([at + 8 * start for start in starts[:-1]])
    counts, counted = table_of((a, b, e, f, 0))
    finish_kernel(
        address(points), points.shape[1], single, tolerance * unit, EPS_DIST * unit or EPS_DIST, counted, lists,
        values_at + 8 * size, values_at, values_at + 8 * (size + 4 * b),
    )  # fmt: skip
    del table  # not before
    a, b, e, f, m = kept = counts.tolist()
    sizes = (a, 2 * a, e, 2 * b, 3 * b, 2 * f, 2 * m, m)
    whole = np.concatenate([simplices[start : start + k] for start, k in zip(starts[:-1], sizes, strict=True)])
    values, factors = floats[: 2 * (a + b) + e + f], floats[len(floats) - critical :][:m]
    return PackedDiagrams(kept, whole, values.astype(np.float32 if single else np.float64), factors)


class Parts(NamedTuple):
    """The results of one cloud as tensors."""

    diagrams: list[Tensor]
    births: list[Tensor]
    deaths: list[Tensor]
    essential: list[Tensor]
    essential_simplices: list[Tensor]


def parts_of(x: Float[Tensor, "n c"], packed: PackedDiagrams, unit: float | None, max_dim: int) -> Parts:
    """The results of a cloud as tensors, in the autograd graph of ``x``.

    Args:
        x: (n, c) points.
        packed: the pairs of the cloud.
        unit: `tie_unit` of `vietoris_rips`.
        max_dim: 0 or 1.
    """
    a, b, e, f, _ = packed.counts
    whole, from_numpy = packed.whole, torch.from_numpy
    k = 3 * a + e
    if in_forward_mode() or (torch.is_grad_enabled() and x.requires_grad):
        values: Any = DiagramValues.apply(x, packed, unit)
    else:
        values = _split(packed)
    births, deaths = [from_numpy(whole[:a].reshape(a, 1))], [from_numpy(whole[a : 3 * a].reshape(a, 2))]
    essential = [from_numpy(whole[3 * a : k].reshape(e, 1))]
    if max_dim == 0:
        return Parts([values[0]], births, deaths, [values[2]], essential)
    births.append(from_numpy(whole[k : k + 2 * b].reshape(b, 2)))
    deaths.append(from_numpy(whole[k + 2 * b : k + 5 * b].reshape(b, 3)))
    essential.append(from_numpy(whole[k + 5 * b : k + 5 * b + 2 * f].reshape(f, 2)))
    return Parts([values[0], values[1]], births, deaths, [values[2], values[3]], essential)


def _split(packed: PackedDiagrams, values: ndarray | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both diagrams and both lists of essential births; or others as long, such as their tangents."""
    a, b, e, _, _ = packed.counts
    values = packed.values if values is None else values
    from_numpy, k = torch.from_numpy, 2 * (a + b)
    return (
        from_numpy(values[: 2 * a].reshape(a, 2)),
        from_numpy(values[2 * a : k].reshape(b, 2)),
        from_numpy(values[k : k + e]),
        from_numpy(values[k + e :]),
    )


def _critical_edges(packed: PackedDiagrams) -> tuple[Tensor, Tensor]:
    """Ends (m, 2) of the critical edges, and the entry of ``values`` that each belongs to (m,)."""
    m = packed.counts[4]
    begin = len(packed.whole) - 3 * m
    of_ends, owners = packed.whole[begin : begin + 2 * m], packed.whole[begin + 2 * m :]
    return torch.from_numpy(of_ends.reshape(m, 2)), torch.from_numpy(owners)


def _eps(x: Float[Tensor, "n c"], unit: float | None) -> float:
    return EPS_DIST * (extent(x) if unit is None else unit) or EPS_DIST


class DiagramValues(torch.autograd.Function):
    """`CriticalValues` for all diagrams of a cloud at once: the critical edges were found with the values."""

    @staticmethod
    def forward(ctx: Any, x: Float[Tensor, "n c"], packed: PackedDiagrams, unit: float | None) -> tuple[Tensor, ...]:
        """The values, from which `_split` makes the diagrams and essential births."""
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)
        ctx.packed, ctx.tie_unit = packed, unit
        return _split(packed)

    @staticmethod
    def jvp(ctx: Any, tangent: Float[Tensor, "n c"], *others: None) -> tuple[Tensor, ...]:
        """How fast the values change when the points move along ``tangent``."""
        (x,) = ctx.saved_tensors
        ends, owners = _critical_edges(ctx.packed)
        count = len(ctx.packed.values)
        moves = tangent_of(tangent, count, x, ends, owners, False, 1.0, _eps(x, ctx.tie_unit))
        return _split(ctx.packed, moves.numpy())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None]:
        """Algorithm 3, lines 29-37."""
        (x,) = ctx.saved_tensors
        packed: PackedDiagrams = ctx.packed
        a, b, e, f, m = packed.counts
        first, second, *others = gradients
        if any(g is not None for g in others) or torch.is_grad_enabled():
            sizes = (2 * a, 2 * b, e, f)
            parts = [x.new_zeros(s) if g is None else g.reshape(-1) for g, s in zip(gradients, sizes, strict=True)]
            gradient, split = torch.cat(parts), 2 * (a + b) + e + f
            first, second = gradient, None
        else:  # essential classes, and their critical edges, come last
            split, m = 2 * a, m - f
            first, second = (None if g is None else g.contiguous() for g in (first, second))
        whole, begin = packed.whole, len(packed.whole) - 3 * packed.counts[4]  # of the ends, which the owners follow
        middle = begin + 2 * packed.counts[4]
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            ends, owners = _critical_edges(packed)
            return differentiable(gradient, x, ends, owners, False, 1.0, _eps(x, ctx.tie_unit)), None, None
        rows, single, at = x.contiguous(), x.dtype == torch.float32, address(whole)
        out = torch.empty(x.shape, dtype=torch.float64)
        result = torch.empty(x.shape, dtype=torch.float32) if single else out
        (one, two), of_x = (0 if g is None else g.data_ptr() for g in (first, second)), rows.data_ptr()
        spread_kernel(
            one, one, two, two, split, (first is None) + 2 * (second is None), single, of_x, of_x, *x.shape, m,
            at + 8 * begin, at + 8 * middle, address(packed.factors), out.data_ptr(), result.data_ptr(),
        )  # fmt: skip
        return result, None, None
