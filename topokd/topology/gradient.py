"""Theorem 1 and Algorithm 3: from the gradient of a diagram to the points, through the critical edges only."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from topokd.errors import DataError
from topokd.topology import kernels

EPS_DIST = 1e-12  # epsilon_dist of Theorem 1, in units of distance


def simplex_values(
    x: Float[Tensor, "n c"],
    simplices: Int64[Tensor, "k v"],
    *,
    precomputed: bool = False,
    tie_tolerance: float = 1e-6,
) -> Float[Tensor, " k"]:
    """v(sigma) = max_{i,j in sigma} D_ij, differentiable in `x`.

    Args:
        x: points (n, c), or distances (n, n) if `precomputed`.
        simplices: (k, v) vertices of each simplex, -1 in unused entries.
        precomputed: whether `x` holds distances.
        tie_tolerance: tau_tie of Theorem 1; edges within it of the longest share the gradient.

    Returns:
        (k,) values, 0 for single vertices.

    Raises:
        DataError: for vertices that `x` does not have.

    Examples:
        >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]], requires_grad=True)
        >>> value = simplex_values(x, torch.tensor([[0, 1, 2]]))
        >>> value.sum().backward()
        >>> value.tolist(), x.grad[1].tolist()
        ([5.0], [0.6000000238418579, 0.800000011920929])
    """
    if simplices.shape[0] == 0 or simplices.shape[1] < 2:
        return x.new_zeros(len(simplices))
    low, high = (int(vertex) for vertex in simplices.aminmax())
    if low < -1 or high >= len(x):
        raise DataError(f"simplices have the vertices {low} to {high}, but there are {len(x)} points, numbered from 0")
    compiled = not (precomputed or x.is_cuda)
    return CriticalValues.apply(x, simplices, precomputed, tie_tolerance, compiled)  # type: ignore[no-any-return]


class CriticalValues(torch.autograd.Function):
    """v(sigma_k) = max over the edges of sigma_k of their length, with the gradient of Eq. 1.

    Forward: lengths of the edges of the K simplices, summed in float64. Backward: the gradient g of value k goes in
    equal parts to the edges of sigma_k within `tie_tolerance` of the longest, and from edge {i, j} to the points,
    g (h_i - h_j) / (D_ij + eps) to i and its negative to j. Neither direction forms a matrix of all pairs. With
    `compiled`, each is one compiled loop.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "n c"],
        simplices: Int64[Tensor, "k v"],
        precomputed: bool,
        tie_tolerance: float,
        compiled: bool,
    ) -> Float[Tensor, " k"]:
        """Values of the simplices (zero for single vertices), in the type of `x`."""
        ctx.precomputed, ctx.compiled = precomputed, compiled
        if compiled:
            values, *edges = kernels.critical.longest(
                _array(x), np.ascontiguousarray(simplices.numpy()), tie_tolerance, EPS_DIST
            )
            ctx.save_for_backward(x, *(torch.from_numpy(array) for array in edges))
            return torch.from_numpy(values).to(x.dtype)
        pairs = torch.tensor(list(combinations(range(simplices.shape[1]), 2)), device=x.device).reshape(-1, 2)
        ends = simplices[:, pairs]  # (k, e, 2)
        i, j = ends.clamp_min(0).unbind(dim=2)
        if precomputed:
            lengths = (x[i, j].double() + x[j, i].double()) / 2  # (k, e)
        else:
            lengths = (x[i].double() - x[j].double()).square().sum(dim=-1).sqrt()
        real = (ends >= 0).all(dim=2)
        longest = lengths.where(real, 0.0).amax(dim=1, keepdim=True)
        tied = real & (lengths >= longest - tie_tolerance)
        factor = (tied.double() / tied.sum(dim=1, keepdim=True) / (1.0 if precomputed else lengths + EPS_DIST))[tied]
        ctx.save_for_backward(x, ends[tied], tied.nonzero()[:, 0], factor)
        return longest[:, 0].to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, " k"]) -> tuple[Tensor, None, None, None, None]:
        """Algorithm 3, lines 28-36."""
        x, ends, owner, factor = ctx.saved_tensors  # owner: the simplex that each critical edge belongs to
        if ctx.compiled:
            arrays = (_array(t) for t in (gradient.double(), x, ends, owner, factor))
            return torch.from_numpy(kernels.critical.spread(*arrays)).to(x.dtype), None, None, None, None
        g = gradient.double()[owner] * factor  # (e,)
        i, j = ends[:, 0], ends[:, 1]
        result = torch.zeros_like(x)
        if ctx.precomputed:  # dL/dD_ij is split between the two entries of the one distance
            result.index_put_((torch.cat([i, j]), torch.cat([j, i])), (g / 2).to(x.dtype).repeat(2), accumulate=True)
            return result, None, None, None, None
        move = (g[:, None] * (x[i].double() - x[j].double())).to(x.dtype)  # (e, c)
        result.index_add_(0, i, move)
        result.index_add_(0, j, -move)
        return result, None, None, None, None


def _array(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().numpy()
