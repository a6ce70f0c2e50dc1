"""Persistence-weighted Chamfer distance between two diagrams (Sec. 3.2.2, Eq. 2-3, Alg. 2 and 4)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from numpy import ndarray
from torch import Tensor

from topokd.topology import kernels
from topokd.topology.comparison import Matches, add_values, compare, gradient_of, is_small_diagram
from topokd.topology.functions.inputs import as_pairs, require_finite_pairs
from topokd.topology.options import number

MAX_BLOCK = 1 << 20  # distances held at a time on a GPU


def persistence_weighted_chamfer(
    teacher: Float[Tensor, "m 2"],
    student: Float[Tensor, "k 2"],
    *,
    eps: float = 1e-6,
    match_scale: float = 1.0,
) -> Float[Tensor, ""]:
    """Eq. 2-3 between the finite pairs of one degree, teacher's points p and student's q::

        sum_p w(p) min(s min_q ||p - q||^2, (d_p - b_p)^2 / 2) / (sum_p w(p) + eps)
        + mean_q min(s min_p ||q - p||^2, (d_q - b_q)^2 / 2),        w(p) = log(1 + d_p - b_p)

    An empty student leaves the teacher's diagonal costs and no second term; an empty teacher leaves no first term. A
    match that costs as much as the diagonal wins (Alg. 4), and ties share the gradient equally. Differentiable in both
    diagrams; memory grows linearly with them.

    Args:
        teacher: (m, 2) birth and death.
        student: (k, 2) birth and death.
        eps: epsilon of Eq. 2.
        match_scale: s; 1 as in Eq. 2-3 and Alg. 4, 0.5 as in Alg. 2.

    Returns:
        A scalar, in the squared unit of the diagrams.

    Raises:
        DataError: for a diagram that is not (k, 2) and finite.
        ParameterError: for an eps or a match_scale that is negative or not finite.

    Examples:
        >>> teacher = torch.tensor([[0.0, 1.0], [0.2, 0.9]])
        >>> student = torch.tensor([[0.0, 0.8]], requires_grad=True)
        >>> loss = persistence_weighted_chamfer(teacher, student)
        >>> loss.backward()
        >>> round(loss.item(), 4), [round(g, 4) for g in student.grad[0].tolist()]
        (0.0843, [-0.1734, -0.7133])
    """
    teacher, student = as_pairs(teacher, "teacher"), as_pairs(student, "student")
    eps, match_scale = number(eps, "eps"), number(match_scale, "match_scale")
    own = student.detach()
    if is_small_diagram(own, teacher.dtype) and is_small_diagram(teacher, own.dtype):
        found = compare(teacher, own, match_scale)
        if found is not None:
            return _SmallChamfer.apply(student, teacher, found, eps)  # type: ignore[no-any-return]
    return recall_term(teacher, student, eps=eps, match_scale=match_scale) + precision_term(
        teacher, student, match_scale=match_scale
    )


class _SmallChamfer(torch.autograd.Function):
    """Eq. 2-3 for a teacher without gradient, with the operations of `recall_term` and `precision_term`."""

    @staticmethod
    def forward(
        ctx: Any, student: Float[Tensor, "m 2"], teacher: Float[Tensor, "k 2"], found: Matches, eps: float
    ) -> Float[Tensor, ""]:
        value = torch.zeros((), dtype=student.dtype)
        add_values(found, eps, value)
        ctx.save_for_backward(student, teacher)
        ctx.found, ctx.eps = found, eps
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, ""]) -> tuple[Tensor | None, None, None, None]:
        student, teacher = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            value = recall_term(teacher, student, eps=ctx.eps, match_scale=ctx.found.scale)
            value = value + precision_term(teacher, student, match_scale=ctx.found.scale)
            return torch.autograd.grad(value, student, gradient, create_graph=True)[0], None, None, None
        return gradient_of(ctx.found, float(gradient)), None, None, None


def recall_term(
    teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], *, eps: float = 1e-6, match_scale: float = 1.0
) -> Float[Tensor, ""]:
    """Eq. 2, teacher to student: missed points, weighted by log(1 + persistence).

    Examples:
        >>> recall_term(torch.tensor([[0.0, 1.0]]), torch.empty(0, 2), eps=0.0)
        tensor(0.5000)
    """
    teacher, student = _finite_pairs(teacher, student)
    eps = number(eps, "eps")
    weight = torch.log1p((teacher[:, 1] - teacher[:, 0]).clamp_min(0))
    weighted = (weight * nearest_costs(teacher, student, match_scale)).sum() / (weight.sum() + eps)
    return weighted if len(teacher) else _zero(teacher, student)


def precision_term(
    teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], *, match_scale: float = 1.0
) -> Float[Tensor, ""]:
    """Eq. 3, student to teacher: spurious points, all with the same weight.

    Examples:
        >>> precision_term(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.5], [0.0, 1.0]]))
        tensor(0.1250)
    """
    teacher, student = _finite_pairs(teacher, student)
    return nearest_costs(student, teacher, match_scale).mean() if len(student) else _zero(teacher, student)


def _finite_pairs(
    teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"]
) -> tuple[Float[Tensor, "m 2"], Float[Tensor, "k 2"]]:
    """Both diagrams as floating-point tensors, checked."""
    teacher, student = as_pairs(teacher, "teacher"), as_pairs(student, "student")
    require_finite_pairs(teacher, "teacher")
    require_finite_pairs(student, "student")
    return teacher, student


def _zero(teacher: Tensor, student: Tensor) -> Float[Tensor, ""]:
    """Zero of the right type and device, and in the graph: backward works on a batch without diagrams too."""
    return (teacher.sum() + student.sum()) * 0


def nearest_costs(points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], scale: float) -> Float[Tensor, " k"]:
    """min(scale * squared distance to the nearest of `others`, (death - birth)^2 / 2) of each point.

    Args:
        points: (k, 2) birth and death.
        others: (m, 2) birth and death.
        scale: weight of a match against the diagonal.
    """
    points, others = as_pairs(points, "points"), as_pairs(others, "others")
    scale = number(scale, "scale")
    if points.is_cuda:
        return nearest_costs_in_blocks(points, others, scale)
    return _NearestCosts.apply(points, others, scale)  # type: ignore[no-any-return]


class _NearestCosts(torch.autograd.Function):
    """The costs and their gradients (Alg. 4) in one compiled loop each, in float64."""

    @staticmethod
    def forward(
        ctx: Any, points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], scale: float
    ) -> Float[Tensor, " k"]:
        values = _as_float64(points)
        cost, *matches = kernels.chamfer.costs(values, _as_float64(others), scale)
        ctx.arrays = values, *matches, scale
        ctx.save_for_backward(points, others)
        ctx.types = points.dtype, others.dtype
        return torch.from_numpy(cost).to(points.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, " k"]) -> tuple[Float[Tensor, "k 2"], Float[Tensor, "m 2"], None]:
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            return *_differentiable(gradient, *ctx.saved_tensors, *ctx.arrays), None
        of_points, of_others = kernels.chamfer.gradients(_as_float64(gradient), *ctx.arrays)
        return torch.from_numpy(of_points).to(ctx.types[0]), torch.from_numpy(of_others).to(ctx.types[1]), None


def _differentiable(
    gradient: Float[Tensor, " k"],
    points: Float[Tensor, "k 2"],
    others: Float[Tensor, "m 2"],
    values: ndarray,
    rows: ndarray,
    columns: ndarray,
    weights: ndarray,
    places: ndarray,
    place_of: ndarray,
    scale: float,
) -> tuple[Float[Tensor, "k 2"], Float[Tensor, "m 2"]]:
    """Both gradients as functions of ``gradient``, ``points`` and ``others``, in the graph; the matches are fixed."""
    row, column, place = (torch.from_numpy(array) for array in (rows, columns, place_of))
    size = torch.bincount(place, minlength=len(places)).double().clamp_min(1)
    g, exact = gradient.double(), points.double()
    at = torch.zeros(len(places), 2, dtype=torch.float64).index_add(0, place, others.double()) / size[:, None]
    move = (2 * scale * torch.from_numpy(weights) * g[row])[:, None] * (exact[row] - at[column])  # (e, 2)
    matched = torch.zeros(len(points), dtype=torch.bool).index_fill(0, row, True)
    alone = torch.where(matched, 0.0, g * (exact[:, 1] - exact[:, 0]))
    of_points = torch.stack([-alone, alone], dim=1).index_add(0, row, move)
    of_places = torch.zeros(len(places), 2, dtype=torch.float64).index_add(0, column, -move)
    of_others = of_places[place] / size[place][:, None] if len(others) else others.double() * 0
    return of_points.to(points.dtype), of_others.to(others.dtype)


def _as_float64(x: Tensor) -> Float64[np.ndarray, " ..."]:
    return x.detach().double().contiguous().numpy()


def nearest_costs_in_blocks(
    points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], scale: float
) -> Float[Tensor, " k"]:
    """`nearest_costs` from all distances, a block of rows at a time, as on a GPU."""
    diagonal = (points[:, 1] - points[:, 0]).square() / 2
    if len(others) == 0:
        return diagonal
    _, place, size = torch.unique(others.detach(), dim=0, return_inverse=True, return_counts=True)
    weight = (1 / size.to(points.dtype))[place]  # (m,) duplicates share what their place receives
    costs = []
    for block in points.split(max(1, MAX_BLOCK // len(others))):
        with torch.no_grad():
            distance = (block[:, None].double() - others[None].double()).square().sum(dim=2)  # (b, m)
            row, column = (distance == distance.amin(dim=1, keepdim=True)).nonzero(as_tuple=True)
            share = weight[column]
            total = torch.zeros(len(block), dtype=share.dtype, device=share.device).index_add(0, row, share)
            share = share / total[row]  # ties split equally
        match = scale * share * (block[row] - others[column]).square().sum(dim=1)
        costs.append(torch.zeros_like(block[:, 0]).index_add(0, row, match))
    match = torch.cat(costs) if costs else diagonal
    return torch.where(match <= diagonal, match, diagonal)
