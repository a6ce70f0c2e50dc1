"""Theorem 1 and Algorithm 3: from the gradient of a diagram to the points, through the critical edges only."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd import forward_ad

from topokd.checks import first_nonfinite_row, real_rows, real_tensor
from topokd.errors import DataError
from topokd.options import flag, number
from topokd.topology import kernels

EPS_DIST = 1e-12  # epsilon_dist of Theorem 1, in the unit that ties count: the extent of the cloud, or a length
NOT_DIFFERENTIABLE = (None,) * 6  # gradients of the arguments of `CriticalValues` but the first
SAFE = 2.0**400  # squares of numbers between 1 / SAFE and SAFE stay within float64


def simplex_values(
    x: Float[Tensor, "n c"],
    simplices: Int64[Tensor, "k v"],
    *,
    precomputed: bool = False,
    tie_tolerance: float = 1e-6,
    tie_unit: float | None = None,
) -> Float[Tensor, " k"]:
    """v(sigma) = max_{i,j in sigma} D_ij, differentiable in `x` twice.

    Args:
        x: points (n, c), or distances (n, n) if `precomputed`.
        simplices: (k, v) vertices of each simplex, -1 in unused entries.
        precomputed: whether `x` holds distances.
        tie_tolerance: tau_tie of Theorem 1; edges within it of the longest share the gradient.
        tie_unit: length that `tie_tolerance` (and epsilon_dist) counts; None for the extent of the cloud, see `extent`.
            With 1.0 `tie_tolerance` is itself a length.

    Returns:
        (k,) values, 0 for single vertices.

    Raises:
        DataError: for vertices that `x` does not have, points that are not finite, or distances that overflow the type
            of `x`.
        ParameterError: for a tolerance or unit that is negative or not finite.

    Examples:
        >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]], requires_grad=True)
        >>> value = simplex_values(x, torch.tensor([[0, 1, 2]]))
        >>> value.sum().backward()
        >>> value.tolist(), x.grad[1].tolist()
        ([5.0], [0.6000000238418579, 0.800000011920929])
    """
    if isinstance(x, Tensor) and x.dtype in (torch.float16, torch.bfloat16):
        of_simplices = simplex_values(
            x.float(), simplices, precomputed=precomputed, tie_tolerance=tie_tolerance, tie_unit=tie_unit
        )
        return of_simplices.to(x.dtype)
    flag(precomputed, "precomputed")
    tie_tolerance = number(tie_tolerance, "tie_tolerance")
    tie_unit = None if tie_unit is None else number(tie_unit, "tie_unit")
    if not isinstance(x, Tensor) or not x.is_floating_point() or x.layout != torch.strided or x.dim() != 2 or x.is_meta:
        x = real_rows(x, "x")
    if not isinstance(simplices, Tensor) or simplices.dim() != 2 or simplices.dtype != torch.int64:
        simplices = _vertices(simplices)
    if simplices.shape[0] == 0 or simplices.shape[1] < 2:
        return x.new_zeros(len(simplices))
    low, high = (int(vertex) for vertex in simplices.aminmax())
    if low < -1 or high >= len(x):
        raise DataError(f"simplices have the vertices {low} to {high}, but there are {len(x)} points, numbered from 0")
    size = extent(x, precomputed=precomputed)
    if not math.isfinite(size) and (row := first_nonfinite_row(x)) is not None:  # the loop would skip edges of NaN
        raise DataError(f"row {row} of x holds NaN or infinity: simplices need finite coordinates")
    counted = size if tie_unit is None else tie_unit
    compiled = not (precomputed or x.is_cuda)
    values = CriticalValues.apply(
        x, simplices, precomputed, tie_tolerance * counted, EPS_DIST * counted, size, compiled
    )
    if size > torch.finfo(x.dtype).max / (4 * math.sqrt(max(1, x.shape[1]))) and not bool(values.isfinite().all()):
        raise DataError(f"points lie about {size:.3g} apart, so distances overflow {x.dtype}: scale them down")
    return values  # type: ignore[no-any-return]


def _vertices(given: Any) -> Int64[Tensor, "k v"]:
    vertices = real_tensor(given, "simplices")
    if vertices.dim() != 2 or vertices.is_floating_point() or vertices.dtype == torch.bool:
        raise DataError(
            f"simplices are {str(vertices.dtype)[6:]} of the shape {tuple(vertices.shape)}: pass whole numbers (k, v)"
        )
    return vertices.long()


def extent(x: Float[Tensor, "n c"], *, precomputed: bool = False) -> float:
    """Size of a cloud: its greatest range of one coordinate, or its largest finite distance.

    Independent of the origin, and in the unit of `x`: the cloud scaled by s has s times the extent.

    Args:
        x: points (n, c), or distances (n, n) if `precomputed`.
        precomputed: whether `x` holds distances.

    Examples:
        >>> extent(torch.tensor([[0.0, 7.0], [3.0, 5.0]]))
        3.0
    """
    x = x.detach()
    if x.numel() == 0:
        return 0.0
    if precomputed:
        return float(torch.where(x.isfinite(), x, 0.0).max())
    if x.is_cuda:
        low, high = (ends.double() for ends in x.aminmax(dim=0))
        return float((high - low).max())
    values = (x.float() if x.dtype == torch.bfloat16 else x).numpy()
    with np.errstate(over="ignore"):
        return float((values.max(axis=0).astype(np.float64) - values.min(axis=0)).max())


class CriticalValues(torch.autograd.Function):
    """v(sigma_k) = max over the edges of sigma_k of their length, with the gradient of Eq. 1.

    Forward: lengths of the edges of the K simplices, summed in float64. Backward: the gradient g of value k goes in
    equal parts to the edges of sigma_k within `tolerance` of the longest, and from edge {i, j} to the points,
    g (h_i - h_j) / (D_ij + eps) to i and its negative to j. Neither direction forms a matrix of all pairs. Points on
    the CPU take one compiled loop each way.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "n c"],
        simplices: Int64[Tensor, "k v"],
        precomputed: bool,
        tolerance: float,
        eps: float,
        size: float,
        compiled: bool,
    ) -> Float[Tensor, " k"]:
        """Values of the simplices, in the type of `x`; zero for single vertices.

        Args:
            ctx: context of autograd.
            x: (n, c) points or (n, n) distances.
            simplices: (k, v) vertices, -1 for none.
            precomputed: whether `x` holds distances.
            tolerance: edges within it of the longest share the gradient, a length.
            eps: added to lengths in the denominator of the gradient.
            size: extent of the cloud.
            compiled: whether to use the compiled loops, for points on the CPU.
        """
        ctx.precomputed, ctx.compiled, ctx.count = precomputed, compiled, len(simplices)
        ctx.unit = unit = unit_of(size)
        points = x.double() * unit if unit != 1 else x
        ctx.eps = eps = eps * unit or EPS_DIST  # never 0: all points may be in one place
        if ctx.compiled:
            values, *edges = kernels.critical.longest(
                _array(points), np.ascontiguousarray(simplices.numpy()), tolerance * unit, eps
            )
            saved = x, *(torch.from_numpy(array) for array in edges)
            ctx.save_for_backward(*saved)
            ctx.save_for_forward(*saved)
            return (torch.from_numpy(values) / unit if unit != 1 else torch.from_numpy(values)).to(x.dtype)
        pairs = torch.tensor(list(combinations(range(simplices.shape[1]), 2)), device=x.device).reshape(-1, 2)
        ends = simplices[:, pairs]  # (k, e, 2)
        i, j = ends.clamp_min(0).unbind(dim=2)
        if precomputed:
            lengths = points[i, j].double() / 2 + points[j, i].double() / 2  # (k, e)
        else:
            lengths = (points[i].double() - points[j].double()).square().sum(dim=-1).sqrt()
        real = (ends >= 0).all(dim=2)
        longest = lengths.where(real, 0.0).amax(dim=1, keepdim=True)
        tied = real & (lengths >= longest - tolerance * unit)
        factor = (tied.double() / tied.sum(dim=1, keepdim=True) / (1.0 if precomputed else _positive(lengths + eps)))[
            tied
        ]
        saved = x, ends[tied], tied.nonzero()[:, 0], factor
        ctx.save_for_backward(*saved)
        ctx.save_for_forward(*saved)
        return (longest[:, 0] / unit).to(x.dtype)

    @staticmethod
    def jvp(ctx: Any, tangent: Float[Tensor, "n c"], *others: None) -> Float[Tensor, " k"]:
        """How fast the values change when `x` moves along ``tangent``."""
        x, ends, owner, _ = ctx.saved_tensors
        return tangent_of(tangent, ctx.count, x, ends, owner, ctx.precomputed, ctx.unit, ctx.eps)

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, " k"]) -> tuple[Tensor | None, ...]:
        """Algorithm 3, lines 29-37."""
        x, ends, owner, factor = ctx.saved_tensors  # owner: the simplex that each critical edge belongs to
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            again = differentiable(gradient, x, ends, owner, ctx.precomputed, ctx.unit, ctx.eps)
            return again, *NOT_DIFFERENTIABLE
        points = x.double() * ctx.unit if ctx.unit != 1 else x
        if ctx.compiled:
            arrays = (_array(t) for t in (gradient.double(), points, ends, owner, factor))
            return torch.from_numpy(kernels.critical.spread(*arrays)).to(x.dtype), *NOT_DIFFERENTIABLE
        g = gradient.double()[owner] * factor  # (e,)
        i, j = ends[:, 0], ends[:, 1]
        result = torch.zeros_like(x)
        if ctx.precomputed:  # dL/dD_ij is split between the two entries of the one distance
            result.index_put_((torch.cat([i, j]), torch.cat([j, i])), (g / 2).to(x.dtype).repeat(2), accumulate=True)
            return result, *NOT_DIFFERENTIABLE
        move = (g[:, None] * (points[i].double() - points[j].double())).to(x.dtype)  # (e, c)
        result.index_add_(0, i, move)
        result.index_add_(0, j, -move)
        return result, *NOT_DIFFERENTIABLE


