"""Persistence-weighted Chamfer distance between two diagrams (Sec. 3.2.2, Eq. 2-3, Alg. 2 and 4)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 1 << 20  # costs held at a time


def persistence_weighted_chamfer(
    teacher: Float[Tensor, "m 2"],
    student: Float[Tensor, "k 2"],
    *,
    eps: float = 1e-6,
    match_scale: float = 1.0,
) -> Float[Tensor, ""]:
    """Eq. 2-3 between the finite pairs of one degree:

        sum_p w(p) min(s min_q ||p - q||^2, (d_p - b_p)^2 / 2) / (sum_p w(p) + eps)
        + mean_q min(s min_p ||q - p||^2, (d_q - b_q)^2 / 2),        w(p) = log(1 + d_p - b_p)

    over teacher's points p and student's q. ``match_scale`` s: 1 as in Eq. 2-3 and Alg. 4, 0.5 as in Alg. 2. An empty
    student leaves the teacher's diagonal costs and no second term; an empty teacher leaves no first term. A match that
    costs as much as the diagonal wins (Alg. 4), and equally near points share the gradient. Differentiable in both
    diagrams; memory grows linearly with them.

    >>> teacher = torch.tensor([[0.0, 1.0], [0.2, 0.9]])
    >>> student = torch.tensor([[0.0, 0.8]], requires_grad=True)
    >>> loss = persistence_weighted_chamfer(teacher, student)
    >>> loss.backward()
    >>> round(loss.item(), 4), [round(g, 4) for g in student.grad[0].tolist()]
    (0.0843, [-0.1734, -0.7133])
    """
    teacher, student = torch.as_tensor(teacher), torch.as_tensor(student)
    return recall_term(teacher, student, eps=eps, match_scale=match_scale) + precision_term(
        teacher, student, match_scale=match_scale
    )


def recall_term(
    teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], *, eps: float = 1e-6, match_scale: float = 1.0
) -> Float[Tensor, ""]:
    """Eq. 2, teacher to student: what student misses, weighted by log(1 + persistence) of the missed point.

    >>> recall_term(torch.tensor([[0.0, 1.0]]), torch.empty(0, 2), eps=0.0)
    tensor(0.5000)
    """
    weight = torch.log1p((teacher[:, 1] - teacher[:, 0]).clamp_min(0))
    weighted = (weight * _costs(teacher, student, match_scale)).sum() / (weight.sum() + eps)
    return weighted if len(teacher) else _nothing(teacher, student)


def precision_term(
    teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], *, match_scale: float = 1.0
) -> Float[Tensor, ""]:
    """Eq. 3, student to teacher: what student makes up, every point alike.

    >>> precision_term(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.5], [0.0, 1.0]]))
    tensor(0.1250)
    """
    return _costs(student, teacher, match_scale).mean() if len(student) else _nothing(teacher, student)


def _nothing(teacher: Tensor, student: Tensor) -> Float[Tensor, ""]:
    """Zero of the right type and device, and in the graph, so that a batch without diagrams can go backward."""
    return (teacher.sum() + student.sum()) * 0


def _costs(points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], scale: float) -> Float[Tensor, " k"]:
    """min(scale * squared distance to the nearest of ``others``, squared distance to the diagonal) for each point."""
    if points.is_cuda:
        return _costs_torch(points, others, scale)
    return _Costs.apply(points, others, scale)  # type: ignore[no-any-return]


class _Costs(torch.autograd.Function):
    """The costs and their gradients (Alg. 4) in one compiled loop each, in float64."""

    @staticmethod
    def forward(ctx: Any, points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], scale: float) -> Tensor:
        from topokd.topology.kernels import chamfer as kernels

        places = _contiguous(points)
        cost, *matches = kernels.costs(places, _contiguous(others), scale)
        ctx.arrays = places, *matches, scale
        ctx.types = points.dtype, others.dtype
        return torch.from_numpy(cost).to(points.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Float[Tensor, " k"]) -> tuple[Tensor, Tensor, None]:
        from topokd.topology.kernels import chamfer as kernels

        of_points, of_others = kernels.gradients(_contiguous(gradient), *ctx.arrays)
        return torch.from_numpy(of_points).to(ctx.types[0]), torch.from_numpy(of_others).to(ctx.types[1]), None


def _contiguous(x: Tensor) -> Any:
    return x.detach().double().contiguous().numpy()


# -- on a GPU ----------------------------------------------------------------------------------------------------


def _costs_torch(points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], scale: float) -> Float[Tensor, " k"]:
    """The same from all distances, a block of rows at a time: what runs on a GPU, and the twin of the compiled loops.

    Points in one place share the gradient: each has 1 / (places as near * points there) of it.
    """
    diagonal = (points[:, 1] - points[:, 0]).square() / 2
    if len(others) == 0:
        return diagonal
    _, place, size = torch.unique(others.detach(), dim=0, return_inverse=True, return_counts=True)
    weight = (1 / size.to(points.dtype))[place]
    costs = []
    for block in points.split(max(1, BLOCK // len(others))):
        with torch.no_grad():
            distance = (block[:, None].double() - others[None].double()).square().sum(dim=2)
            row, column = (distance == distance.amin(dim=1, keepdim=True)).nonzero(as_tuple=True)
            share = weight[column]
            share = (
                share / torch.zeros(len(block), dtype=share.dtype, device=share.device).index_add(0, row, share)[row]
            )
        match = scale * share * (block[row] - others[column]).square().sum(dim=1)
        costs.append(torch.zeros_like(block[:, 0]).index_add(0, row, match))
    match = torch.cat(costs) if costs else diagonal
    return torch.where(match <= diagonal, match, diagonal)
