"""Train one teacher or one student of a profile, evaluate it, and write its files."""

from __future__ import annotations

import logging
import platform
import time
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from topokd import schema
from topokd.data import ScanCache, training_batch
from topokd.data.dataset import ScanDataset
from topokd.distillation import DistillationObjective, build_objective
from topokd.errors import CheckpointError, ParameterError
from topokd.evaluation import ConfusionMatrix, evaluate, evaluation_record
from topokd.evaluation.predict import spread
from topokd.io import sha256, write_json
from topokd.label_maps import written_labels
from topokd.models import PointTransformerV3, build_model, load_checkpoint, read_metadata, save_checkpoint
from topokd.params import Params, Train, to_dict
from topokd.scans import open_dataset
from topokd.training.description import checkpoint_metadata
from topokd.training.determinism import deterministic, seeded_model
from topokd.training.distributed import Ranks, device_of, joined, place
from topokd.training.fit import Fit
from topokd.training.hooks import Average, LiveCurves, ReleaseMemory, Resume, Validate
from topokd.training.launch import launch
from topokd.training.run import TEACHER, Run
from topokd.training.state import ResumeFolder, code_fingerprint, dataset_fingerprint, run_key
from topokd.training.teacher_outputs import TeacherOutputs
from topokd.training.trackers import Sink, open_tracker, require_tracker

log = logging.getLogger(__name__)


def train_teacher(params: Params, seed: int) -> dict[str, Any]:
    """Train the teacher of ``seed`` with cross-entropy alone, evaluate it, and write its files.

    An interrupted run resumes when called again. The files are those of `Run`: the final weights, those with
    the best mIoU seen during training, live curves, and the record.

    Args:
        params: The profile.
        seed: Of weights, batches and everything random in a step.

    Returns:
        The run record.
    """
    return _started(Run(TEACHER, seed, params))


def train_student(params: Params, row: str, seed: int) -> dict[str, Any]:
    """Train the student of one row of the ablation with the teacher of `Params.teacher_seed`, as `train_teacher` does.

    All rows of a seed start from the same weights and see the same batches in the same order; they differ in the terms
    of the loss (Eq. 8).

    Args:
        params: The profile.
        row: A name in ``params.rows``.
        seed: Of weights, batches and everything random in a step.

    Raises:
        ParameterError: The row does not exist.
        CheckpointError: The teacher is missing, or has another preset or other classes.
    """
    if row not in params.rows:
        raise ParameterError(f"row {row!r} is not in `rows` of the parameters; {schema.nearest(row, params.rows)}")
    return _started(Run(row, seed, params))


class Splits(NamedTuple):
    """Training and validation scans of a profile."""

    train: ScanDataset
    val: ScanDataset


def _started(run: Run) -> dict[str, Any]:
    """Train in this process, as one of the ranks that torchrun or srun started, or with ranks started here."""
    require_tracker(run.params.train.tracker)
    here = place()
    if here is None and run.params.train.ranks > 1:
        _check_shares(run.params.train)
        return launch(run)
    if here is not None:
        run = replace(run, params=run.params.replace(train=run.params.train.replace(ranks=here.size)))
        _check_shares(run.params.train)
    device = device_of(here)
    with joined(here, device) as ranks:
        return _train(run, ranks, device)


def _check_shares(train: Train) -> None:
    if train.batch_size % train.ranks:
        raise ParameterError(
            f"train.batch_size is {train.batch_size}, which {train.ranks} ranks cannot share equally: make it a "
            "multiple of that, or change train.ranks"
        )


