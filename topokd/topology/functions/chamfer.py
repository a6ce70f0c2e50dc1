"""The plain Chamfer distance of two diagrams."""

from __future__ import annotations

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from topokd.options import flag
from topokd.topology.functions.inputs import Diagrams
from topokd.topology.functions.pairs import of_each_pair, within_range
from topokd.topology.torch_compile import eagerly

BLOCK = 1 << 20  # distances held at a time


@eagerly
def chamfer_distance(a: Diagrams, b: Diagrams, *, diagonal: bool = False) -> Float[Tensor, "*b"]:
    """The Chamfer distance: ``mean over p in a of min_q ||p - q||^2 + mean over q in b of min_p ||q - p||^2``.

    All points have equal weight, whatever their persistence: `persistence_weighted_chamfer` differs by its weights, and
    by the diagonal. If the other diagram is empty, the cost of a point is that of the diagonal, ``(d - b)^2 / 2``.

    At ties: of several nearest points the first is taken; where the diagonal is as near as the nearest point, the
    point. Differentiable any number of times.

    Args:
        a: (k, 2) finite pairs, or a list of them.
        b: (m, 2) finite pairs, or a list as long as a.
        diagonal: whether a point may go to the diagonal where that costs less.

    Returns:
        A scalar, or (b,) for lists; in the squared unit of the filtration. Two empty diagrams are at distance 0.

    Raises:
        ValueError: lists of different lengths, a diagram that is not (k, 2), finite, with no death before its birth,
            or a distance beyond the type of the diagrams.

    Examples:
        >>> a, b = torch.tensor([[0.0, 1.0], [0.25, 0.5]]), torch.tensor([[0.0, 1.25]])
        >>> chamfer_distance(a, b)  # (0.0625 + 0.625) / 2 + 0.0625
        tensor(0.4062)
        >>> chamfer_distance(a, b, diagonal=True)  # the short pair goes to the diagonal, for 0.03125
        tensor(0.1094)
    """
    return of_each_pair(partial(_distance, diagonal=flag(diagonal, "diagonal")), a, b)


def _distance(x: Float[Tensor, "k 2"], y: Float[Tensor, "m 2"], diagonal: bool) -> Float[Tensor, ""]:
    value = _one_way(x, y, diagonal) + _one_way(y, x, diagonal)
    return within_range(value, x, y, partial(_distance, diagonal=diagonal))


def _one_way(points: Float[Tensor, "k 2"], others: Float[Tensor, "m 2"], diagonal: bool) -> Float[Tensor, ""]:
    if len(points) == 0:
        return (points.sum() + others.sum()) * 0
    to_diagonal = (points[:, 1] - points[:, 0]).square() / 2
    if len(others) == 0:
        return to_diagonal.mean()
    with torch.no_grad():
        nearest = torch.cat(
            [
                torch.cdist(block.double(), others.double(), compute_mode="donot_use_mm_for_euclid_dist").argmin(dim=1)
                for block in points.split(max(1, BLOCK // len(others)))
            ]
        )
    cost = (points - others[nearest]).square().sum(dim=1)
    return (torch.where(cost <= to_diagonal, cost, to_diagonal) if diagonal else cost).mean()
