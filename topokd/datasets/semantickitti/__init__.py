"""SemanticKITTI: classes, reader, check, official metric, submission."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from topokd.datasets.benchmark import Benchmark, ReaderOptions, Split, Submission
from topokd.datasets.metric import Counts
from topokd.datasets.semantickitti.check import check
from topokd.datasets.semantickitti.classes import SEMANTICKITTI
from topokd.datasets.semantickitti.published import RELEASES
from topokd.datasets.semantickitti.reader import SPLITS, SemanticKITTI
from topokd.datasets.semantickitti.submission import prepare_submission, validate_submission, write_submission


def open_split(root: Path, split: Split, options: ReaderOptions) -> SemanticKITTI:
    """The reader with the options that it has.

    Args:
        root: folder of the data set.
        split: name of a split, or numbers of its sequences.
        options: reader options from the profile.
    """
    numbers = split if isinstance(split, str) else tuple(map(int, split))
    return SemanticKITTI(root, numbers, options.on_bad_scan, options.cache, options.sweeps)


def extra_scores(counts: Counts, iou: Float[ndarray, " c"]) -> dict[str, float]:
    """The tool's accuracy: points without a predicted class are not in its denominator."""
    return {"accuracy": float(np.trace(counts.matrix) / (counts.matrix.sum() + 1e-15))}


BENCHMARK = Benchmark(
    name="semantickitti",
    classes=SEMANTICKITTI,
    splits=tuple(SPLITS),
    folders=("sequences",),
    open_split=open_split,
    accepts=frozenset({"sweeps"}),
    absent="zero",  # np_ioueval adds 1e-15 to the denominator
    extra_scores=extra_scores,
    releases=RELEASES,
    check=check,
    submission=Submission(("test",), write_submission, validate_submission, prepare_submission),
)
"""The metric follows semantic-kitti-api, ``auxiliary/np_ioueval.py``."""
