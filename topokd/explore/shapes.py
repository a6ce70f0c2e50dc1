"""The shapes that every explorer offers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

from topokd.experiments.shapes import PRIMITIVES


def sphere(n: int, rng: np.random.Generator) -> Float64[ndarray, "n 3"]:
    """Unit sphere in space: one void.

    Args:
        n: number of points.
        rng: source of all random numbers.

    Examples:
        >>> sphere(5, np.random.default_rng(0)).shape
        (5, 3)
    """
    points = rng.normal(size=(n, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


SHAPES: dict[str, Callable[[int, np.random.Generator], Float64[ndarray, "n c"]]] = {**PRIMITIVES, "sphere": sphere}
"""By name: those of the figures, and a sphere for degree 2."""

DENSITY = {"torus": 16}
"""Points drawn for each one that is kept by farthest point sampling, where it is not 1.

Points drawn independently leave holes, and a torus shows no void: with 192 of them its surface closes at 0.80, when the
tube is nearly filled (0.88). The 192 farthest of 3,072 points close it at 0.50; Figure 4 has such points too.
"""
