"""Clouds that the topology layer is measured on: shapes, noise, and features of trained networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch

from topokd import params as P
from topokd.data import collate, voxelize
from topokd.errors import TopokdError
from topokd.experiments.shapes import circle, features, torus, uniform
from topokd.models import build_model, load_checkpoint
from topokd.models.modes import evaluation_mode
from topokd.scans import open_dataset
from topokd.topology import farthest_point_sampling, normalize_features
from topokd.training import Run, load_teacher

Family = Callable[[int, np.random.Generator], np.ndarray]
CHANNELS = 64


def sphere(n: int, rng: np.random.Generator) -> np.ndarray:
    points = rng.normal(size=(n, CHANNELS))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def network(role: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """n features of a scan, kept by farthest point sampling at the deepest stage that has as many."""
    large = [features for features in _taps(role, int(rng.integers(4))) if len(features) >= n]
    if not large:
        raise TopokdError(f"no stage has {n} rows")
    rows = normalize_features(large[-1])
    return rows[farthest_point_sampling(rows, n)].double().numpy()


@cache
def _taps(role: str, scan: int) -> list[torch.Tensor]:
    params = P.load_profile("default")
    dataset = open_dataset(params.data, params.data_root, "val")
    if role == "teacher":
        model = load_teacher(params, 0, dataset.class_names)
    else:
        model = build_model(params.model.student, in_channels=4, num_classes=dataset.num_classes)
        model = load_checkpoint(Run("kd_topo", 0, params).checkpoint, model)
    batch = collate([voxelize(dataset[scan], params.data.voxel_size)])
    with evaluation_mode(model), torch.inference_mode():
        return [tap.feat.clone() for tap in model(batch, taps=True)[1]]


FAMILIES: dict[str, Family] = {
    "uniform in R^3": uniform,
    "Gaussian in R^64": lambda n, rng: rng.normal(size=(n, CHANNELS)),
    "clustered features": partial(features, spread=0.3),
    "noisy torus": partial(torus, noise=0.05),
    "noisy circle": partial(circle, noise=0.1),
    "features with twice the noise": partial(features, spread=1.2),
    "features without clusters": partial(features, classes=0, spread=1.0),
    "sphere in R^64": sphere,
    "PTv3 teacher": partial(network, "teacher"),
    "PTv3 student": partial(network, "student"),
}
