"""Theorem 1 and Algorithm 3: from a diagram's gradient to the points, through the critical edges alone."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

EPS_DIST = 1e-12  # epsilon_dist of Theorem 1; in units of distance


class CriticalValues(torch.autograd.Function):
    """v(sigma_k) = max over the edges of sigma_k of their length, for simplices given by vertex indices.

    Forward: lengths of the edges of the K simplices, summed in float64. Backward (Eq. 1): the gradient of value k goes
    in equal parts to the edges of sigma_k within ``tie_tolerance`` of the longest, and from edge {i, j} on to the
    points, g (h_i - h_j) / (D_ij + eps) to i and its negative to j. Neither direction touches a matrix of all pairs.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Float[Tensor, "n c"], simplices: Int64[Tensor, "k v"], precomputed: bool, tie_tolerance: float
    ) -> Float[Tensor, " k"]:
        """Values of the simplices (zero for single vertices), in the type of ``x``."""
        pairs = torch.tensor(list(combinations(range(simplices.shape[1]), 2)), device=x.device).reshape(-1, 2)
        edges = simplices[:, pairs]  # (k, e, 2)
        i, j = edges[..., 0], edges[..., 1]
        if precomputed:
            lengths = (x[i, j].double() + x[j, i].double()) / 2  # (k, e)
        else:
            lengths = (x[i].double() - x[j].double()).square().sum(dim=-1).sqrt()
        longest = lengths.amax(dim=1, keepdim=True)
        tied = lengths >= longest - tie_tolerance
        ctx.save_for_backward(x, edges[tied], lengths[tied], (tied / tied.sum(dim=1, keepdim=True))[tied], tied)
        ctx.precomputed = precomputed
        return longest[:, 0].to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, " k"]) -> tuple[Tensor | None, None, None, None]:
        """Algorithm 3, lines 28-36."""
        x, edges, lengths, share, tied = ctx.saved_tensors
        owner = tied.nonzero()[:, 0]  # the simplex that each critical edge belongs to
        g = gradient.double()[owner] * share  # (e,)
        i, j = edges[:, 0], edges[:, 1]
        result = torch.zeros_like(x)
        if ctx.precomputed:  # dL/dD_ij reaches the two entries that hold the one length
            result.index_put_((torch.cat([i, j]), torch.cat([j, i])), (g / 2).to(x.dtype).repeat(2), accumulate=True)
            return result, None, None, None
        direction = (x[i].double() - x[j].double()) / (lengths + EPS_DIST)[:, None]
        move = (g[:, None] * direction).to(x.dtype)  # (e, c)
        result.index_add_(0, i, move)
        result.index_add_(0, j, -move)
        return result, None, None, None


def simplex_values(
    x: Float[Tensor, "n c"],
    simplices: Int64[Tensor, "k v"],
    *,
    precomputed: bool = False,
    tie_tolerance: float = 1e-6,
) -> Float[Tensor, " k"]:
    """v(sigma) = max_{i,j in sigma} D_ij, differentiable in ``x`` (points, or distances when ``precomputed``).

    >>> x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]], requires_grad=True)
    >>> value = simplex_values(x, torch.tensor([[0, 1, 2]]))
    >>> value.sum().backward()
    >>> value.tolist(), x.grad[1].tolist()
    ([5.0], [0.6000000238418579, 0.800000011920929])
    """
    if simplices.shape[0] == 0 or simplices.shape[1] < 2:
        return x.new_zeros(len(simplices))
    return CriticalValues.apply(x, simplices, precomputed, tie_tolerance)  # type: ignore[no-any-return]
