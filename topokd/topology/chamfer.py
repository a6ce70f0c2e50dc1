"""Persistence-weighted Chamfer distance between two diagrams (Sec. 3.2.2, Eq. 2-3, Alg. 2 and 4)."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from topokd.errors import DataError
from topokd.options import number
from topokd.topology.functions.inputs import as_pairs, require_finite_pairs
from topokd.topology.match_costs import nearest_costs
from topokd.topology.small_chamfer import Matches, add_values, compare, gradient_of, is_small_diagram


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
        DataError: for a diagram that is not (k, 2) and finite, or a distance that float32 cannot hold.
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
    eps, match_scale = number(eps, "eps"), number(match_scale, "match_scale", above=True)
    own = student.detach()
    if is_small_diagram(own, teacher.dtype) and is_small_diagram(teacher, own.dtype):
        matches = compare(teacher, own, match_scale)
        if matches is not None:
            small: Tensor = _SmallChamfer.apply(student, teacher, matches, eps)
            return _within_range(small, teacher, student, eps, match_scale)
    recall = recall_term(teacher, student, eps=eps, match_scale=match_scale)
    value = recall + precision_term(teacher, student, match_scale=match_scale)
    return _within_range(value, teacher, student, eps, match_scale)


def _within_range(
    value: Float[Tensor, ""], teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], eps: float, scale: float
) -> Float[Tensor, ""]:
    """``value``, computed again in float64 if squares or weighted sums overflowed: their quotient may be finite.

    Raises:
        DataError: it is not, in the type of ``value``.
    """
    double = teacher.dtype == student.dtype == torch.float64
    if double or value.is_cuda or math.isfinite(value.item()):
        return value
    again = persistence_weighted_chamfer(teacher.double(), student.double(), eps=eps, match_scale=scale)
    if not math.isfinite(again.to(value.dtype).item()):
        raise DataError(
            f"the squared distance between the diagrams is {again.item():.3g}, more than {str(value.dtype)[6:]} holds: "
            "divide both by a constant, or pass float64"
        )
    return again.to(value.dtype)


class _SmallChamfer(torch.autograd.Function):
    """Eq. 2-3 for a teacher without gradient, with the operations of `recall_term` and `precision_term`."""

    @staticmethod
    def forward(
        ctx: Any, student: Float[Tensor, "m 2"], teacher: Float[Tensor, "k 2"], matches: Matches, eps: float
    ) -> Float[Tensor, ""]:
        value = torch.zeros((), dtype=student.dtype)
        add_values(matches, eps, value)
        ctx.save_for_backward(student, teacher)
        ctx.matches, ctx.eps = matches, eps
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Float[Tensor, ""]) -> tuple[Tensor | None, None, None, None]:
        student, teacher = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph=True: the gradient will be differentiated again
            value = recall_term(teacher, student, eps=ctx.eps, match_scale=ctx.matches.scale)
            value = value + precision_term(teacher, student, match_scale=ctx.matches.scale)
            return torch.autograd.grad(value, student, gradient, create_graph=True)[0], None, None, None
        return gradient_of(ctx.matches, float(gradient)), None, None, None


def recall_term(
    teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], *, eps: float = 1e-6, match_scale: float = 1.0
) -> Float[Tensor, ""]:
    """Eq. 2, teacher to student: missed points, weighted by log(1 + persistence).

    L = sum_p w_p c(p) / (sum_p w_p + eps), w_p = log(1 + d_p - b_p), with the cost c of `nearest_costs`.

    Args:
        teacher: (m, 2) finite pairs (birth, death).
        student: (k, 2) finite pairs.
        eps: added to the sum of the weights.
        match_scale: factor of the squared distance of a match, see `persistence_weighted_chamfer`.

    Returns:
        A scalar; 0 for an empty teacher's diagram.

    Raises:
        DataError: a diagram is not (k, 2), or has a pair that is not finite.
        ParameterError: ``eps`` or ``match_scale`` is not a valid number.

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

    L = mean_q c(q) over the student's points q, with the cost c of `nearest_costs`.

    Args:
        teacher: (m, 2) finite pairs (birth, death).
        student: (k, 2) finite pairs.
        match_scale: factor of the squared distance of a match, see `persistence_weighted_chamfer`.

    Returns:
        A scalar; 0 for an empty student's diagram.

    Raises:
        DataError: a diagram is not (k, 2), or has a pair that is not finite.
        ParameterError: ``match_scale`` is not a valid number.

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
