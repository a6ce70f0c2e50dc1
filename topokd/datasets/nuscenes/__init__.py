"""nuScenes-lidarseg: classes, reader, check, official metric, submission."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from topokd.datasets.benchmark import Benchmark, ReaderOptions, Split, Submission
from topokd.datasets.metric import Counts
from topokd.datasets.nuscenes.check import check
from topokd.datasets.nuscenes.classes import NUSCENES
from topokd.datasets.nuscenes.published import RELEASES
from topokd.datasets.nuscenes.reader import VERSIONS, NuScenesLidarSeg
from topokd.datasets.nuscenes.submission import validate_submission, write_submission
from topokd.errors import DataError


def open_split(root: Path, split: Split, options: ReaderOptions) -> NuScenesLidarSeg:
    """The reader with the options that it has; the version defaults to the one that holds the split.

    Args:
        root: folder of the data set.
        split: name of a split, or names of its scenes.
        options: reader options from the profile.
    """
    names = split if isinstance(split, str) else tuple(map(str, split))
    version = options.version or ("v1.0-test" if split == "test" else "v1.0-trainval")
    return NuScenesLidarSeg(root, names, version, options.sweeps, options.on_bad_scan, options.cache)


def extra_scores(counts: Counts, iou: Float[ndarray, " c"]) -> dict[str, float]:
    """The devkit's frequency-weighted IoU, once points are counted.

    Raises:
        DataError: labelled points have no predicted class.
    """
    misses = int(counts.missed.sum())
    if misses:
        raise DataError(
            f"{misses} labelled points have no predicted class; nuScenes accepts only ids 1..16: predict one of them"
        )
    counted = counts.matrix.sum()
    if not counted:
        return {}
    return {"frequency-weighted IoU": float(np.nansum(counts.matrix.sum(0) * iou) / counted)}


BENCHMARK = Benchmark(
    name="nuscenes",
    classes=NUSCENES,
    splits=("train", "val", "test"),
    folders=(*VERSIONS, "samples/LIDAR_TOP", "lidarseg", "panoptic"),
    open_split=open_split,
    accepts=frozenset({"sweeps", "version"}),
    absent="skip",  # the devkit takes nanmean
    extra_scores=extra_scores,
    releases=RELEASES,
    check=check,
    submission=Submission(
        ("val", "test"),
        write_submission,
        validate_submission,
        details={"external": "whether further data were used for training"},
    ),
)
"""The metric follows nuscenes-devkit, ``eval/lidarseg/utils.py``."""
