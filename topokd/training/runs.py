"""One teacher or one student of a profile: trained, evaluated, and written down."""

from __future__ import annotations

import dataclasses
import logging
import platform
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from topokd.data import ScanCache, training_batch
from topokd.distillation import DistillationObjective
from topokd.errors import CheckpointError, ParameterError
from topokd.evaluation import ConfusionMatrix, evaluate, evaluation_record
from topokd.io import sha256, write_json
from topokd.models import PointTransformerV3, build_model, load_checkpoint, read_metadata, save_checkpoint
from topokd.params import ABLATION, Distill, Params, to_dict
from topokd.scans import build_dataset
from topokd.training.determinism import deterministic, seeded_model
from topokd.training.loop import Fit
from topokd.training.state import ResumeFolder, code_fingerprint, dataset_fingerprint, run_key

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Run:
    """Who is trained: a teacher, or the student of one ablation row."""

    role: Literal["teacher", "student"]
    variant: str | None
    seed: int

    @property
    def name(self) -> str:
        """``teacher-seed0`` or ``full-seed0``: the name of the run's files."""
        return f"{self.variant or self.role}-seed{self.seed}"


def train_teacher(params: Params, seed: int) -> dict[str, Any]:
    """Train the teacher of ``seed`` with cross-entropy alone, evaluate it, and return its record.

    Writes ``workspace/<profile>/checkpoints/teacher-seed<seed>.safetensors`` (under ``best/`` those with the best mIoU
    seen while training) and ``results/<profile>/runs/teacher-seed<seed>.json``. An interrupted run
    goes on where it was when called again.
    """
    return _train(params, Run("teacher", None, seed))


def train_student(params: Params, variant: str, seed: int) -> dict[str, Any]:
    """Train the student of one row of ``params.ABLATION``; the teacher of the same seed teaches it.

    All variants of a seed start from the same weights and see the same batches in the same order; they differ in the
    terms of Eq. 8. Files as in :func:`train_teacher`, named ``<variant>-seed<seed>``. Raises
    :class:`CheckpointError` when the teacher is missing or of another preset or other classes.
    """
    if variant not in ABLATION:
        raise ParameterError(f"variant {variant!r} is unknown; choose one of {', '.join(ABLATION)}")
    return _train(params, Run("student", variant, seed))


def effective_weights(distill: Distill, terms: tuple[str, ...]) -> Distill:
    """``distill`` with lambda 0 for every term that is not among ``terms``.

    >>> effective_weights(Distill(), ("kd",)).lambda_topo
    0.0
    """
    return dataclasses.replace(
        distill,
        lambda_topo=distill.lambda_topo if "topo" in terms else 0.0,
        lambda_grad=distill.lambda_grad if "grad" in terms else 0.0,
        lambda_kd=distill.lambda_kd if "kd" in terms else 0.0,
    )


def checkpoint_path(params: Params, run: str) -> Path:
    """Where the final weights of ``run`` are."""
    return params.workspace / "checkpoints" / f"{run}.safetensors"


def record_path(params: Params, run: str) -> Path:
    """Where the record of ``run`` is."""
    return params.results / "runs" / f"{run}.json"


def best_path(params: Params, run: str) -> Path:
    """Where the weights of ``run`` with the best mIoU seen while training are."""
    return params.workspace / "best" / f"{run}.safetensors"


