"""From parameters to a dataset."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from topokd import params
from topokd.data.dataset import ScanDataset
from topokd.datasets.nuscenes.reader import NuScenesLidarSeg
from topokd.datasets.semantickitti.reader import SemanticKITTI
from topokd.datasets.waymo.reader import WaymoSegmentation
from topokd.synthetic import SyntheticLidar, generate, write_nuscenes, write_waymo


def build_dataset(data: params.Data, root: str | Path, split: str | Sequence[int]) -> ScanDataset:
    """The dataset that ``data.dataset`` names, read from ``root`` (usually ``params.data_root``).

    The synthetic world is made there first where it is missing, in the layout that ``data.layout`` names.
    """
    kind = data.dataset
    if kind == "synthetic":
        kind = data.layout
        if kind == "semantickitti":
            return SyntheticLidar(root, split, data.synthetic, data.on_bad_scan, sweeps=data.sweeps)
        write_world(data, root)
    if kind == "nuscenes":
        return NuScenesLidarSeg(root, _named(split), data.version, data.sweeps, data.on_bad_scan)
    if kind == "waymo":
        reach = data.point_range if data.point_range and split == "train" else None
        return WaymoSegmentation(root, _named(split), point_range=reach, on_bad_scan=data.on_bad_scan)
    return SemanticKITTI(root, split, data.on_bad_scan, sweeps=data.sweeps)


def write_world(data: params.Data, root: str | Path) -> None:
    """Write the synthetic world in ``data.layout`` under ``root``, unless it is there."""
    write = {"semantickitti": generate, "nuscenes": write_nuscenes, "waymo": write_waymo}[data.layout]
    write(root, data.synthetic, jobs=os.cpu_count() or 1)


def _named(split: str | Sequence[int]) -> str | tuple[str, ...]:
    """Scenes and segments have names, not numbers."""
    return split if isinstance(split, str) else tuple(map(str, split))
