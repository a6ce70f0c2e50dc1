"""The file layouts of the synthetic world, each with a writer and a reader."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from topokd import params
from topokd.data.dataset import ScanDataset
from topokd.datasets import BENCHMARKS
from topokd.datasets.benchmark import Split
from topokd.synthetic.dataset import SyntheticLidar
from topokd.synthetic.nuscenes_writer import write_nuscenes
from topokd.synthetic.semantickitti_writer import write_semantickitti
from topokd.synthetic.waymo_writer import write_waymo


class Layout(NamedTuple):
    """``write(root, synthetic, jobs=1)`` and ``open(root, split, synthetic, **options)``, which writes if needed."""

    write: Callable[..., None]
    open: Callable[..., ScanDataset]


def _open_synthetic_lidar(root: str | Path, split: Split, synthetic: params.Synthetic, **options: Any) -> ScanDataset:
    numbers = split if isinstance(split, str) else tuple(map(int, split))
    return SyntheticLidar(root, numbers, synthetic, **options)


def _read_by(benchmark: str, write: Callable[..., None]) -> Layout:
    """The layout of a benchmark for which the writer uses the official split names."""

    def open_split(root: str | Path, split: Split, synthetic: params.Synthetic, **options: Any) -> ScanDataset:
        write(root, synthetic, jobs=os.cpu_count() or 1)
        return BENCHMARKS[benchmark].open(root, split, **options)

    return Layout(write, open_split)


LAYOUTS: dict[str, Layout] = {
    "semantickitti": Layout(write_semantickitti, _open_synthetic_lidar),  # sequences of any number
    "nuscenes": _read_by("nuscenes", write_nuscenes),
    "waymo": _read_by("waymo", write_waymo),
}
"""Layouts by name of the benchmark, as in ``data.layout``."""
