"""Theorem 1 and Algorithm 3: from a diagram's gradient to the points, through the critical edges alone."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from topokd.errors import DataError

EPS_DIST = 1e-12  # epsilon_dist of Theorem 1; in units of distance


class CriticalValues(torch.autograd.Function):
    """v(sigma_k) = max over the edges of sigma_k of their length, for simplices given by vertex indices.

    Forward: lengths of the edges of the K simplices, summed in float64. Backward (Eq. 1): the gradient of value k goes
    in equal parts to the edges of sigma_k within ``tie_tolerance`` of the longest, and from edge {i, j} on to the
    points, g (h_i - h_j) / (D_ij + eps) to i and its negative to j. Neither direction touches a matrix of all pairs.
    On a CPU both are one compiled loop.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "n c"], simplices: Int64[Tensor, "k v"], precomputed: bool, tie_tolerance: float
    ) -> Float[Tensor, " k"]:
        """Values of the simplices (zero for single vertices), in the type of ``x``."""
        ctx.precomputed = precomputed
        ctx.compiled = _compiled(x, precomputed)
        if ctx.compiled:
            from topokd.topology.kernels import critical

            values, *edges = critical.longest(
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
        factor = (tied / tied.sum(dim=1, keepdim=True) / (1.0 if precomputed else lengths + EPS_DIST))[tied]
        ctx.save_for_backward(x, ends[tied], tied.nonzero()[:, 0], factor)
        return longest[:, 0].to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, " k"]) -> tuple[Tensor | None, None, None, None]:
        """Algorithm 3, lines 28-36."""
        x, ends, owner, factor = ctx.saved_tensors  # owner: the simplex that each critical edge belongs to
        if ctx.compiled:
            from topokd.topology.kernels import critical

            arrays = (_array(t) for t in (gradient.double(), x, ends, owner, factor))
            return torch.from_numpy(critical.spread(*arrays)).to(x.dtype), None, None, None
        g = gradient.double()[owner] * factor  # (e,)
        i, j = ends[:, 0], ends[:, 1]
        result = torch.zeros_like(x)
        if ctx.precomputed:  # dL/dD_ij reaches the two entries that hold the one length
            result.index_put_((torch.cat([i, j]), torch.cat([j, i])), (g / 2).to(x.dtype).repeat(2), accumulate=True)
            return result, None, None, None
        move = (g[:, None] * (x[i].double() - x[j].double())).to(x.dtype)  # (e, c)
        result.index_add_(0, i, move)
        result.index_add_(0, j, -move)
        return result, None, None, None


def _compiled(x: Tensor, precomputed: bool) -> bool:
    return not (precomputed or x.is_cuda)


def _array(x: Tensor) -> np.ndarray:
    return x.detach().contiguous().numpy()


def simplex_values(
    x: Float[Tensor, "n c"],
    simplices: Int64[Tensor, "k v"],
    *,
    precomputed: bool = False,
    tie_tolerance: float = 1e-6,
) -> Float[Tensor, " k"]:
    """v(sigma) = max_{i,j in sigma} D_ij, differentiable in ``x`` (points, or distances when ``precomputed``).

    Row k of ``simplices`` holds the vertices of sigma_k, -1 in the places it has too many. Raises :class:`DataError`
    for vertices that ``x`` does not have.

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
    return CriticalValues.apply(x, simplices, precomputed, tie_tolerance)  # type: ignore[no-any-return]
