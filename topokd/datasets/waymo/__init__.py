"""Waymo Open, 3D semantic segmentation: classes, reader, check, official metric, submission."""

from __future__ import annotations

from pathlib import Path

from topokd.datasets.benchmark import Benchmark, ReaderOptions, Split, Submission
from topokd.datasets.waymo.check import check
from topokd.datasets.waymo.classes import WAYMO
from topokd.datasets.waymo.frames import read_frame_list
from topokd.datasets.waymo.published import RELEASES
from topokd.datasets.waymo.reader import SPLITS, WaymoSegmentation
from topokd.datasets.waymo.submission import (
    DETAILS,
    prepare_submission,
    validate_submission,
    write_submission,
)


def open_split(root: Path, split: Split, options: ReaderOptions) -> WaymoSegmentation:
    """The reader with the options that it has; ``point_range`` crops the training split only.

    Args:
        root: folder of the data set.
        split: name of a split, or names of its segments.
        options: reader options from the profile.
    """
    return WaymoSegmentation(
        root,
        split if isinstance(split, str) else tuple(map(str, split)),
        frames=read_frame_list(options.frames) if options.frames else None,
        point_range=options.point_range if options.point_range and split == "train" else None,
        on_bad_scan=options.on_bad_scan,
        cache=options.cache,
    )


BENCHMARK = Benchmark(
    name="waymo",
    classes=WAYMO,
    splits=tuple(SPLITS),
    folders=tuple(SPLITS.values()),
    open_split=open_split,
    accepts=frozenset({"point_range", "frames"}),
    absent="one",  # a class without a union keeps its initial IoU of 1
    releases=RELEASES,
    check=check,
    submission=Submission(
        ("train", "val", "test"), write_submission, validate_submission, prepare_submission, details=DETAILS
    ),
)
"""The metric follows waymo-open-dataset, ``metrics/segmentation_metrics.cc``."""
