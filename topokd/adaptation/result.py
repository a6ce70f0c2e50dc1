"""The result of an adaptation."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topokd.errors import DataError
from topokd.evaluation import ConfusionMatrix
from topokd.io import require_writable
from topokd.models import read_metadata


@dataclass(frozen=True)
class Adaptation:
    """The result of `adapt`.

    Attributes:
        student: its checkpoint.
        record: JSON file with the fields below and the settings.
        student_score: confusion matrix on the held-out scans.
        teacher_score: the same for the teacher after its training on the labelled scans.
        alone_score: the same for a student of the labelled scans alone; None without `Settings.compare`.
        labelled, held_out, unlabelled: numbers of scans.
        rule: how the held-out scans were chosen.
        pseudo_share: share of the unlabelled points that got a pseudo-label.

    Examples:
        >>> score, path = ConfusionMatrix(2, ("road", "car")), Path("student.safetensors")
        >>> score.update([0, 0, 1, 1], [0, 0, 1, 0])
        >>> result = Adaptation(path, path.with_suffix(".json"), score, score, 8, 2, 90, "the split val", 0.7)
        >>> round(result.student_score.miou("skip"), 3)
        0.583
    """

    student: Path
    record: Path
    student_score: ConfusionMatrix
    teacher_score: ConfusionMatrix
    labelled: int
    held_out: int
    unlabelled: int
    rule: str
    pseudo_share: float
    alone_score: ConfusionMatrix | None = None

    @classmethod
    def of_record(cls, student: Path, file: Path, record: dict[str, Any]) -> Adaptation:
        """The result that a record describes.

        Args:
            student: its checkpoint.
            file: path of the record.
            record: the content of that file.
        """
        scores = {role: ConfusionMatrix.of_record(score) for role, score in record["evaluation"].items()}
        return cls(
            student=student,
            record=file,
            student_score=scores["student"],
            teacher_score=scores["teacher"],
            labelled=len(record["scans"]["labelled"]),
            held_out=len(record["scans"]["held_out"]),
            unlabelled=record["unlabelled"],
            rule=record["rule"],
            pseudo_share=record["pseudo_share"],
            alone_score=scores.get("alone"),
        )


def check_name(output: Path, teacher: str | Path, student: str) -> None:
    """Check the name of the student's file.

    Args:
        output: the student's checkpoint.
        teacher: the teacher's.
        student: a preset, or the checkpoint that the student starts from.

    Raises:
        DataError: it does not end in .safetensors, or is that of one of the given networks, which would be replaced.
    """
    if output.suffix != ".safetensors":
        raise DataError(f"{output}: the student is written as .safetensors; give it such a name")
    for name, given in (("teacher", teacher), ("network that the student starts from", student)):
        if os.path.realpath(output) == os.path.realpath(given):
            raise DataError(f"{output} is the {name}, which the student would replace: choose another name (-o)")


def check_output(output: Path, record: Path, work: Path, key: str, overwrite: bool) -> None:
    """Raise an error, before hours of work, if the output cannot be written or was made from other inputs.

    Args:
        output: the student's checkpoint.
        record: the JSON file next to it.
        work: folder of the states.
        key: digest of the inputs.
        overwrite: whether other outputs may be replaced.

    Raises:
        DataError: it was made from other inputs.
        OSError: it cannot be written.
    """
    require_writable(output.parent, work)
    if overwrite:
        return
    if output.is_file() and read_metadata(output).get("adaptation") == key:
        return  # this very run was interrupted after it had saved the student, or is to be compared
    for path in (output, record):
        if path.exists():
            raise DataError(f"{path} exists and was made from other inputs: choose another name, or pass --overwrite")
