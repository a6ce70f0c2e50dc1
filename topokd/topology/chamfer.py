"""Persistence-weighted Chamfer distance between two diagrams (Sec. 3.2.2, Eq. 2-3, Alg. 2 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from topokd.options import number
from topokd.topology.functions.inputs import Diagrams, as_pairs
from topokd.topology.functions.pairs import of_each_pair, within_range
from topokd.topology.match_costs import nearest_costs
from topokd.topology.small_chamfer import Matches, add_values, compare, gradient_of, is_small_diagram

NAMES = "teacher", "student"


def persistence_weighted_chamfer(
    teacher: Diagrams, student: Diagrams, *, eps: float = 1e-6, match_scale: float = 1.0
) -> Float[Tensor, "*b"]:
    """Eq. 2-3 between the finite pairs of one degree, teacher's points p and student's q::

        sum_p w(p) min(s min_q ||p - q||^2, (d_p - b_p)^2 / 2) / (sum_p w(p) + eps)
        + mean_q min(s min_p ||q - p||^2, (d_q - b_q)^2 / 2),        w(p) = log(1 + d_p - b_p)

    An empty student leaves the teacher's diagonal costs and no second term; an empty teacher leaves no first term. A
    match that costs as much as the diagonal wins (Alg. 4), and ties share the gradient equally. Differentiable in both
    diagrams; memory grows linearly with them.

    Args:
        teacher: (m, 2) finite pairs (birth, death), or a list of b such diagrams.
        student: (k, 2) finite pairs, or a list as long as the teacher's.
        eps: epsilon of Eq. 2.
        match_scale: s; 1 as in Eq. 2-3 and Alg. 4, 0.5 as in Alg. 2.

    Returns:
        A scalar, or (b,) for lists; in the squared unit of the diagrams and the wider type of both.

    Raises:
        DataError: for lists of different lengths, a diagram that is not (k, 2), finite, with no death before its
            birth, or a distance beyond the type of the diagrams.
        ParameterError: for an eps or a match_scale that is negative or not finite.

    Examples:
        >>> teacher = torch.tensor([[0.0, 1.0], [0.2, 0.9]])
        >>> student = torch.tensor([[0.0, 0.8]], requires_grad=True)
        >>> loss = persistence_weighted_chamfer(teacher, student)
        >>> loss.backward()
        >>> round(loss.item(), 4), [round(g, 4) for g in student.grad[0].tolist()]
        (0.0843, [-0.1734, -0.7133])
    """
    eps, match_scale = number(eps, "eps"), number(match_scale, "match_scale", above=True)
    each: Callable[..., Tensor] = persistence_weighted_chamfer
    if isinstance(teacher, Tensor | np.ndarray) and isinstance(student, Tensor | np.ndarray):
        small = _small_distance(as_pairs(teacher, "teacher"), as_pairs(student, "student"), eps, match_scale)
        if small is not None:  # the compiled call has checked its pairs
            return small
        each = _distance
    return of_each_pair(partial(each, eps=eps, match_scale=match_scale), teacher, student, NAMES)


def _small_distance(
    teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], eps: float, match_scale: float
) -> Float[Tensor, ""] | None:
    """The distance from compiled calls; None if they do not take these diagrams."""
    own = student.detach()
    if not (is_small_diagram(own, teacher.dtype) and is_small_diagram(teacher, own.dtype)):
        return None
    matches = compare(teacher, own, match_scale)
    if matches is None:
        return None
    value: Tensor = _SmallChamfer.apply(student, teacher, matches, eps)
    return within_range(value, teacher, student, partial(_distance, eps=eps, match_scale=match_scale))


def _distance(
    teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], eps: float, match_scale: float
) -> Float[Tensor, ""]:
    """The distance of any two diagrams that are checked."""
    value = _recall(teacher, student, eps, match_scale) + _precision(teacher, student, match_scale)
    return within_range(value, teacher, student, partial(_distance, eps=eps, match_scale=match_scale))


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
            scale = ctx.matches.scale
            value = _recall(teacher, student, ctx.eps, scale) + _precision(teacher, student, scale)
            return torch.autograd.grad(value, student, gradient, create_graph=True)[0], None, None, None
        return gradient_of(ctx.matches, float(gradient)), None, None, None


def recall_term(
    teacher: Diagrams, student: Diagrams, *, eps: float = 1e-6, match_scale: float = 1.0
) -> Float[Tensor, "*b"]:
    """Eq. 2, teacher to student: missed points, weighted by log(1 + persistence).

    L = sum_p w_p c(p) / (sum_p w_p + eps), w_p = log(1 + d_p - b_p), with the cost c of `nearest_costs`.

    Args:
        teacher: (m, 2) finite pairs (birth, death), or a list of b such diagrams.
        student: (k, 2) finite pairs, or a list as long as the teacher's.
        eps: added to the sum of the weights.
        match_scale: factor of the squared distance of a match, see `persistence_weighted_chamfer`.

    Returns:
        A scalar, or (b,) for lists, in the wider type of both; 0 for an empty teacher's diagram.

    Raises:
        DataError: lists of different lengths, or a diagram is not (k, 2), finite, with no death before its birth.
        ParameterError: ``eps`` or ``match_scale`` is not a valid number.

    Examples:
        >>> recall_term(torch.tensor([[0.0, 1.0]]), torch.empty(0, 2), eps=0.0)
        tensor(0.5000)
    """
    eps, match_scale = number(eps, "eps"), number(match_scale, "match_scale", above=True)
    return of_each_pair(partial(_recall, eps=eps, match_scale=match_scale), teacher, student, NAMES)


def _recall(
    teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], eps: float, match_scale: float
) -> Float[Tensor, ""]:
    if len(teacher) == 0:
        return _zero(teacher, student)
    weight = torch.log1p((teacher[:, 1] - teacher[:, 0]).clamp_min(0))
    weighted = (weight * nearest_costs(teacher, student, match_scale)).sum() / (weight.sum() + eps)
    return weighted.to(torch.promote_types(teacher.dtype, student.dtype))


def precision_term(teacher: Diagrams, student: Diagrams, *, match_scale: float = 1.0) -> Float[Tensor, "*b"]:
    """Eq. 3, student to teacher: spurious points, all with the same weight.

    L = mean_q c(q) over the student's points q, with the cost c of `nearest_costs`.

    Args:
        teacher: (m, 2) finite pairs (birth, death), or a list of b such diagrams.
        student: (k, 2) finite pairs, or a list as long as the teacher's.
        match_scale: factor of the squared distance of a match, see `persistence_weighted_chamfer`.

    Returns:
        A scalar, or (b,) for lists, in the wider type of both; 0 for an empty student's diagram.

    Raises:
        DataError: lists of different lengths, or a diagram is not (k, 2), finite, with no death before its birth.
        ParameterError: ``match_scale`` is not a valid number.

    Examples:
        >>> precision_term(torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 1.5], [0.0, 1.0]]))
        tensor(0.1250)
    """
    match_scale = number(match_scale, "match_scale", above=True)
    return of_each_pair(partial(_precision, match_scale=match_scale), teacher, student, NAMES)


def _precision(teacher: Float[Tensor, "m 2"], student: Float[Tensor, "k 2"], match_scale: float) -> Float[Tensor, ""]:
    if len(student) == 0:
        return _zero(teacher, student)
    cost = nearest_costs(student, teacher, match_scale).mean()
    return cost.to(torch.promote_types(teacher.dtype, student.dtype))


def _zero(teacher: Tensor, student: Tensor) -> Float[Tensor, ""]:
    """Zero of the right type and device, and in the graph: backward works on a batch without diagrams too."""
    return (teacher.sum() + student.sum()) * 0
