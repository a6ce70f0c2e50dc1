"""Training: one loop for teachers and students, resumable and reproducible bit for bit.

`train_teacher` and `train_student` train a run of a profile and write its files (`Run`).
`Fit` is the loop alone, for your own network, objective and batches.
"""

from topokd.training.fit import Fit
from topokd.training.hooks import Hook, LiveCurves, Resume, Validate
from topokd.training.inspection import load_batch
from topokd.training.run import Run, run_of
from topokd.training.teacher import load_teacher
from topokd.training.teacher_outputs import TeacherOutputs
from topokd.training.train import train_student, train_teacher

__all__ = [
    "Fit",
    "Hook",
    "LiveCurves",
    "Resume",
    "Run",
    "TeacherOutputs",
    "Validate",
    "load_batch",
    "load_teacher",
    "run_of",
    "train_student",
    "train_teacher",
]