def differentiable(
    gradient: Float[Tensor, " k"],
    x: Float[Tensor, "n c"],
    ends: Int64[Tensor, "e 2"],
    owner: Int64[Tensor, " e"],
    precomputed: bool,
    unit: float,
    eps: float,
) -> Float[Tensor, "n c"]:
    """The gradient of the points as a function of ``gradient`` and ``x``, in the graph; which edges tie is fixed.

    Args:
        gradient: gradient of the values.
        x: points, or distances if ``precomputed``.
        ends: ends of the critical edges.
        owner: the value that each critical edge belongs to.
        precomputed: whether ``x`` holds distances.
        unit: see `unit_of`.
        eps: epsilon_dist, in that unit.
    """
    share = 1.0 / torch.bincount(owner, minlength=len(gradient)).double()[owner]
    g = gradient.double()[owner] * share  # (e,)
    i, j = ends[:, 0], ends[:, 1]
    zeros = torch.zeros(x.shape, dtype=torch.float64, device=x.device)
    if precomputed:
        return zeros.index_put((torch.cat([i, j]), torch.cat([j, i])), (g / 2).repeat(2), accumulate=True).to(x.dtype)
    difference = (x[i].double() - x[j].double()) * unit  # (e, c)
    squared = difference.square().sum(dim=1)
    apart = squared > 0
    length = torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0)
    move = (g / _positive(length + eps))[:, None] * difference
    return zeros.index_add(0, i, move).index_add(0, j, -move).to(x.dtype)