def _train(run: Run, ranks: Ranks, device: torch.device) -> dict[str, Any]:
    params, train = run.params, _train_settings(run)
    scans = _open_splits(params)
    objective = build_objective(params, run.student_row)
    steps = _count_steps(run, len(scans.train))

    def tracker() -> Sink | None:
        return open_tracker(train.tracker, run.tracked, params.profile, run.name)

    def validation_miou(model: nn.Module) -> float:
        matrix = _evaluate(run, model, scans.val, ranks, wanted=train.validate_scans)
        return matrix.miou(params.evaluation.absent)

    with deterministic(train.threads):
        teacher = _teacher(run, objective, scans.val.class_names)
        model = seeded_model(run.preset, scans.val.num_classes, run.seed, run.role)
        model.set_checkpointing(train.checkpointing)
        model.set_backends(**to_dict(train.backends))
        fit = Fit(
            model=model,
            objective=objective,
            batches=lambda step: training_batch(
                scans.train, params.data, run.seed, step, train.batch_size, ranks.clouds(train.batch_size)
            ),
            steps=steps,
            train=train,
            seed=run.seed,
            name=run.name,
            teacher=teacher,
            kept=_kept(run, objective, scans, device, ranks),
            hooks=[
                *([Average(decay)] if (decay := _average(run)) else []),
                Validate(validation_miou, train.validate_every),
                *([LiveCurves(run.live, tracker)] if ranks.is_main else []),
                ReleaseMemory(train.checkpoint_every),
                Resume(_resume_folder(run, steps, objective, scans, device), train.checkpoint_every),
            ],
            device=device,
            ranks=ranks,
        )
        history = fit.run()
        started = time.process_time()
        matrix = _evaluate(run, model, scans.val, ranks, tta=params.evaluation.tta)
        log.info("%s: evaluated in %.1f s of CPU time", run.name, time.process_time() - started)
    record = _record(run, fit, history, matrix)
    if ranks.is_main:
        _save_weights(run, fit, scans)
        write_json(run.record, record)
    return record


def _evaluate(
    run: Run, model: nn.Module, dataset: ScanDataset, ranks: Ranks, tta: int = 1, wanted: int | None = None
) -> ConfusionMatrix:
    """Counts of all ranks, each of which predicts its share of the scans; no scan is counted twice.

    Args:
        run: Says how.
        model: The network; its running statistics become those of rank 0.
        dataset: Labelled scans.
        ranks: They end up with the same counts.
        tta: Number of rotations that are averaged.
        wanted: How many scans, spread evenly; None: all.
    """
    ranks.share_buffers(model)
    own = ranks.split(spread(len(dataset), wanted))
    matrix = evaluate(model, dataset, run.params.data.voxel_size, tta, scans=own, workers=run.params.train.workers)
    for counts in (matrix.matrix, matrix.missed):
        counts[...] = ranks.sum(torch.from_numpy(counts).to(ranks.device)).cpu().numpy()
    matrix.clouds = int(ranks.sum(torch.tensor(matrix.clouds, device=ranks.device)))
    return matrix


def _open_splits(params: Params) -> Splits:
    cache = None
    if params.cache_folder is not None:
        cache = ScanCache(params.cache_folder)
        entries, size = cache.size()
        log.info("cache %s: %d entries, %.2f GB", cache.folder, entries, size / 1e9)
    return Splits(*(open_dataset(params.data, params.data_root, split).stored_in(cache) for split in ("train", "val")))


def _train_settings(run: Run) -> Train:
    """The profile's, with a student's own learning rates."""
    train = run.params.train
    if run.role == "teacher":
        return train
    own, factor = train.optimizer, train.student_lr_factor
    return train.replace(optimizer=own.replace(lr=factor * own.lr, lr_attention=factor * own.lr_attention))


def _kept(
    run: Run, objective: DistillationObjective, scans: Splits, device: torch.device, ranks: Ranks
) -> TeacherOutputs | None:
    """Where the rows of this seed share what they need of the teacher."""
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
        scans=dataset_fingerprint(scans.train),
        code=code_fingerprint(),
        versions=[torch.__version__, np.__version__],
        device=device.type,
    )
    share = f".{ranks.rank}of{ranks.size}" if ranks.size > 1 else ""  # of the batch
    return TeacherOutputs(run.kept, f"seed{run.seed}{share}", key, rows)


def _average(run: Run) -> float:
    """Decay of the running average of the weights; 0: none."""
    row = run.params.rows.get(run.row)
    return 0.0 if row is None else row.average


