"""Sliced Wasserstein distance of two diagrams."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from jaxtyping import Float
from torch import Tensor

from topokd.options import whole
from topokd.topology.functions.closed_form import distance_of_pairs
from topokd.topology.functions.inputs import Diagrams
from topokd.topology.torch_compile import eagerly


@eagerly
def sliced_wasserstein_distance(a: Diagrams, b: Diagrams, *, num_directions: int = 50) -> Float[Tensor, "*b"]:
    """Mean over lines of the 1-Wasserstein distance of both diagrams' projections (Carriere, Cuturi and Oudot 2017).

    On a line, the points of a and the diagonal points of b are matched in order with the points of b and the diagonal
    points of a: ``mean over theta of sum |sort(<a, theta>, <pi(b), theta>) - sort(<b, theta>, <pi(a), theta>)|``.
    Equal to ``gudhi.representations.SlicedWassersteinDistance(num_directions)``, which takes the angles ``-pi/2 + i
    pi / num_directions`` for i = 0 ... num_directions - 2: one less than the number says.

    At ties: points that project to the same place are matched in one fixed order, and a matched pair that
    coincides on a line adds 0 to the gradient there. Differentiable once.

    Args:
        a: (k, 2) finite pairs, or a list of them.
        b: (m, 2) finite pairs, or a list as long as a.
        num_directions: number of lines plus one, 2 or more.

    Returns:
        A scalar, or (b,) for lists; in the filtration's unit. Two empty diagrams are at distance 0.

    Raises:
        ValueError: num_directions is less than 2, lists of different lengths, or a diagram is not (k, 2), finite, with
            no death before its birth.

    Examples:
        >>> import torch
        >>> a, b = torch.tensor([[0.0, 1.0], [0.25, 0.5]]), torch.tensor([[0.0, 1.25]])
        >>> sliced_wasserstein_distance(a, b)
        tensor(0.3564)
    """
    num_directions = whole(num_directions, "num_directions", least=2, most=1_000_000)
    lines = directions(num_directions)

    def distance(x: np.ndarray, y: np.ndarray, gradients: bool) -> tuple[float, np.ndarray, np.ndarray]:
        return _distance(x, y, lines, gradients)

    return distance_of_pairs(distance, a, b)


@cache
def directions(num_directions: int) -> np.ndarray:
    """The unit vectors (num_directions - 1, 2) that GUDHI projects on."""
    angles = np.linspace(-math.pi / 2, math.pi / 2, num_directions, endpoint=False)[:-1]
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _distance(a: np.ndarray, b: np.ndarray, lines: np.ndarray, gradients: bool) -> tuple[float, np.ndarray, np.ndarray]:
    if not gradients:  # NumPy sorts faster than any loop, but what it would need to keep track of rows is slow
        return _value(a, b, lines), a, b
    from topokd.topology.kernels import sliced

    orders = [projected.argsort(kind="stable") for d in (a, b) for projected in (d @ lines[0], d.sum(axis=1))]
    order_a, middle_a, order_b, middle_b = orders
    return sliced.distance(a, b, lines, order_a, order_b, middle_a, middle_b)  # type: ignore[no-any-return]


def _value(a: np.ndarray, b: np.ndarray, lines: np.ndarray) -> float:
    k, m = len(a), len(b)
    points = np.empty((2, k + m, 2))  # both sides: pairs, then the other side's points on the diagonal
    points[0, :k], points[1, :m] = a, b
    points[0, k:].T[:], points[1, m:].T[:] = (b[:, 0] + b[:, 1]) / 2, (a[:, 0] + a[:, 1]) / 2
    projected = lines @ points.transpose(0, 2, 1)  # (2, l, k + m)
    projected.sort(axis=2)
    apart = projected[0] - projected[1]
    return float(np.abs(apart, out=apart).sum() / len(lines))
