"""Aggregate statistics of a dataset: frequency, range, height and intensity of each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from topokd.data.dataset import ScanDataset
from topokd.data.scan import IGNORE, Scan
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
    sums = _Sums(dataset.num_classes)
    for scan in Progress(dataset, "statistics", total=len(dataset)):
        sums.add(scan)
    return sums.summary(dataset.class_names)


class _Sums:
    """Counts and moments over the scans of a dataset with ``classes`` classes."""

    def __init__(self, classes: int) -> None:
        self.count = np.zeros(classes, np.int64)
        self.scans_with = np.zeros(classes, np.int64)
        self.moments = np.zeros((3, 2, classes))  # (range, height, intensity) x (sum, sum of squares) x class
        self.histogram = np.zeros(len(RANGE_EDGES) - 1, np.int64)
        self.sizes: list[int] = []
        self.ignored = 0
        self.farthest = 0.0  # metres

    def add(self, scan: Scan) -> None:
        """Count one scan; without labels it adds to the histogram of ranges alone."""
        xyz = scan.xyz.astype(np.float64)
        distance = np.sqrt((xyz**2).sum(axis=1))
        self.histogram += np.histogram(np.minimum(distance, RANGE_EDGES[-1] - 1e-6), RANGE_EDGES)[0]
        self.sizes.append(len(scan))
        self.farthest = max(self.farthest, float(distance.max()))
        if scan.label is None:
            return
        kept = scan.label != IGNORE
        label = scan.label[kept]
        self.ignored += len(scan) - len(label)
        classes = len(self.count)
        present = np.bincount(label, minlength=classes)
        self.count += present
        self.scans_with += present > 0
        for row, value in enumerate((distance, xyz[:, 2], scan.intensity.astype(np.float64))):
            for power in (1, 2):
                self.moments[row, power - 1] += np.bincount(label, value[kept] ** power, minlength=classes)

    def summary(self, names: Sequence[str]) -> dict[str, Any]:
        """The fields of `statistics`."""
        points = int(np.sum(self.sizes))
        labelled = max(int(self.count.sum()), 1)
        return {
            "scans": len(self.sizes),
            "points": points,
            "points_per_scan": {"mean": points / len(self.sizes), "min": min(self.sizes), "max": max(self.sizes)},
            "ignored_fraction": self.ignored / points,
            "class_points": dict(zip(names, self.count.tolist(), strict=True)),
            "class_frequency": {name: int(c) / labelled for name, c in zip(names, self.count, strict=True)},
            "class_scans": dict(zip(names, self.scans_with.tolist(), strict=True)),
            "class_range": self._mean_and_deviation(0, names),
            "class_height": self._mean_and_deviation(1, names),
            "class_intensity": self._mean_and_deviation(2, names),
            "range_max": round(self.farthest, 3),
            "range_edges": RANGE_EDGES.tolist(),
            "range_histogram": (self.histogram / points).round(6).tolist(),
        }

    def _mean_and_deviation(self, row: int, names: Sequence[str]) -> dict[str, list[float] | None]:
        result: dict[str, list[float] | None] = {}
        for index, name in enumerate(names):
            if self.count[index] == 0:
                result[name] = None
                continue
            mean, square = self.moments[row, :, index] / self.count[index]
            result[name] = [round(float(mean), 4), round(float(np.sqrt(max(square - mean**2, 0.0))), 4)]
        return result
