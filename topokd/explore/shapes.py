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
