"""Aggregate statistics of a dataset: frequency, range, height and intensity of each class."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from topokd.data.dataset import ScanDataset
from topokd.data.scan import IGNORE
from topokd.datasets.semantickitti.reader import SemanticKITTI
from topokd.io import read_json, write_json
from topokd.progress import Progress

RANGE_EDGES = np.arange(0.0, 82.0, 2.0)
"""Metres; points beyond the last edge count in the last bin."""


def statistics(dataset: ScanDataset) -> dict[str, Any]:
    """Statistics over all points of a dataset.

    Args:
        dataset: every scan is read once.

    Returns:
        Plain numbers, ready for JSON. ``class_frequency`` is the share among labelled points; ``range_histogram`` the
        share of all points per bin of the distance to the sensor; ``class_range``, ``class_height`` and
        ``class_intensity`` hold mean and standard deviation per class (None for a class that does not occur);
        ``class_scans`` is the number of scans that contain a class.

    Examples:
        >>> import tempfile
        >>> from topokd.data import Scan
        >>> from topokd.datasets import SemanticKITTI
        >>> from topokd.datasets.semantickitti.files import write_scan
        >>> root = tempfile.mkdtemp()
        >>> write_scan(root, 8, 0, Scan(np.full((4, 3), 3.0), np.full(4, 0.5), np.array([8, 8, 0, IGNORE])))
        >>> result = statistics(SemanticKITTI(root, "val"))
        >>> result["points"], round(result["class_frequency"]["road"], 3)
        (4, 0.667)
    """
    classes = dataset.num_classes
    count = np.zeros(classes, np.int64)
    scans_with = np.zeros(classes, np.int64)
    moments = np.zeros((3, 2, classes))  # (range, height, intensity) x (sum, sum of squares) x class
    histogram = np.zeros(len(RANGE_EDGES) - 1, np.int64)
    sizes, ignored, far = [], 0, 0.0
    for scan in Progress(dataset, "statistics", total=len(dataset)):
        xyz = scan.xyz.astype(np.float64)
        distance = np.sqrt((xyz**2).sum(axis=1))
        histogram += np.histogram(np.minimum(distance, RANGE_EDGES[-1] - 1e-6), RANGE_EDGES)[0]
        sizes.append(len(scan))
        far = max(far, float(distance.max()))
        if scan.label is None:
            continue
        kept = scan.label != IGNORE
        label = scan.label[kept]
        ignored += len(scan) - len(label)
        present = np.bincount(label, minlength=classes)
        count += present
        scans_with += present > 0
        for row, value in enumerate((distance, xyz[:, 2], scan.intensity.astype(np.float64))):
            for power in (1, 2):
                moments[row, power - 1] += np.bincount(label, value[kept] ** power, minlength=classes)
    points = int(np.sum(sizes))
    names = dataset.class_names

    def mean_and_deviation(row: int) -> dict[str, list[float] | None]:
        result: dict[str, list[float] | None] = {}
        for index, name in enumerate(names):
            if count[index] == 0:
                result[name] = None
                continue
            mean, square = moments[row, :, index] / count[index]
            result[name] = [round(float(mean), 4), round(float(np.sqrt(max(square - mean**2, 0.0))), 4)]
        return result

    labelled = max(int(count.sum()), 1)
    return {
        "scans": len(sizes),
        "points": points,
        "points_per_scan": {"mean": points / len(sizes), "min": min(sizes), "max": max(sizes)},
        "ignored_fraction": ignored / points,
        "class_points": dict(zip(names, count.tolist(), strict=True)),
        "class_frequency": {name: int(c) / labelled for name, c in zip(names, count, strict=True)},
        "class_scans": dict(zip(names, scans_with.tolist(), strict=True)),
        "class_range": mean_and_deviation(0),
        "class_height": mean_and_deviation(1),
        "class_intensity": mean_and_deviation(2),
        "range_max": round(far, 3),
        "range_edges": RANGE_EDGES.tolist(),
        "range_histogram": (histogram / points).round(6).tolist(),
    }


REFERENCE = "reference/semantickitti_mini_statistics.json"


def real_statistics() -> dict[str, Any]:
    """The same statistics of 34 real SemanticKITTI scans, committed so that comparing does not require the data.

    Examples:
        >>> real_statistics()["statistics"]["scans"]
        34
    """
    return read_json(str(files("topokd.datasets").joinpath(REFERENCE)))


def write_real_statistics(root: str | Path) -> None:
    """Write the committed file from the scans of sequences 00-10 under ``root``."""
    record = {
        "source": "34 scans of SemanticKITTI, sequences 00-10 (frames 0, 4, 9 of each, and 08/000720), HDL-64E",
        "licence": "Aggregate numbers only, no data. KITTI (Geiger et al. 2012) is CC BY-NC-SA 3.0, the labels of "
        "SemanticKITTI (Behley et al. 2019) are CC BY-NC-SA 4.0.",
        "command": "python -c \"from topokd.datasets.statistics import write_real_statistics as w; w('<root>')\"",
        "limits": "Three frames of one second per sequence, so about a dozen places; some classes have few points.",
        "statistics": statistics(SemanticKITTI(root, tuple(range(11)), cache=0)),
    }
    write_json(Path(str(files("topokd.datasets"))) / REFERENCE, record)
