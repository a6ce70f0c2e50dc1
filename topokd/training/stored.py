"""Files that a run keeps between starts or shares with other runs, each under a key of everything it depends on."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import numpy as np
import torch

from topokd.data.dataset import ScanDataset
from topokd.distillation import DistillationObjective, build_objective
from topokd.io import sha256
from topokd.params import to_dict
from topokd.training.distributed import Ranks
from topokd.training.record import terms_of
from topokd.training.run import Run
from topokd.training.state import ResumeFolder, code_fingerprint, dataset_fingerprint, run_key
from topokd.training.teacher_outputs import TeacherOutputs


def resume_folder(
    run: Run, steps: int, objective: DistillationObjective, scans: Sequence[ScanDataset], device: torch.device
) -> ResumeFolder:
    """The run's state folder, keyed by everything that the trained weights and the history depend on.

    Args:
        run: the run.
        steps: number of steps of its training.
        objective: the objective that it minimises.
        scans: training and validation scans.
        device: where it trains.
    """
    given = to_dict(run.params)
    ignored = (
        "keep_teacher",
        "teacher_steps",
        "student_steps",
        "epochs",
        "checkpoint_every",
        "workers",
        "cache",
        "checkpointing",
        "tracker",
    )
    key = run_key(
        run=[run.role, run.row, run.seed],
        steps=steps,
        preset=run.preset,
        average=run.average,
        data={name: value for name, value in given["data"].items() if name != "root"},
        train={name: value for name, value in to_dict(run.settings).items() if name not in ignored},
        terms=terms_of(objective),
        absent=run.params.evaluation.absent,
        scans=[dataset_fingerprint(dataset) for dataset in scans],
        teacher=sha256(run.teacher.checkpoint) if objective.needs_teacher else None,
        code=code_fingerprint(run.role),
        versions=[platform.python_version(), torch.__version__, np.__version__],
        device=device.type,
    )
    return ResumeFolder(run.resume, run.name, key)


def shared_teacher_outputs(
    run: Run, objective: DistillationObjective, scans: ScanDataset, device: torch.device, ranks: Ranks
) -> TeacherOutputs | None:
    """Folder of the teacher's outputs that the rows of this seed share, keyed by everything that they depend on.

    Args:
        run: a student's.
        objective: objective of that student.
        scans: the training scans.
        device: where it trains.
        ranks: each shares what belongs to its part of the batch.

    Returns:
        None if the row needs no teacher, or the profile does not keep its outputs (``train.keep_teacher``).
    """
    params = run.params
    if not (params.train.keep_teacher and objective.needs_teacher):
        return None
    rows = [build_objective(params, row) for row in params.train_rows]
    key = run_key(
        teacher=sha256(run.teacher.checkpoint),
        data={name: value for name, value in to_dict(params.data).items() if name != "root"},
        batch_size=params.train.batch_size,
        amp=params.train.amp,
        threads=params.train.threads,
        backends=to_dict(params.train.backends),
        lovasz=params.train.lovasz,
        scans=dataset_fingerprint(scans),
        code=code_fingerprint(),
        versions=[torch.__version__, np.__version__],
        device=device.type,
    )
    share = f".{ranks.rank}of{ranks.size}" if ranks.size > 1 else ""  # of the batch
    return TeacherOutputs(run.kept, f"seed{run.seed}{share}", key, rows)
