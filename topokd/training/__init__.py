"""Training: one loop for teachers and students, resumable and repeatable bit for bit.

:func:`train_teacher` and :func:`train_student` train a run of a profile and write its files; :class:`Fit` is the loop
alone, for a network, an objective and batches of one's own.
"""

from topokd.training.loop import Fit
from topokd.training.runs import (
    best_path,
    checkpoint_path,
    load_teacher,
    record_path,
    train_student,
    train_teacher,
)

__all__ = ["Fit", "best_path", "checkpoint_path", "load_teacher", "record_path", "train_student", "train_teacher"]
