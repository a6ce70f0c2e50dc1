"""The benchmarks' own numbers, from one confusion matrix.

Sources: semantic-kitti-api `auxiliary/np_ioueval.py`, nuscenes-devkit `eval/lidarseg/utils.py`, waymo-open-dataset
`metrics/segmentation_metrics.cc`. All drop points whose truth is ignored. They differ in two rules:

============== ======================================================== ==============================
benchmark      a labelled point that is predicted as the ignored class  a class in neither truth nor
                                                                        prediction
============== ======================================================== ==============================
semantickitti  a miss: the true class's union grows                     counts 0 (denominator + 1e-15)
nuscenes       not allowed in a submission                              skipped (nanmean)
waymo          a miss                                                   counts 1
============== ======================================================== ==============================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from topokd.datasets.label_spaces import LABEL_SPACES
from topokd.errors import DataError
from topokd.evaluation.confusion import ConfusionMatrix

Benchmark = Literal["semantickitti", "nuscenes", "waymo"]
ABSENT: dict[str, Literal["skip", "zero", "one"]] = {"semantickitti": "zero", "nuscenes": "skip", "waymo": "one"}
"""What a class that is in neither truth nor prediction counts: the ``absent`` of :meth:`ConfusionMatrix.miou`."""


@dataclass(frozen=True)
class OfficialScores:
    """What the benchmark's tool prints, fractions 0..1.

    ``iou``: per class in the benchmark's order; NaN where nuScenes skips the class. ``accuracy``:
    SemanticKITTI's, which leaves misses out of its denominator; ``frequency_weighted_iou``: nuScenes'; None where the
    tool has no such number.
    """

    benchmark: str
    miou: float
    iou: dict[str, float]
    accuracy: float | None = None
    frequency_weighted_iou: float | None = None

    def rows(self) -> dict[str, float]:
        """All numbers by name, in percent: mIoU, what else the tool prints, then the classes."""
        more = {"accuracy": self.accuracy, "frequency-weighted IoU": self.frequency_weighted_iou}
        found = {"mIoU": self.miou} | {name: value for name, value in more.items() if value is not None} | self.iou
        return {name: 100 * value for name, value in found.items()}


def official_scores(cm: ConfusionMatrix, benchmark: Benchmark) -> OfficialScores:
    """The numbers that the tool of ``benchmark`` prints for the predictions that ``cm`` counted.

    Raises :class:`DataError` when the classes are not the benchmark's, and for nuScenes when labelled points have no
    predicted class, which its server rejects.

    >>> cm = ConfusionMatrix(22, LABEL_SPACES["waymo"].class_names)
    >>> cm.update([0, 0], [0, 1])
    >>> scores = official_scores(cm, "waymo")
    >>> scores.iou["car"], scores.iou["truck"], scores.iou["bus"], round(scores.miou, 4)
    (0.5, 0.0, 1.0, 0.9318)
    """
    if benchmark not in LABEL_SPACES:
        raise DataError(f"benchmark {benchmark!r} is unknown; choose one of {', '.join(LABEL_SPACES)}")
    space = LABEL_SPACES[benchmark]
    if cm.class_names != space.class_names:
        raise DataError(
            f"{space.name} has the {space.num_classes} classes {', '.join(space.class_names)}; the confusion matrix "
            f"counts {cm.num_classes}: {', '.join(cm.class_names)}"
        )
    misses = int(cm.missed.sum())
    if benchmark == "nuscenes" and misses:
        raise DataError(
            f"{misses} labelled points have no predicted class; nuScenes takes ids 1..16 alone: predict one"
        )
    fill = {"zero": 0.0, "one": 1.0, "skip": np.nan}[ABSENT[benchmark]]
    iou = cm.iou()
    iou = np.where(np.isnan(iou), fill, iou)
    hits, counted = np.trace(cm.matrix), cm.matrix.sum()
    truth = cm.matrix.sum(0)
    return OfficialScores(
        benchmark=benchmark,
        miou=cm.miou(ABSENT[benchmark]),
        iou=dict(zip(cm.class_names, iou.tolist(), strict=True)),
        accuracy=float(hits / (counted + 1e-15)) if benchmark == "semantickitti" else None,
        frequency_weighted_iou=(
            float(np.nansum(truth * iou) / counted) if benchmark == "nuscenes" and counted else None
        ),
    )
