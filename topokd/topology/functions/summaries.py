"""Numbers and curves that summarise a diagram: total persistence, persistence entropy, Betti curve."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from topokd.options import number
from topokd.topology.functions.closed_form import function_of_persistence
from topokd.topology.functions.inputs import Diagrams, grid_values, padded, raised
from topokd.topology.torch_compile import eagerly


@eagerly
def total_persistence(diagram: Diagrams, p: float = 1.0) -> Float[Tensor, "*b"]:
    """Total persistence of degree p: ``sum_i (d_i - b_i)^p`` (Cohen-Steiner, Edelsbrunner, Harer and Mileyko 2010).

    No p-th root is taken. Points on the diagonal count 0; they get no gradient unless p = 1, where the gradient of
    every point is (-1, 1).

    Args:
        diagram: (k, 2) finite pairs, or a list of b such diagrams.
        p: exponent, 0 or more; 0 counts the points off the diagonal.

    Returns:
        A scalar, or (b,) for a list; in units of filtration values to the power p. 0 for an empty diagram.

    Raises:
        ValueError: p is negative, or the diagram is not (k, 2), finite, with no death before its birth.

    Examples:
        >>> total_persistence(torch.tensor([[0.0, 1.0], [0.5, 2.5]]), p=2)
        tensor(5.)
        >>> total_persistence([torch.tensor([[0.0, 1.0]]), torch.empty(0, 2)])
        tensor([1., 0.])
    """
    p = number(p, "p")

    def formula(persistence: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
        return raised(persistence, p).sum(dim=1)

    return function_of_persistence(diagram, partial(_power_sum, p=p), formula)


def _power_sum(persistence: np.ndarray, gradient: bool, p: float) -> tuple[float, np.ndarray]:
    if p == 1:
        return float(persistence.sum()), np.ones_like(persistence)
    alive = persistence > 0
    base = np.where(alive, persistence, 1.0)
    with np.errstate(over="ignore"):
        return float((alive * base**p).sum()), alive * (p * base ** (p - 1)) if gradient else base


@eagerly
def persistence_entropy(diagram: Diagrams) -> Float[Tensor, "*b"]:
    """Shannon entropy of the lifetimes: ``-sum_i q_i log q_i``, ``q_i = (d_i - b_i) / sum_j (d_j - b_j)``.

    Natural logarithm, as ``gudhi.representations.Entropy`` (Atienza, Gonzalez-Diaz and Soriano-Trigueros 2020). The
    slope at a point on the diagonal is infinite; such points get no gradient.

    Args:
        diagram: (k, 2) finite pairs, or a list of b such diagrams.

    Returns:
        A scalar, or (b,) for a list; dimensionless, between 0 and log k. 0 for an empty diagram.

    Raises:
        ValueError: the diagram is not (k, 2), finite, with no death before its birth.

    Examples:
        >>> persistence_entropy(torch.tensor([[0.0, 1.0], [1.0, 2.0]]))  # log 2
        tensor(0.6931)
    """
    return function_of_persistence(diagram, _entropy, _entropy_of_each)


def _entropy(persistence: np.ndarray, gradient: bool) -> tuple[float, np.ndarray]:
    total = persistence.sum()
    share = persistence / (total or 1.0)
    alive = share > 0
    share = np.where(alive, share, 1.0)
    logarithm = np.log(share)
    value = 0.0 - float(share @ logarithm)  # not -0.0
    return value, alive * (logarithm + value) / -(total or 1.0) if gradient else share


def _entropy_of_each(persistence: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    with torch.no_grad():
        total = persistence.sum(dim=1, keepdim=True)
        alive = persistence / torch.where(total > 0, total, 1.0) > 0
    persistence = torch.where(alive, persistence, 0.0)
    total = persistence.sum(dim=1, keepdim=True)
    share = torch.where(alive, persistence / torch.where(total > 0, total, 1.0), 1.0)
    return 0.0 - (share * share.log()).sum(dim=1)


@eagerly
def betti_curve(
    diagram: Diagrams, grid: Tensor | np.ndarray | Sequence[float], width: float = 0.0
) -> Float[Tensor, "*b g"]:
    """Number of classes alive at each value of the grid: ``beta(t) = #{i : b_i <= t < d_i}``.

    Equal to ``gudhi.representations.BettiCurve(predefined_grid=grid)``, in the diagram's floating-point type. A step
    function: its gradient is 0, and is returned as such. A positive ``width`` w replaces both steps by sigmoids,
    ``sum_i s((t - b_i) / w) - s((t - d_i) / w)``, which tends to the curve as w tends to 0 and has a gradient.

    Args:
        diagram: (k, 2) finite pairs, or a list of b such diagrams.
        grid: (g,) filtration values.
        width: w, in units of the filtration; 0 for the curve itself.

    Returns:
        (g,), or (b, g) for a list. Zeros for an empty diagram.

    Raises:
        ValueError: the width is negative, the grid is not (g,) and finite, or the diagram is not (k, 2), finite, with
            no death before its birth.

    Examples:
        >>> betti_curve(torch.tensor([[0.0, 1.0], [0.5, 2.0]]), [0.0, 0.5, 1.0, 2.0])
        tensor([1., 2., 1., 0.])
    """
    batch, width = padded(diagram), number(width, "width")
    values = grid_values(grid, batch.points)
    if width > 0:
        scaled = (values - batch.points[..., None]) / width  # (b, k, 2, g)
        return batch.result((scaled[:, :, 0].sigmoid() - scaled[:, :, 1].sigmoid()).sum(dim=1))
    ends = torch.where(batch.real[..., None], batch.points.detach(), torch.inf).movedim(2, 0).sort(dim=2).values
    queries = values.detach().expand(2, len(batch.sizes), -1).contiguous()
    born, died = torch.searchsorted(ends.contiguous(), queries, right=True)  # (b, g) each
    return batch.result((born - died).to(batch.points.dtype) + (0 * batch.points).sum())
