"""Point clouds of known shape, for figures, tests and measurements."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy import ndarray

Points = Float64[ndarray, "n c"]
TUBE = 0.45
"""Radius of a torus's tube; that of the circle in its middle is 1."""
SPREAD = 0.12
"""Standard deviation within each of the four clusters."""


def circle(n: int, rng: np.random.Generator, noise: float = 0.05) -> Points:
    """Unit circle with normal noise: one loop."""
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, noise, (n, 2))


def figure_eight(n: int, rng: np.random.Generator, noise: float = 0.04) -> Points:
    """Two circles that touch: two loops."""
    points = circle(n, rng, noise)
    return points + np.where(np.arange(n) % 2, 1.0, -1.0)[:, None] * np.array([1.0, 0.0])


def torus(n: int, rng: np.random.Generator, noise: float = 0.0) -> Points:
    """Torus in space, uniform in its angles: two loops and a void.

    Args:
        n: number of points.
        rng: source of all random numbers.
        noise: standard deviation of the noise.
    """
    u, v = rng.uniform(0, 2 * np.pi, (2, n))
    ring = 1.0 + TUBE * np.cos(v)
    points = np.stack([ring * np.cos(u), ring * np.sin(u), TUBE * np.sin(v)], axis=1)
    return points + rng.normal(0, noise, points.shape)


def clusters(n: int, rng: np.random.Generator) -> Points:
    """Four blobs on the corners of a square: components that merge late."""
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=np.float64)
    return corners[np.arange(n) % 4] + rng.normal(0, SPREAD, (n, 2))


def uniform(n: int, rng: np.random.Generator, c: int = 3) -> Points:
    """Uniform in a cube: noise without a shape."""
    return rng.random((n, c))


def features(n: int, rng: np.random.Generator, c: int = 64, classes: int = 16, spread: float = 0.6) -> Points:
    """Rows like the features of an encoder's last stage: clustered, rectified, of unit length.

    Args:
        n: number of rows.
        rng: source of all random numbers.
        c: Channels.
        classes: number of clusters; 0: none.
        spread: standard deviation within a cluster.
    """
    centers = rng.normal(size=(max(1, classes), c)) * (classes > 0)
    points = np.maximum(centers[rng.integers(len(centers), size=n)] + spread * rng.normal(size=(n, c)), 0)
    return points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)


PRIMITIVES: dict[str, Callable[[int, np.random.Generator], Points]] = {
    "circle": circle,
    "figure eight": figure_eight,
    "torus": torus,
    "clusters": clusters,
}
