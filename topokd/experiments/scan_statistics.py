"""Tables and sentences about the statistics of two splits or two data sets, for notebook 10."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from topokd.data import IGNORE, voxelize
from topokd.data.dataset import ScanDataset
from topokd.errors import DataError

COMMON = 0.005  # share of the points from which on a class is compared
SAMPLED = 6  # approximate number of scans with counted voxels

Statistics = Mapping[str, Any]  # as topokd.datasets.statistics.statistics returns it


def sizes_table(splits: Mapping[str, ScanDataset], statistics: Mapping[str, Statistics]) -> pd.DataFrame:
    """Sequences, scans and points of each split."""
    return pd.DataFrame(
        {
            split: {
                "sequences": ", ".join(dataset.sequences)
                if len(dataset.sequences) < 30
                else f"{len(dataset.sequences)} of them",
                "scans": statistics[split]["scans"],
                "skipped scans": len(dataset.skipped),
                "points per scan": round(statistics[split]["points_per_scan"]["mean"]),
                "points without a class (%)": round(100 * statistics[split]["ignored_fraction"], 2),
                "farthest point (m)": round(statistics[split]["range_max"], 1),
            }
            for split, dataset in splits.items()
        }
    )


def class_table(statistics: Mapping[str, Statistics], other: Statistics, titles: tuple[str, str]) -> pd.DataFrame:
    """Share of each class in the training split and in ``other``, and the number of scans with it per split.

    Args:
        statistics: statistics of the splits ``train`` and ``val``.
        other: those of another data set.
        titles: names of the two data sets.
    """
    train, val = statistics["train"], statistics["val"]
    rows = {
        name: {
            f"{titles[0]} (%)": 100 * frequency,
            f"{titles[1]} (%)": 100 * other["class_frequency"][name],
            f"scans with it, of {train['scans']} train": train["class_scans"][name],
            f"scans with it, of {val['scans']} val": val["class_scans"][name],
        }
        for name, frequency in train["class_frequency"].items()
    }
    return pd.DataFrame(rows).T.round(3)


def median_range(statistics: Statistics) -> float:
    """Median distance of the points to the sensor in metres, interpolated in the histogram.

    >>> median_range({"range_histogram": [0.25, 0.5, 0.25], "range_edges": [0.0, 2.0, 4.0, 6.0]})
    3.0
    """
    return float(np.interp(0.5, np.cumsum([0, *statistics["range_histogram"]]), statistics["range_edges"]))


def comparison_sentence(statistics: Mapping[str, Statistics], other: Statistics, titles: tuple[str, str]) -> str:
    """Sentences on how similar the training split and ``other`` are in class frequencies and ranges.

    Args:
        statistics: statistics of the splits ``train`` and ``val``.
        other: those of another data set.
        titles: names of the two data sets.
    """
    train, val = statistics["train"], statistics["val"]
    names = list(train["class_frequency"])
    ours = np.array([train["class_frequency"][name] for name in names])
    theirs = np.array([other["class_frequency"][name] for name in names])
    common = theirs > COMMON
    ratio = ours[common] / theirs[common]
    absent = [name for name in names if val["class_points"][name] == 0]
    return (
        f"Of the {common.sum()} classes with more than 0.5 % of the points of *{titles[1]}*, "
        f"{((ratio > 0.5) & (ratio < 2)).sum()} are within a factor of two in *{titles[0]}*; the two distributions "
        f"share {100 * np.minimum(ours, theirs).sum():.0f} % of their mass. Half of the points are nearer than "
        f"{median_range(train):.0f} m, against {median_range(other):.0f} m. "
        + (f"Not in the validation split: {', '.join(absent)}." if absent else "The validation split has every class.")
    )


def voxel_statistics(dataset: ScanDataset, voxel_size: float) -> dict[str, Any]:
    """Voxels per scan, and the share of points that is correct if every voxel gets the label of its points' majority.

    Args:
        dataset: labelled scans, about six of which are used.
        voxel_size: edge of a voxel in metres.

    Raises:
        DataError: a scan has no labels.
    """
    counts, purity = [], []
    for index in range(0, len(dataset), max(1, len(dataset) // SAMPLED)):
        scan = dataset[index]
        grid = voxelize(scan, voxel_size)
        counts.append(len(grid))
        if scan.label is None or grid.label is None:
            raise DataError(f"{dataset.names[index]} has no labels: these statistics need a labelled split")
        labelled = scan.label != IGNORE
        purity.append(float((grid.label[grid.inverse][labelled] == scan.label[labelled]).mean()))
    return {
        "voxel_size": voxel_size,
        "voxels_per_scan": {"mean": float(np.mean(counts)), "min": min(counts), "max": max(counts)},
        "voxel_ceiling_accuracy": float(np.mean(purity)),
    }


def voxel_sentence(statistics: Mapping[str, Any]) -> str:
    """Sentences on `voxel_statistics`."""
    count = statistics["voxels_per_scan"]
    return (
        f"At {statistics['voxel_size']:g} m a validation scan has {count['mean']:,.0f} voxels on average "
        f"({count['min']:,} to {count['max']:,}). If every voxel were classified correctly, "
        f"{100 * statistics['voxel_ceiling_accuracy']:.2f} % of the points would be: the grid sets this upper limit."
    )