def _count_steps(run: Run, scans: int) -> int:
    train = run.params.train
    steps = train.teacher_steps if run.role == "teacher" else train.student_steps
    steps = steps or train.epochs * -(-scans // train.batch_size)
    row = run.params.rows.get(run.row)
    return steps if row is None else max(1, round(steps * row.steps))


def _teacher(run: Run, objective: DistillationObjective, class_names: tuple[str, ...]) -> PointTransformerV3 | None:
    """The trained teacher, if the objective needs one."""
    if not objective.needs_teacher:
        return None
    train = run.params.train
    teacher = load_teacher(run.params, run.teacher.seed, class_names)
    teacher.set_backends(**to_dict(train.backends))
    if not objective.differentiates_twice:
        # With L_grad the teacher stores more activations than the student. With the second order, checkpointed blocks
        # would run again under another attention kernel and round differently.
        teacher.set_checkpointing(train.checkpointing)
    return teacher


def load_teacher(params: Params, seed: int, class_names: tuple[str, ...]) -> PointTransformerV3:
    """The trained teacher of ``seed``.

    Raises:
        CheckpointError: The file is missing, has another preset than ``model.teacher``, or was trained for other
            classes; the message names the file and the command that makes it.
    """
    path = Run(TEACHER, seed, params).checkpoint
    advice = f"train it first: `dvc repro teacher@{params.profile}-{seed}`"
    if not path.is_file():
        raise CheckpointError(f"the teacher's checkpoint {path} does not exist; {advice}")
    metadata = read_metadata(path)
    if metadata.get("preset") != params.model.teacher:
        raise CheckpointError(
            f"{path} holds a {metadata.get('preset', 'network of unknown preset')}, but model.teacher is "
            f"{params.model.teacher}; {advice}"
        )
    if metadata.get("class_names") != ",".join(class_names):
        raise CheckpointError(
            f"{path} was trained for {metadata.get('num_classes', 'unknown')} classes "
            f"({metadata.get('class_names', 'without names')}), but the data has {len(class_names)} "
            f"({','.join(class_names)}); {advice}"
        )
    model = build_model(params.model.teacher, in_channels=4, num_classes=len(class_names))
    return load_checkpoint(path, model)


def _record(run: Run, fit: Fit, history: dict[str, Any], matrix: ConfusionMatrix) -> dict[str, Any]:
    params = run.params
    return {
        "run": run.name,
        "role": run.role,
        "row": run.student_row,
        "seed": run.seed,
        "teacher": run.teacher.name if fit.objective.needs_teacher else None,
        "terms": _terms(fit.objective),
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


def _save_weights(run: Run, fit: Fit, scans: Splits) -> None:
    """Save the final weights, and those with the best validation, with what the training scans look like."""
    data = run.params.data
    metadata = checkpoint_metadata(
        scans.train,
        scans.val.class_names,
        preset=run.preset,
        dataset=data.dataset,
        voxel_size=data.voxel_size,
        sweeps=data.sweeps,
        intensity=data.intensity,
        run=run.name,
        written=written_labels(scans.val),
    )
    save_checkpoint(run.checkpoint, fit.model, metadata)
    if run.role == "teacher":
        write_json(run.stamp, {"run": run.name, "sha256": sha256(run.checkpoint)})
    if fit.best_weights:
        fit.model.load_state_dict(fit.best_weights)
        save_checkpoint(run.best, fit.model, metadata)


def _terms(objective: DistillationObjective) -> dict[str, Any]:
    """Complete parameters of the active terms."""
    return {name: to_dict(term.options) for name, term in objective.named_terms().items()}


def _resume_folder(
    run: Run, steps: int, objective: DistillationObjective, scans: Splits, device: torch.device
) -> ResumeFolder:
    """The run's state folder, keyed by everything that the trained weights and the history depend on."""
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
        average=_average(run),
        data={name: value for name, value in given["data"].items() if name != "root"},
        train={name: value for name, value in to_dict(_train_settings(run)).items() if name not in ignored},
        terms=_terms(objective),
        absent=run.params.evaluation.absent,
        scans=[dataset_fingerprint(dataset) for dataset in scans],
        teacher=sha256(run.teacher.checkpoint) if objective.needs_teacher else None,
        code=code_fingerprint(run.role),
        versions=[platform.python_version(), torch.__version__, np.__version__],
        device=device.type,
    )
    return ResumeFolder(run.resume, run.name, key)
