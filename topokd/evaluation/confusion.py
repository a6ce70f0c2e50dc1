"""Confusion matrix and intersection over union, counted as the benchmarks' own evaluators do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray
from numpy.typing import ArrayLike

from topokd.choices import Absent
from topokd.data import IGNORE
from topokd.datasets.metric import class_iou, mean_iou
from topokd.errors import DataError
from topokd.options import whole


class ConfusionMatrix:
    """Counts of (predicted class, true class) over points: ``matrix[p, t]``, rows = prediction, columns = truth.

    A point whose truth is `topokd.data.IGNORE` is dropped, with any prediction. A prediction of IGNORE
    on a labelled point is a miss, as in the SemanticKITTI evaluator: it lowers the IoU of the true class and belongs to
    no predicted class, so it is counted separately in ``missed[t]``. Any other class outside 0..C-1 is an error. (The
    nuScenes evaluator would drop a miss; its format does not allow one, so both agree on every valid submission.)

    Args:
        num_classes: C.
        class_names: one per class; None: "class 0" and so on.

    Attributes:
        matrix: (C, C) counts.
        missed: (C,) points of each true class without a predicted class.
        clouds: number of calls of `update`.

    Raises:
        ParameterError: ``num_classes`` is not a whole number from 1 to 65,536.
        DataError: ``class_names`` has another length.

    Examples:
        >>> cm = ConfusionMatrix(3, ("road", "car", "person"))
        >>> cm.update(prediction=[0, 0, 1, 1], truth=[0, 1, 1, -1])
        >>> cm.matrix.tolist()
        [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
        >>> cm.iou().tolist()
        [0.5, 0.5, nan]
        >>> cm.miou(absent="skip"), round(cm.miou(absent="zero"), 4), round(cm.accuracy(), 4)
        (0.5, 0.3333, 0.6667)
    """

    def __init__(self, num_classes: int, class_names: tuple[str, ...] | list[str] | None = None) -> None:
        num_classes = whole(num_classes, "num_classes", most=1 << 16)
        names = tuple(class_names) if class_names is not None else tuple(f"class {i}" for i in range(num_classes))
        if len(names) != num_classes:
            raise DataError(
                f"a confusion matrix of {num_classes} classes got {len(names)} class names; give one for each"
            )
        self.num_classes, self.class_names = num_classes, names
        self.matrix: Int64[ndarray, "c c"] = np.zeros((num_classes, num_classes), np.int64)
        self.missed: Int64[ndarray, " c"] = np.zeros(num_classes, np.int64)
        self.clouds = 0

    def update(self, prediction: ArrayLike, truth: ArrayLike) -> None:
        """Count one cloud.

        Args:
            prediction: predicted class per point, integers (torch or numpy).
            truth: true class per point, of the same shape.

        Raises:
            DataError: the shapes differ, the arrays do not hold integers, or a class is unknown.
        """
        p, t = _integers(prediction, "prediction"), _integers(truth, "truth")
        if p.shape != t.shape:
            raise DataError(
                f"{p.size} predictions for {t.size} true labels (shapes {p.shape} and {t.shape}): one per point"
            )
        p, t = p.reshape(-1), t.reshape(-1)
        self._check(t, "truth")
        labelled = t != IGNORE
        p, t = p[labelled], t[labelled]
        self._check(p, "prediction")
        hit = p != IGNORE
        c = self.num_classes
        self.matrix += np.bincount(p[hit] * c + t[hit], minlength=c * c).reshape(c, c)
        self.missed += np.bincount(t[~hit], minlength=c)
        self.clouds += 1

    def _check(self, values: Int64[ndarray, " n"], what: str) -> None:
        wrong = values[(values != IGNORE) & ((values < 0) | (values >= self.num_classes))]
        if wrong.size:
            ids = ", ".join(map(str, np.unique(wrong)[:5].tolist()))
            raise DataError(
                f"{what} holds class {ids} at {wrong.size} of {values.size} points; known classes "
                f"are 0..{self.num_classes - 1} and {IGNORE} (ignored): map raw label ids to training ids first"
            )

    def merge(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """A new matrix that counts both.

        Raises:
            DataError: the classes differ.
        """
        if self.class_names != other.class_names:
            raise DataError(f"cannot merge confusion matrices of {self.class_names} and of {other.class_names}")
        merged = ConfusionMatrix(self.num_classes, self.class_names)
        merged.matrix, merged.missed = self.matrix + other.matrix, self.missed + other.missed
        merged.clouds = self.clouds + other.clouds
        return merged

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> ConfusionMatrix:
        """The matrix from a record of `evaluation_record`."""
        cm = cls(len(record["class_names"]), record["class_names"])
        cm.matrix, cm.missed = np.array(record["confusion"], np.int64), np.array(record["missed"], np.int64)
        cm.clouds = int(record["scans"])
        return cm

    @property
    def points(self) -> int:
        """Labelled points counted."""
        return int(self.matrix.sum() + self.missed.sum())

    def present(self) -> ndarray:
        """Which classes occur in the ground truth: booleans (c,)."""
        return (self.matrix.sum(0) + self.missed) > 0

    def iou(self) -> Float[ndarray, " c"]:
        """TP / (TP + FP + FN) per class, 0..1; NaN for a class in neither truth nor prediction."""
        return class_iou(self.matrix, self.missed)

    def miou(self, absent: Absent = "skip") -> float:
        """Mean IoU, 0..1; NaN if nothing was counted and classes are skipped.

        The numbers that a benchmark's own tool prints: ``BENCHMARKS[name].official_scores(cm)``.

        Args:
            absent: how classes in neither truth nor prediction count: "skip" leaves them out (nuScenes), "zero" counts
                0 (SemanticKITTI), "one" counts 1 (Waymo).
        """
        return mean_iou(self.iou(), absent)

    def accuracy(self) -> float:
        """Correctly predicted points / labelled points (a miss counts as wrong); NaN if there are none."""
        return float(np.trace(self.matrix) / self.points) if self.points else float("nan")


def evaluation_record(cm: ConfusionMatrix, split: str = "val") -> dict[str, Any]:
    """The ``evaluation`` part of a run record, in plain types, with fractions 0..1.

    ``iou`` is None for a class in neither truth nor prediction; ``present`` marks the classes in the truth.

    Args:
        cm: counts of all scans.
        split: name of the evaluated split.

    Returns:
        Counts, IoU per class, mIoU in all conventions, and accuracy.

    >>> cm = ConfusionMatrix(2); cm.update([0, 0], [0, 0])
    >>> record = evaluation_record(cm)
    >>> record["points"], record["miou_skip"], record["miou_zero"], record["miou_one"], record["present"]
    (2, 1.0, 0.5, 1.0, [True, False])
    """
    return {
        "split": split,
        "scans": cm.clouds,
        "points": cm.points,
        "class_names": list(cm.class_names),
        "confusion": cm.matrix.tolist(),
        "missed": cm.missed.tolist(),
        "iou": [None if np.isnan(v) else float(v) for v in cm.iou()],
        "present": [bool(v) for v in cm.present()],
        "miou_skip": cm.miou("skip"),
        "miou_zero": cm.miou("zero"),
        "miou_one": cm.miou("one"),
        "accuracy": cm.accuracy(),
    }


def _integers(values: ArrayLike, what: str) -> ndarray:
    if hasattr(values, "detach"):  # a torch tensor, on whatever device
        if str(getattr(values, "device", "")) == "meta":
            raise DataError(f"{what} is on the device meta, without values: pass a tensor with values")
        values = values.detach().cpu().numpy()
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise DataError(f"{what} must hold integer class ids, not {array.dtype}: take the argmax of the scores first")
    if array.dtype == np.uint64 and array.size and int(array.max()) >= 1 << 63:
        raise DataError(f"{what} goes up to {int(array.max())}: map raw label ids to training ids first")
    return array.astype(np.int64)
