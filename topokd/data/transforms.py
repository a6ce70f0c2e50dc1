"""Augmentation of training scans (C.3)."""

from __future__ import annotations

import dataclasses

import numpy as np

from topokd import params
from topokd.data.scan import Scan


def augment(scan: Scan, settings: params.Augment, rng: np.random.Generator) -> Scan:
    """Augment a scan: ``x' = s F R x + e``.

    R rotates about z by an angle uniform in +-``rotation_deg``. F mirrors x and y, each with probability ``flip``. The
    scale s is uniform in ``scale``. The jitter e is normal with standard deviation ``jitter`` metres per coordinate.

    Args:
        scan: the cloud.
        settings: the parameters named above.
        rng: source of all random numbers.

    Returns:
        A new scan with the same intensities and labels.

    Examples:
        >>> scan = Scan(np.array([[1, 0, 0]], np.float32), np.zeros(1, np.float32))
        >>> still = params.Augment(rotation_deg=0.0, scale=(2.0, 2.0), flip=0.0, jitter=0.0)
        >>> augment(scan, still, np.random.default_rng(0)).xyz.tolist()
        [[2.0, 0.0, 0.0]]
    """
    angle = np.deg2rad(rng.uniform(-settings.rotation_deg, settings.rotation_deg))
    scale = rng.uniform(*settings.scale)
    mirror = np.where(rng.random(2) < settings.flip, -1.0, 1.0)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix = scale * np.diag([*mirror, 1.0]) @ np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    xyz = scan.xyz @ matrix.T.astype(np.float32)
    if settings.jitter > 0:
        xyz = xyz + np.float32(settings.jitter) * rng.standard_normal(xyz.shape, dtype=np.float32)
    return dataclasses.replace(scan, xyz=xyz)
