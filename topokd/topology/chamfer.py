"""Persistence-weighted Chamfer distance between two diagrams (Sec. 3.2.2, Eq. 2-3, Alg. 2 and 4)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

BLOCK = 1 << 20  # costs held at a time


class _Distinct(torch.autograd.Function):
    """Equal rows merged: forward keeps one row of each group, backward shares its gradient among the group."""

    @staticmethod
    def forward(ctx: Any, points: Float[Tensor, "k 2"]) -> tuple[Float[Tensor, "g 2"], Int64[Tensor, " k"]]:
        distinct, group = torch.unique(points, dim=0, return_inverse=True)
        ctx.save_for_backward(group)
        ctx.mark_non_differentiable(group)
        return distinct, group

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, "g 2"], _: Tensor) -> Float[Tensor, "k 2"]:
        (group,) = ctx.saved_tensors
        members = torch.bincount(group, minlength=len(gradient)).to(gradient.dtype)
        return (gradient / members[:, None])[group]


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
    diagonal = (points[:, 1] - points[:, 0]).square() / 2
    if len(others) == 0:
        return diagonal
    distinct, _ = _Distinct.apply(others)
    row, column, share = _nearest(points.detach(), distinct.detach())
    match = scale * share * (points[row] - distinct[column]).square().sum(dim=1)
    match = torch.zeros_like(diagonal).index_add(0, row, match)
    return torch.where(match <= diagonal, match, diagonal)


def _nearest(
    points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"]
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """Pairs (point, one of its nearest others) and the share of each: 1, or 1 / ties where several are as near."""
    if points.is_cuda:
        row, column = _nearest_torch(points.double(), others.double())
    else:
        from topokd.topology.kernels.nearest import nearest

        order = others[:, 1].argsort(stable=True)
        found = nearest(points.double().numpy(), others[order].double().numpy())
        row, column = torch.from_numpy(found[0]), order[torch.from_numpy(found[1])]
    return row, column, (1 / torch.bincount(row)[row]).to(points.dtype)


def _nearest_torch(
    points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"]
) -> tuple[Int64[Tensor, " n"], Int64[Tensor, " n"]]:
    """All distances, a block of rows at a time: what runs on a GPU, and the twin of the compiled search."""
    rows, columns = [], []
    size = max(1, BLOCK // len(others))
    for k, block in enumerate(points.split(size)):
        cost = (block[:, None] - others[None]).square().sum(dim=2)
        row, column = (cost == cost.amin(dim=1, keepdim=True)).nonzero(as_tuple=True)
        rows.append(row + k * size)
        columns.append(column)
    return torch.cat(rows), torch.cat(columns)
