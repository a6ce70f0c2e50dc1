"""Clouds that are hard for persistence engines: ties, duplicates, degenerate shapes, many channels."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from topokd.topology import squared_distances


def random_cloud(seed: int, most: int = 40) -> np.ndarray:
    """One of ten families, drawn by the seed; float64 (n, c), n up to ``most``."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, most + 1))
    family = seed % 10
    if family == 0:
        return rng.random((n, 2))
    if family == 1:
        return rng.normal(size=(n, 32))
    if family == 2:  # whole coordinates: many equal distances
        return rng.integers(0, 4, size=(n, 2)).astype(float)
    if family == 3:  # a grid, shuffled
        side = max(1, int(n**0.5))
        return rng.permutation(np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)).astype(float)
    if family == 4:  # duplicates
        return rng.random((max(1, n // 3), 3))[rng.integers(0, max(1, n // 3), n)]
    if family == 5:  # on a line
        return rng.random((n, 1)) * np.array([[1.0, 2.0, -1.0]])
    if family == 6:  # tight clusters far apart
        return rng.integers(0, 3, size=(n, 1)) * 100.0 + rng.normal(0, 1e-3, (n, 3))
    if family == 7:  # a regular polygon: every distance several times
        angle = 2 * np.pi * np.arange(n) / n
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if family == 8:  # rectified unit vectors
        x = np.maximum(rng.normal(size=(n, 16)), 0)
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)
    angle = rng.uniform(0, 2 * np.pi, n)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0, 0.05, (n, 2))


def random_distances(seed: int, most: int = 40) -> np.ndarray:
    """Symmetric matrices that violate the triangle inequality; those of even seeds have few distinct values."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, most + 1))
    values = rng.random((n, n)) if seed % 2 else rng.integers(1, 6, size=(n, n)).astype(float)
    return np.triu(values, 1) + np.triu(values, 1).T


def clouds(most: int = 40) -> st.SearchStrategy[np.ndarray]:
    """Clouds of all families, of up to ``most`` points."""
    return st.integers(0, 10_000).map(lambda seed: random_cloud(seed, most))


@st.composite
def filtrations(draw: st.DrawFn, most: int = 40) -> tuple[np.ndarray, float]:
    """A filtration (n, n), of a cloud or of arbitrary distances, and the highest value that enters."""
    seed = draw(st.integers(0, 10_000))
    arbitrary = draw(st.booleans())
    filtration = random_distances(seed, most) if arbitrary else squared_distances(random_cloud(seed, most))
    quantile = draw(st.sampled_from([None, 0.3, 0.6, 0.9]))
    return filtration, np.inf if quantile is None else float(np.quantile(filtration, quantile))
