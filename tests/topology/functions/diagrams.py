"""Diagrams shared by the tests of this folder, and properties of every function of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from tests.topology.clouds import random_cloud
from topokd.topology import functions as F
from topokd.topology import persistence_weighted_chamfer, precision_term, recall_term, vietoris_rips

GRID = torch.linspace(0.0, 2.0, 17, dtype=torch.float64)
IMAGE = {"resolution": (4, 6), "bandwidth": 0.3, "birth_range": (0.0, 1.0), "persistence_range": (0.0, 1.5)}

OF_ONE: dict[str, Callable[..., Tensor]] = {
    "total_persistence": F.total_persistence,
    "total_persistence, p=2.5": partial(F.total_persistence, p=2.5),
    "persistence_entropy": F.persistence_entropy,
    "betti_curve": partial(F.betti_curve, grid=GRID),
    "betti_curve, width=0.1": partial(F.betti_curve, grid=GRID, width=0.1),
    "landscape": partial(F.landscape, grid=GRID, k=3),
    "silhouette": partial(F.silhouette, grid=GRID),
    "silhouette, power=0": partial(F.silhouette, grid=GRID, power=0.0),
    "persistence_image": partial(F.persistence_image, **IMAGE),
    "persistence_image, weight_power=1": partial(F.persistence_image, weight_power=1.0, **IMAGE),
}
OF_TWO: dict[str, Callable[..., Tensor]] = {
    "wasserstein_distance": F.wasserstein_distance,
    "wasserstein_distance, 2, 2": partial(F.wasserstein_distance, order=2.0, internal_p=2.0),
    "wasserstein_distance, 3, 1.5": partial(F.wasserstein_distance, order=3.0, internal_p=1.5),
    "wasserstein_distance, 2, 1": partial(F.wasserstein_distance, order=2.0, internal_p=1.0),
    "sliced_wasserstein_distance": partial(F.sliced_wasserstein_distance, num_directions=7),
    "bottleneck_distance": F.bottleneck_distance,
}
CHAMFER: dict[str, Callable[..., Tensor]] = {  # of two diagrams too, but squares, and PWCD has weights
    "chamfer_distance": F.chamfer_distance,
    "chamfer_distance, diagonal": partial(F.chamfer_distance, diagonal=True),
    "persistence_weighted_chamfer": persistence_weighted_chamfer,
    "recall_term": recall_term,
    "precision_term": precision_term,
}
OF_CLOUDS: dict[str, Callable[..., Tensor]] = {
    "rtd": F.rtd,
    "rtd, quantile=None": partial(F.rtd, quantile=None),
    "rtd_lite": F.rtd_lite,
    "rtd_lite, quantile=None": partial(F.rtd_lite, quantile=None),
    "signature_loss": F.signature_loss,
    "signature_loss, normalize=True": partial(F.signature_loss, normalize=True),
}


def diagram(k: int, seed: int, *, one_birth: bool = False, whole: bool = False) -> Tensor:
    """k random pairs in float64; ``whole``: small whole numbers, so that costs tie and points lie on the diagonal."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(0, 4, (k, 2)).astype(float) if whole else rng.random((k, 2)) + 0.01
    points = np.cumsum(steps, axis=1)
    return torch.from_numpy(points - points[:, :1] if one_birth else points)


def rips_diagrams(seed: int, most: int = 40) -> list[Tensor]:
    """Diagrams of degrees 0 and 1 of one of the ten families of tests/topology/clouds.py."""
    return vietoris_rips(random_cloud(seed, most)).diagrams