def in_forward_mode() -> bool:
    """Whether derivatives are carried along (`torch.autograd.forward_ad.dual_level`), which closed forms would lose."""
    return forward_ad._current_level >= 0


def tangent_of(
    tangent: Float[Tensor, "n c"],
    count: int,
    x: Float[Tensor, "n c"],
    ends: Int64[Tensor, "e 2"],
    owner: Int64[Tensor, " e"],
    precomputed: bool,
    unit: float,
    eps: float,
) -> Float[Tensor, " k"]:
    """Forward mode: how fast the values change when ``x`` moves along ``tangent``.

    `differentiable` is linear in the gradient of the values, and this is its transpose.

    Args:
        tangent: of the points or distances.
        count: number of values.
        x: as in `differentiable`, like the others.
        ends: likewise.
        owner: likewise.
        precomputed: likewise.
        unit: likewise.
        eps: likewise.
    """
    x, tangent = x.detach(), tangent.detach()
    with torch.enable_grad():
        gradient = torch.zeros(count, dtype=torch.float64, device=x.device, requires_grad=True)
        moves = (differentiable(gradient, x, ends, owner, precomputed, unit, eps) * tangent).sum()
    return torch.autograd.grad(moves, gradient)[0].to(x.dtype)


def unit_of(size: float) -> float:
    """The power of two that brings a cloud of this extent to where squares neither overflow nor vanish; usually 1."""
    if 1 / SAFE <= size <= SAFE or size == 0:
        return 1.0
    if size == math.inf:
        return 2.0**-800
    return 2.0 ** min(1000, -math.frexp(size)[1])


def _positive(length: Tensor) -> Tensor:
    return torch.where(length > 0, length, 1.0)


def _array(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().numpy()
