"""Accuracy by range, by distance to the nearest other class, and by class frequency."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from scipy.spatial import cKDTree
from torch import device, get_num_threads, nn, set_num_threads

from topokd.data import IGNORE, Scan
from topokd.errors import DataError
from topokd.evaluation.confusion import ConfusionMatrix
from topokd.evaluation.predict import Dataset, predict
from topokd.progress import Progress
from topokd.stopping import die_with_parent

RANGE_EDGES = (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, float("inf"))
"""Metres from the sensor."""
BORDER_EDGES = (0.0, 0.1, 0.2, 0.4, 0.8, float("inf"))
"""Metres to the nearest labelled point of another class."""
BOUNDARY = 0.2
"""Points nearer than this to another class count for the boundary IoU; must be one of the border edges."""
FREQUENCY = (0.005, 0.05)
"""A class with a smaller share of the labelled points than the first is rare; from the second on it is frequent."""


def border_distance(
    xyz: Float[ndarray, "n 3"], truth: Int64[ndarray, " n"], limit: float = 0.8
) -> Float[ndarray, " n"]:
    """Distance from each point to the nearest labelled point of another true class.

    It depends on the ground truth only, so it is the same for all networks.

    Args:
        xyz: (n, 3) metres.
        truth: (n,) classes or IGNORE.
        limit: larger distances are not computed.

    Returns:
        (n,) metres; inf beyond ``limit``. Ignored points get inf and do not form boundaries.

    Examples:
        >>> xyz = np.array([[0.0, 0, 0], [0.1, 0, 0], [0.4, 0, 0], [0.2, 0, 0]])
        >>> border_distance(xyz, np.array([0, 1, 1, IGNORE])).round(2).tolist()
        [0.1, 0.1, 0.4, inf]
    """
    distance = np.full(len(truth), np.inf)
    labelled = np.flatnonzero(truth != IGNORE)
    classes = np.unique(truth[labelled])
    if len(classes) < 2:
        return distance
    for c in classes:
        own = labelled[truth[labelled] == c]
        others = cKDTree(xyz[labelled[truth[labelled] != c]], balanced_tree=False)
        distance[own] = others.query(xyz[own], distance_upper_bound=np.nextafter(limit, np.inf))[0]
    return distance


class Breakdown:
    """Confusion matrices of all points and of groups of points.

    Boundary IoU is the mean IoU over the points nearer than `BOUNDARY` to a point of another true class, and interior
    IoU is that of the rest. Contrastive Boundary Learning (CVPR 2022) divides them likewise, by a radius around each
    point.

    Args:
        num_classes: number of classes.
        class_names: names of the classes.
        range_edges: distances to the sensor in metres, increasing from 0 to infinity.
        border_edges: distances to another class in metres, likewise; contain `BOUNDARY`.

    Attributes:
        total: all points.
        ranges: ``ranges[k]`` counts the points at ``range_edges[k]`` to ``range_edges[k + 1]`` (exclusive) metres.
        borders: the same by `border_distance` and ``border_edges``.

    Raises:
        DataError: the edges are not as described.

    Examples:
        >>> scan = Scan(np.array([[1.0, 0, 0], [1.05, 0, 0], [30.0, 0, 0]]), np.zeros(3), np.array([0, 1, 1]))
        >>> breakdown = Breakdown(2, ("road", "car"))
        >>> breakdown.update(scan, np.array([1, 1, 1]))
        >>> breakdown.ranges[0].points, breakdown.ranges[3].miou()
        (2, 1.0)
        >>> breakdown.boundary().miou(), breakdown.interior().miou()
        (0.25, 1.0)
    """

    def __init__(
        self,
        num_classes: int,
        class_names: Sequence[str],
        range_edges: Sequence[float] = RANGE_EDGES,
        border_edges: Sequence[float] = BORDER_EDGES,
    ) -> None:
        for name, edges in (("range_edges", range_edges), ("border_edges", border_edges)):
            if len(edges) < 2 or edges[0] != 0 or edges[-1] != np.inf or (np.diff(edges[:-1]) <= 0).any():
                raise DataError(f"{name} is {tuple(edges)}; it must rise from 0 to infinity")
        if BOUNDARY not in border_edges:
            raise DataError(f"border_edges is {tuple(border_edges)}; it must contain {BOUNDARY} (the boundary)")

        def matrix() -> ConfusionMatrix:
            return ConfusionMatrix(num_classes, tuple(class_names))

        self.range_edges, self.border_edges = tuple(range_edges), tuple(border_edges)
        self.total = matrix()
        self.ranges = [matrix() for _ in range_edges[1:]]
        self.borders = [matrix() for _ in border_edges[1:]]

    def update(self, scan: Scan, prediction: Int64[ndarray, " n"], border: Float[ndarray, " n"] | None = None) -> None:
        """Count the points of one scan.

        Args:
            scan: n points.
            prediction: (n,) classes.
            border: `border_distance` of the scan up to the last finite edge, if known.

        Raises:
            DataError: the scan, which is named, has no labels.
        """
        if scan.label is None:
            raise DataError(f"scan {scan.name} has no labels: a breakdown needs a labelled split (val)")
        self.total.update(prediction, scan.label)
        distance = np.linalg.norm(scan.xyz.astype(np.float64), axis=1)
        if border is None:
            border = border_distance(scan.xyz, scan.label, self.border_edges[-2])
        for values, edges, matrices in (
            (distance, self.range_edges, self.ranges),
            (border, self.border_edges, self.borders),
        ):
            part = np.digitize(values, edges[1:-1])
            for k, cm in enumerate(matrices):
                cm.update(prediction[part == k], scan.label[part == k])

    def add(self, other: Breakdown) -> None:
        """Add the counts of other scans."""
        own = (self.total, *self.ranges, *self.borders)
        for mine, theirs in zip(own, (other.total, *other.ranges, *other.borders), strict=True):
            mine.matrix += theirs.matrix
            mine.missed += theirs.missed
            mine.clouds += theirs.clouds

    def boundary(self) -> ConfusionMatrix:
        """The points nearer than `BOUNDARY` to another class."""
        return _sum(self.borders[: self.border_edges.index(BOUNDARY)])

    def interior(self) -> ConfusionMatrix:
        """The other labelled points."""
        return _sum(self.borders[self.border_edges.index(BOUNDARY) :])

    def frequencies(self) -> dict[str, list[str]]:
        """The classes present in the ground truth, as "frequent", "medium" and "rare" (`FREQUENCY`)."""
        count = self.total.matrix.sum(0) + self.total.missed
        share = count / max(int(count.sum()), 1)
        low, high = FREQUENCY
        names = np.array(self.total.class_names)
        return {
            "frequent": names[share >= high].tolist(),
            "medium": names[(share < high) & (share >= low)].tolist(),
            "rare": names[(share < low) & (count > 0)].tolist(),
        }

    def record(self) -> dict[str, Any]:
        """Plain numbers for JSON: per group, mIoU over the classes in its ground truth, in percent, and counts."""
        iou = dict(zip(self.total.class_names, self.total.iou(), strict=True))
        return {
            "range": [_part(cm, a, b) for cm, a, b in _bins(self.ranges, self.range_edges)],
            "border": [_part(cm, a, b) for cm, a, b in _bins(self.borders, self.border_edges)],
            "boundary": {"within_m": BOUNDARY, **_scores(self.boundary())},
            "interior": _scores(self.interior()),
            "frequency": {
                group: {"classes": names, "miou": 100 * float(np.mean([iou[n] for n in names])) if names else None}
                for group, names in self.frequencies().items()
            },
        }


def break_down(
    models: Mapping[str, nn.Module],
    dataset: Dataset,
    voxel_size: float,
    tta: int = 1,
    where: device | str | None = None,
    jobs: int = 1,
) -> dict[str, Breakdown]:
    """Predict every scan of a dataset with each network and count its points by range, distance to a border and class.

    Args:
        models: the networks by name.
        dataset: labelled scans.
        voxel_size: metres.
        tta: number of rotations that are averaged.
        where: device; None: that of the parameters of the model.
        jobs: processes that share the scans, each with as many threads as this one; counts do not depend on it.
    """
    shares = [list(range(k, len(dataset), jobs)) for k in range(min(jobs, len(dataset)))]
    if len(shares) <= 1:
        return _counted(models, dataset, voxel_size, tta, where, Progress(range(len(dataset)), "breaking down"))
    count = partial(_counted, models, dataset, voxel_size, tta, where, threads=get_num_threads())
    context = get_context("spawn")  # a fork would copy threads
    with ProcessPoolExecutor(len(shares), context, initializer=die_with_parent, initargs=(os.getpid(),)) as pool:
        first, *others = pool.map(count, shares)
    for other in others:
        for name, part in other.items():
            first[name].add(part)
    return first


def _counted(
    models: Mapping[str, nn.Module],
    dataset: Dataset,
    voxel_size: float,
    tta: int,
    where: device | str | None,
    scans: Iterable[int],
    threads: int | None = None,
) -> dict[str, Breakdown]:
    """Breakdowns over some scans; distances to borders, which depend on the truth alone, are computed once per scan."""
    if threads is not None:
        set_num_threads(threads)
    breakdowns = {name: Breakdown(dataset.num_classes, dataset.class_names) for name in models}
    for index in scans:
        scan = dataset[index]
        border = None if scan.label is None else border_distance(scan.xyz, scan.label, BORDER_EDGES[-2])
        for name, model in models.items():
            breakdowns[name].update(scan, predict(model, scan, voxel_size, tta, where), border)
    return breakdowns


def present_miou(cm: ConfusionMatrix) -> float:
    """Mean IoU over the classes present in the ground truth; NaN if there are none.

    A group of points lacks many classes, and a single stray prediction of one of them would count as IoU 0.
    """
    present = cm.present()
    return float(cm.iou()[present].mean()) if present.any() else float("nan")


def _bins(matrices: list[ConfusionMatrix], edges: tuple[float, ...]) -> list[tuple[ConfusionMatrix, float, float]]:
    return list(zip(matrices, edges[:-1], edges[1:], strict=True))


def _part(cm: ConfusionMatrix, low: float, high: float) -> dict[str, Any]:
    return {"from_m": low, "to_m": high, **_scores(cm)}


def _scores(cm: ConfusionMatrix) -> dict[str, Any]:
    return {
        "miou": 100 * present_miou(cm),
        "accuracy": 100 * cm.accuracy(),
        "classes": int(cm.present().sum()),
        "points": cm.points,
    }


def _sum(matrices: list[ConfusionMatrix]) -> ConfusionMatrix:
    total = matrices[0]
    for cm in matrices[1:]:
        total = total.merge(cm)
    return total