def _train(params: Params, run: Run) -> dict[str, Any]:
    train = params.train
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    store = _store(params)
    train_set, val_set = (
        build_dataset(params.data, params.data_root, split).stored_in(store) for split in ("train", "val")
    )
    steps = train.teacher_steps if run.role == "teacher" else train.student_steps
    steps = steps or train.epochs * -(-len(train_set) // train.batch_size)
    terms = ABLATION[run.variant] if run.variant else ()
    distill = effective_weights(params.distill, terms)
    objective = DistillationObjective(
        distill.lambda_topo,
        distill.lambda_grad,
        distill.lambda_kd,
        distill.temperature,
        distill.topology,
        distill.saliency,
        lovasz=train.lovasz,
    )
    with deterministic(train.threads):
        teacher = load_teacher(params, run.seed, val_set.class_names) if objective.needs_teacher else None
        preset = params.model.teacher if run.role == "teacher" else params.model.student
        model = seeded_model(preset, val_set.num_classes, run.seed, run.role).set_checkpointing(train.checkpointing)
        for network in (model, teacher):
            if network is not None:
                network.set_backends(**dataclasses.asdict(train.backends))
        if teacher is not None and not objective.saliency.second_order:
            # L_grad keeps more of the teacher than of the student. (With second order the blocks would run again where
            # another attention kernel is in force, and round differently.)
            teacher.set_checkpointing(train.checkpointing)
        fit = Fit(
            model=model,
            objective=objective,
            batches=lambda step: training_batch(train_set, params.data, run.seed, step, train.batch_size),
            steps=steps,
            train=train,
            seed=run.seed,
            name=run.name,
            teacher=teacher,
            validate=lambda m: _miou(
                params,
                evaluate(m, val_set, params.data.voxel_size, scans=train.validate_scans, workers=train.workers),
            ),
            resume=_resume_folder(params, run, steps, distill, (train_set, val_set), device),
            live=params.workspace / "live" / run.name,
            device=device,
        )
        history = fit.run()
        started = time.process_time()
        matrix = evaluate(model, val_set, params.data.voxel_size, params.evaluation.tta, workers=train.workers)
        log.info("%s: evaluated in %.1f s of CPU time", run.name, time.process_time() - started)
    record = {
        "run": run.name,
        "role": run.role,
        "variant": run.variant,
        "seed": run.seed,
        "terms": list(terms),
        "weights": {
            "lambda_topo": distill.lambda_topo,
            "lambda_grad": distill.lambda_grad,
            "lambda_kd": distill.lambda_kd,
            "temperature": distill.temperature if "kd" in terms else None,
        },
        "preset": preset,
        "parameters": sum(p.numel() for p in model.parameters()),
        "steps": steps,
        "batch_size": train.batch_size,
        "dataset": params.data.dataset,
        "profile": params.pipeline.profile,
        "device": device.type,
        "threads": train.threads,
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "history": history,
        "evaluation": evaluation_record(matrix, "val"),
    }
    metadata = {
        "preset": preset,
        "in_channels": "4",
        "num_classes": str(val_set.num_classes),
        "class_names": ",".join(val_set.class_names),
        "dataset": params.data.dataset,
        "voxel_size": repr(params.data.voxel_size),
        "sweeps": str(params.data.sweeps),
        "run": run.name,
    }
    save_checkpoint(checkpoint_path(params, run.name), model, metadata)
    if fit.best_weights:
        model.load_state_dict(fit.best_weights)
        save_checkpoint(best_path(params, run.name), model, metadata)
    write_json(record_path(params, run.name), record)
    return record


def load_teacher(params: Params, seed: int, class_names: tuple[str, ...]) -> PointTransformerV3:
    """The trained teacher of ``seed``.

    Raises :class:`CheckpointError`, naming the file and the command that makes it, when it is missing, of another
    preset than ``model.teacher``, or trained for other classes.
    """
    path = checkpoint_path(params, f"teacher-seed{seed}")
    again = f"train it first: `dvc repro teacher@{seed}` (profile {params.pipeline.profile})"
    if not path.is_file():
        raise CheckpointError(f"the teacher's checkpoint {path} does not exist; {again}")
    metadata = read_metadata(path)
    if metadata.get("preset") != params.model.teacher:
        raise CheckpointError(
            f"{path} holds a {metadata.get('preset', 'network of unknown preset')}, but model.teacher is "
            f"{params.model.teacher}; {again}"
        )
    if metadata.get("class_names") != ",".join(class_names):
        raise CheckpointError(
            f"{path} was trained for {metadata.get('num_classes', 'unknown')} classes "
            f"({metadata.get('class_names', 'without names')}), the data has {len(class_names)} "
            f"({','.join(class_names)}); {again}"
        )
    model = build_model(params.model.teacher, in_channels=4, num_classes=len(class_names))
    return load_checkpoint(path, model)


def _store(params: Params) -> ScanCache | None:
    if params.cache_folder is None:
        return None
    store = ScanCache(params.cache_folder)
    entries, size = store.size()
    log.info("cache %s: %d entries, %.2f GB", store.folder, entries, size / 1e9)
    return store


def _miou(params: Params, matrix: ConfusionMatrix) -> float:
    return matrix.miou(params.evaluation.absent)


def _resume_folder(
    params: Params, run: Run, steps: int, distill: Distill, datasets: tuple[Any, Any], device: torch.device
) -> ResumeFolder:
    """The run's state folder, keyed by everything that the trained weights and the history depend on."""
    given = to_dict(params)
    ignored = ("teacher_steps", "student_steps", "epochs", "checkpoint_every", "workers", "cache", "checkpointing")
    teacher = checkpoint_path(params, f"teacher-seed{run.seed}")
    key = run_key(
        run=dataclasses.asdict(run),
        steps=steps,
        preset=given["model"][run.role],
        data={name: value for name, value in given["data"].items() if name != "root"},
        train={name: value for name, value in given["train"].items() if name not in ignored},
        distill=dataclasses.asdict(distill),
        absent=params.evaluation.absent,
        scans=[dataset_fingerprint(dataset) for dataset in datasets],
        teacher=sha256(teacher) if run.variant and ABLATION[run.variant] else None,
        code=code_fingerprint(run.role),
        versions=[platform.python_version(), torch.__version__, np.__version__],
        device=device.type,
    )
    return ResumeFolder(params.workspace / "resume", run.name, key)
