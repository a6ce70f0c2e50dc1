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
        ValueError: num_directions is less than 2, or a diagram is not (k, 2), finite, with no death before its birth.

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
    k, m = len(a), len(b)
    middle = lines.sum(axis=1) / 2  # <(1, 1) / 2, theta>
    left = np.concatenate([lines @ a.T, np.outer(middle, b.sum(axis=1))], axis=1)  # (l, k + m)
    right = np.concatenate([lines @ b.T, np.outer(middle, a.sum(axis=1))], axis=1)
    if not gradients:
        left.sort(axis=1)
        right.sort(axis=1)
        return float(np.abs(left - right).sum() / len(lines)), a, b
    order_left, order_right = left.argsort(axis=1), right.argsort(axis=1)
    apart = np.take_along_axis(left, order_left, 1) - np.take_along_axis(right, order_right, 1)
    value = np.abs(apart).sum() / len(lines)
    sign = np.sign(apart) / len(lines)
    np.put_along_axis(left, order_left, sign, 1)
    np.put_along_axis(right, order_right, -sign, 1)
    of_a = left[:, :k].T @ lines + (middle @ right[:, m:])[:, None]
    of_b = right[:, :m].T @ lines + (middle @ left[:, k:])[:, None]
    return float(value), of_a, of_b
