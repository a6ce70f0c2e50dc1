"""Train one teacher or one student of a profile, evaluate it, and write its files."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn

from topokd import schema
from topokd.data import ScanCache, training_batch
from topokd.data.dataset import ScanDataset
from topokd.distillation import build_objective
from topokd.errors import ParameterError
from topokd.evaluation import ConfusionMatrix, evaluate
from topokd.evaluation.predict import spread
from topokd.io import require_writable, write_json
from topokd.locks import locked
from topokd.params import Params, to_dict
from topokd.progress import notify
from topokd.project import TEACHER
from topokd.scans import open_dataset
from topokd.training.determinism import deterministic, seeded_model
from topokd.training.distributed import ProcessRank, Ranks, device_of, joined, place
from topokd.training.fit import Fit
from topokd.training.hooks import Average, LiveCurves, Resume, Validate
from topokd.training.launch import launch
from topokd.training.record import run_record, save_weights
from topokd.training.run import Run
from topokd.training.stored import resume_folder, shared_teacher_outputs
from topokd.training.teacher import teacher_of
from topokd.training.trackers import Sink, open_tracker, require_tracker

log = logging.getLogger(__name__)


def train_teacher(params: Params, seed: int) -> dict[str, Any]:
    """Train the teacher of ``seed`` with cross-entropy alone, evaluate it, and write its files.

    An interrupted run resumes when called again. The files are those of `Run`: the final weights, those with
    the best mIoU seen during training, live curves, and the record.

    Args:
        params: the profile.
        seed: seed of weights, batches and everything random in a step.

    Returns:
        The run record.

    Examples:
        >>> import os
        >>> import tempfile
        >>> from unittest import mock
        >>> from topokd.params import Data, Model, Synthetic, Train
        >>> from topokd.synthetic import write_semantickitti
        >>> folder = tempfile.mkdtemp()
        >>> world = Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(8,), scans_per_sequence=2)
        >>> write_semantickitti(folder, world)
        >>> params = Params(
        ...     data=Data(dataset="semantickitti", root=folder, voxel_size=0.8, crop_voxels=200),
        ...     model=Model(teacher="ptv3-tiny", student="ptv3-tiny"),
        ...     train=Train(teacher_steps=1, student_steps=1),
        ... )
        >>> with mock.patch.dict(os.environ, TOPOKD_ROOT=folder):  # instead of the project's folders
        ...     record = train_teacher(params, seed=0)
        >>> record["run"], record["seed"]
        ('teacher-seed0', 0)
    """
    return _started(Run(TEACHER, seed, params))


def train_student(params: Params, row: str, seed: int) -> dict[str, Any]:
    """Train the student of one row of the ablation with the teacher of `Params.teacher_seed`, as `train_teacher` does.

    All rows of a seed start from the same weights and see the same batches in the same order; they differ in the terms
    of the loss (Eq. 8).

    Args:
        params: the profile.
        row: a name in ``params.rows``.
        seed: seed of weights, batches and everything random in a step.

    Returns:
        The run record.

    Raises:
        ParameterError: the row does not exist.
        CheckpointError: the teacher is missing, or has another preset or other classes.

    Examples:
        >>> import os
        >>> import tempfile
        >>> from unittest import mock
        >>> from topokd.params import Data, Model, Row, Synthetic, Train
        >>> from topokd.synthetic import write_semantickitti
        >>> folder = tempfile.mkdtemp()
        >>> world = Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(8,), scans_per_sequence=2)
        >>> write_semantickitti(folder, world)
        >>> params = Params(
        ...     data=Data(dataset="semantickitti", root=folder, voxel_size=0.8, crop_voxels=200),
        ...     model=Model(teacher="ptv3-tiny", student="ptv3-tiny"),
        ...     train=Train(teacher_steps=1, student_steps=1),
        ...     rows={"kd": Row(label="Student, KD", short="KD", color="accent", terms={"kd": {}})},
        ... )
        >>> with mock.patch.dict(os.environ, TOPOKD_ROOT=folder):  # instead of the project's folders
        ...     teacher = train_teacher(params, seed=0)
        ...     record = train_student(params, "kd", seed=0)
        >>> record["run"], sorted(record["history"]["terms"])
        ('kd-seed0', ['kd', 'seg'])
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
        return launch(run)
    if here is not None:
        run = replace(run, params=run.params.replace(train=run.params.train.replace(ranks=here.size)))
    device = device_of(here)
    with _only_one(run, here), joined(here, device) as ranks:
        return _train(run, ranks, device)


@contextlib.contextmanager
def _only_one(run: Run, here: ProcessRank | None) -> Iterator[None]:
    """A lock that lets only one process (or main rank) train a run: two would write to the same files."""
    if here is not None and here.rank > 0:
        yield
        return
    require_writable(run.record.parent, run.checkpoint.parent, run.best.parent, run.resume)
    file = run.resume / f"{run.name}.lock"
    with locked(file, lambda: notify(log, f"another process trains {run.name}: waiting, then resuming from its state")):
        yield


def _train(run: Run, ranks: Ranks, device: torch.device) -> dict[str, Any]:
    params, train = run.params, run.settings
    scans = _open_splits(params)
    objective = build_objective(params, run.student_row)
    steps = run.count_steps(len(scans.train))

    def tracker() -> Sink | None:
        return open_tracker(train.tracker, run.tracked, params.profile, run.name)

    def validation_miou(model: nn.Module) -> float:
        matrix = _evaluate(run, model, scans.val, ranks, wanted=train.validate_scans)
        return matrix.miou(params.evaluation.absent)

    with deterministic(train.threads):
        teacher = teacher_of(run, objective, scans.val.class_names)
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
            kept=shared_teacher_outputs(run, objective, scans.train, device, ranks),
            hooks=[
                *([Average(run.average)] if run.average else []),
                Validate(validation_miou, train.validate_every),
                *([LiveCurves(run.live, tracker)] if ranks.is_main else []),
                Resume(resume_folder(run, steps, objective, scans, device), train.checkpoint_every),
            ],
            device=device,
            ranks=ranks,
            failed=params.workspace / "failed",
        )
        history = fit.run()
        started = time.process_time()
        matrix = _evaluate(run, model, scans.val, ranks, tta=params.evaluation.tta)
        log.info("%s: evaluated in %.1f s of CPU time", run.name, time.process_time() - started)
    record = run_record(run, fit, history, matrix)
    if ranks.is_main:
        save_weights(run, fit, scans.train, scans.val)
        write_json(run.record, record)
    return record


def _evaluate(
    run: Run, model: nn.Module, dataset: ScanDataset, ranks: Ranks, tta: int = 1, wanted: int | None = None
) -> ConfusionMatrix:
    """Counts of all ranks, each of which predicts its share of the scans; no scan is counted twice.

    Args:
        run: says how.
        model: the network; its running statistics become those of rank 0.
        dataset: labelled scans.
        ranks: they end up with the same counts.
        tta: number of rotations that are averaged.
        wanted: how many scans, spread evenly; None: all.
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
