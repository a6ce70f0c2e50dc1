"""From parameters to a dataset: the benchmarks and the synthetic world, by name."""

from __future__ import annotations

import os
from pathlib import Path

from topokd import params
from topokd.data.dataset import ScanDataset
from topokd.datasets import BENCHMARKS
from topokd.datasets.benchmark import CHOICES, Split
from topokd.errors import ParameterError
from topokd.synthetic import LAYOUTS

SYNTHETIC = "synthetic"


def dataset_names() -> tuple[str, ...]:
    """The values that ``data.dataset`` may have."""
    return (SYNTHETIC, *BENCHMARKS)


def check_data(data: params.Data) -> None:
    """Check the parameters that depend on which benchmarks there are.

    Raises:
        ParameterError: an unknown ``data.dataset`` or ``data.layout``, or an option that its reader does not accept.

    Examples:
        >>> check_data(params.Data(dataset="kitti"))
        Traceback (most recent call last):
        topokd.errors.ParameterError: data.dataset is 'kitti'; choose one of synthetic, nuscenes, semantickitti, waymo
    """
    if data.dataset not in dataset_names():
        raise ParameterError(f"data.dataset is {data.dataset!r}; choose one of {', '.join(dataset_names())}")
    if data.layout not in LAYOUTS:
        raise ParameterError(f"data.layout is {data.layout!r}; choose one of {', '.join(LAYOUTS)}")
    name = data.layout if data.dataset == SYNTHETIC else data.dataset
    defaults = params.Data()
    for option in CHOICES:
        value = getattr(data, option, None)
        if option not in BENCHMARKS[name].accepts and value != getattr(defaults, option, None):
            raise ParameterError(
                f"data.{option} is {value!r}, but the reader of {name} does not have this option: remove it"
            )


def open_dataset(data: params.Data, root: str | Path, split: Split) -> ScanDataset:
    """The scans of ``data.dataset``; the synthetic world is written first if it is missing.

    Args:
        data: the parameters.
        root: folder of the data set, usually ``params.data_root``.
        split: "train", "val", "test", or names of sequences.

    Raises:
        ParameterError: see `check_data`.
        DataError: the data cannot be read.
    """
    check_data(data)
    options = {name: getattr(data, name) for name in ("sweeps", "version", "point_range") if _accepts(data, name)}
    options["on_bad_scan"] = data.on_bad_scan
    if data.dataset == SYNTHETIC:
        dataset = LAYOUTS[data.layout].open(root, split, data.synthetic, **options)
    else:
        dataset = BENCHMARKS[data.dataset].open(root, split, **options)
    dataset.intensity = data.intensity
    return dataset


def write_world(data: params.Data, root: str | Path) -> None:
    """Write the synthetic world in ``data.layout`` under ``root``, unless it exists."""
    check_data(data)
    LAYOUTS[data.layout].write(root, data.synthetic, jobs=os.cpu_count() or 1)


def _accepts(data: params.Data, option: str) -> bool:
    return option in BENCHMARKS[data.layout if data.dataset == SYNTHETIC else data.dataset].accepts
