"""Output of a finished run: its record and its weights."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import torch

from topokd.data.dataset import ScanDataset
from topokd.distillation import DistillationObjective
from topokd.evaluation import ConfusionMatrix, evaluation_record
from topokd.io import sha256, write_json
from topokd.label_maps import written_labels
from topokd.models import save_checkpoint
from topokd.params import to_dict
from topokd.training.description import checkpoint_metadata
from topokd.training.fit import Fit
from topokd.training.run import Run


def run_record(run: Run, fit: Fit, history: dict[str, Any], matrix: ConfusionMatrix) -> dict[str, Any]:
    """The record of a finished run, which is written to ``results/<profile>/runs/``.

    Args:
        run: the run.
        fit: its training, finished.
        history: the history that `Fit.run` returned.
        matrix: counts of the final weights on the validation scans.

    Returns:
        A dictionary of JSON types: what was trained and how, the curves, and ``evaluation``.
    """
    params = run.params
    return {
        "run": run.name,
        "role": run.role,
        "row": run.student_row,
        "seed": run.seed,
        "teacher": run.teacher.name if fit.objective.needs_teacher else None,
        "terms": terms_of(fit.objective),
        "preset": run.preset,
        "parameters": sum(p.numel() for p in fit.model.parameters()),
        "steps": fit.steps,
        "batch_size": params.train.batch_size,
        **({"ranks": fit.ranks.size} if fit.ranks.size > 1 else {}),
        "dataset": params.data.dataset,
        "profile": params.profile,
        "device": fit.device.type,
        "threads": params.train.threads,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "history": history,
        "evaluation": evaluation_record(matrix, "val"),
    }


def save_weights(run: Run, fit: Fit, train: ScanDataset, val: ScanDataset) -> None:
    """Save the final weights, and those with the best validation, with what the training scans look like.

    Args:
        run: names the files.
        fit: the finished training; its model ends up with the best weights.
        train: the training scans, which the metadata describe.
        val: the validation scans: names and label ids of the network's classes.
    """
    data = run.params.data
    metadata = checkpoint_metadata(
        train,
        val.class_names,
        preset=run.preset,
        dataset=data.dataset,
        voxel_size=data.voxel_size,
        sweeps=data.sweeps,
        intensity=data.intensity,
        run=run.name,
        written=written_labels(val),
    )
    save_checkpoint(run.checkpoint, fit.model, metadata)
    if run.role == "teacher":
        write_json(run.stamp, {"run": run.name, "sha256": sha256(run.checkpoint)})
    if fit.best_weights:
        fit.model.load_state_dict(fit.best_weights)
        save_checkpoint(run.best, fit.model, metadata)


def terms_of(objective: DistillationObjective) -> dict[str, Any]:
    """Complete parameters of the active terms, by name."""
    return {name: to_dict(term.options) for name, term in objective.named_terms().items()}
