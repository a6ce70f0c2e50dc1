"""Exact Wasserstein distance of two diagrams."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from torch import Tensor

from topokd.errors import ParameterError
from topokd.options import number
from topokd.topology.critical_edges import unit_of
from topokd.topology.functions.closed_form import distance_of_pairs
from topokd.topology.functions.inputs import Diagrams
from topokd.topology.torch_compile import eagerly

MAX_ORDER = 10.0
"""Higher powers of costs differ so much that the sum of a matching loses the small ones to rounding."""


@eagerly
def wasserstein_distance(
    a: Diagrams, b: Diagrams, *, order: float = 1.0, internal_p: float = math.inf
) -> Float[Tensor, "*b"]:
    """The q-Wasserstein distance, with the diagonal: ``(min over matchings of sum ||x - y||_p^q)^(1/q)``.

    q is ``order`` and p ``internal_p``, as in ``gudhi.wasserstein.wasserstein_distance``. A matching pairs points of a
    with points of b; the others go to the nearest point of the diagonal, at ``(d - b) 2^(1/p - 1)``. Exact: shortest
    augmenting paths on the pairs that are cheaper than the diagonal, or one alignment where all births are equal
    (degree 0). The gradient is that of the cost with the optimal matching held fixed.

    At ties: of several optimal matchings one is taken, always the same for the same input; where both coordinates are
    equally far (p = inf) each gets half; coinciding points get 0. Differentiable once.

    Args:
        a: (k, 2) finite pairs, or a list of them.
        b: (m, 2) finite pairs, or a list as long as a.
        order: q, from 1 to `MAX_ORDER` (for infinity see `bottleneck_distance`).
        internal_p: p, from 1 to math.inf.

    Returns:
        A scalar, or (b,) for lists; in the filtration's unit. Two empty diagrams are at distance 0.

    Raises:
        ValueError: order or internal_p is out of range, lists of different lengths, or a diagram is not (k, 2),
            finite, with no death before its birth.

    Examples:
        >>> import torch
        >>> a = torch.tensor([[0.0, 1.0], [0.25, 0.5]], requires_grad=True)
        >>> distance = wasserstein_distance(a, torch.tensor([[0.0, 1.25]]))
        >>> distance.backward()
        >>> distance, a.grad
        (tensor(0.3750, grad_fn=...), tensor([[ 0.0000, -1.0000], [-0.5000,  0.5000]]))
    """
    order = number(order, "order", least=1.0)
    if order > MAX_ORDER:
        raise ParameterError(f"order is {order:g}: pass 1 to {MAX_ORDER:g}, or take bottleneck_distance, their limit")
    internal_p = number(internal_p, "internal_p", least=1.0, infinite=True)
    from topokd.topology.kernels import wasserstein

    def distance(x: np.ndarray, y: np.ndarray, _: bool) -> tuple[float, np.ndarray, np.ndarray]:
        unit = unit_of(max(float(np.abs(pairs).max(initial=0.0)) for pairs in (x, y)))
        value, of_x, of_y = wasserstein.distance(unit * x, unit * y, order, internal_p)
        return value / unit, of_x, of_y

    return distance_of_pairs(distance, a, b)
