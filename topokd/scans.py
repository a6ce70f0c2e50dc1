"""From parameters to a dataset: the benchmarks and the synthetic world by name, others by their label map."""

from __future__ import annotations

import os
from pathlib import Path

from topokd import params
from topokd.data.dataset import ScanDataset
from topokd.datasets import BENCHMARKS
from topokd.datasets.benchmark import CHOICES, Split
from topokd.errors import ParameterError
from topokd.label_maps import LabelMap, label_map_names, load_label_map, open_mapped
from topokd.project import project_path
from topokd.synthetic import LAYOUTS

SYNTHETIC = "synthetic"


def dataset_names() -> tuple[str, ...]:
    """The values that ``data.dataset`` may have, besides the path of a label map."""
    return (SYNTHETIC, *BENCHMARKS, *label_map_names())


def label_map_of(data: params.Data) -> LabelMap | None:
    """The label map that ``data.dataset`` names: of conf/labels, or a .yaml relative to the project; None: another.

    Raises:
        ParameterError: it does not exist or is not a label map.
    """
    name = data.dataset
    if name.endswith((".yaml", ".yml")):
        return load_label_map(project_path(name))
    return load_label_map(name) if name not in (SYNTHETIC, *BENCHMARKS) and name in label_map_names() else None


def check_data(data: params.Data) -> None:
    """Check the parameters that depend on which benchmarks there are.

    Raises:
        ParameterError: an unknown ``data.dataset`` or ``data.layout``, or an option that its reader does not accept.

    Examples:
        >>> check_data(params.Data(dataset="kitti"))
        Traceback (most recent call last):
        topokd.errors.ParameterError: data.dataset is 'kitti'; choose one of synthetic, nuscenes, semantickitti, ...
    """
    label_map = label_map_of(data)
    if label_map is None and data.dataset not in dataset_names():
        raise ParameterError(
            f"data.dataset is {data.dataset!r}; choose one of {', '.join(dataset_names())}, or name a label map (.yaml)"
        )
    if data.layout not in LAYOUTS:
        raise ParameterError(f"data.layout is {data.layout!r}; choose one of {', '.join(LAYOUTS)}")
    name = data.layout if data.dataset == SYNTHETIC else data.dataset
    accepts = frozenset[str]() if label_map else BENCHMARKS[name].accepts
    defaults = params.Data()
    for option in CHOICES:
        value = getattr(data, option, None)
        if option not in accepts and value != getattr(defaults, option, None):
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
    label_map = label_map_of(data)
    if label_map is not None:
        if not isinstance(split, str):
            raise ParameterError(f"{label_map.name} has named splits: {', '.join(label_map.split_names)}")
        mapped = open_mapped(root, label_map, split, data.on_bad_scan)
        mapped.intensity = data.intensity
        return mapped
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
