"""Adapt a network to a user's own sensor and classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from topokd.adaptation.networks import classes_of, starting_network
from topokd.adaptation.pseudo import PseudoLabelled, mixed_batches
from topokd.adaptation.result import Adaptation, check_name, check_output
from topokd.adaptation.saving import ResumeByTime
from topokd.adaptation.scans import Collected, collect_scans
from topokd.adaptation.settings import Settings
from topokd.data import Batch, training_batch
from topokd.distillation import DistillationObjective
from topokd.errors import CheckpointError, DataError, ParameterError
from topokd.evaluation import ConfusionMatrix, evaluate, evaluation_record
from topokd.io import read_json, sha256, write_json
from topokd.label_maps import LabelMap, written_labels
from topokd.locks import locked
from topokd.machine import usable_device
from topokd.models import PointTransformerV3, load_checkpoint, read_description, save_checkpoint
from topokd.params import to_dict
from topokd.progress import notify
from topokd.training import Fit
from topokd.training.description import checkpoint_metadata
from topokd.training.determinism import deterministic
from topokd.training.state import ResumeFolder, code_fingerprint, dataset_fingerprint, run_key

log = logging.getLogger(__name__)


def adapt(
    teacher: str | Path,
    root: str | Path,
    label_map: LabelMap,
    output: str | Path,
    unlabelled: Sequence[str | Path] = (),
    settings: Settings | None = None,
    *,
    hold_out: float = 0.25,
    device: str | torch.device | None = None,
    overwrite: bool = False,
) -> Adaptation:
    """Train a student for the scans and classes of ``label_map``, taught by ``teacher``, and score it.

    The student minimises L_seg(labels and pseudo-labels) + weight * L_kd(teacher), see `topokd.adaptation`. An
    interrupted call resumes when it is repeated; a finished one returns its result. A second process with the same
    output waits for the first. ``OUTPUT.work/`` next to the output holds the states, the trained teacher and the
    pseudo-labels; it may be deleted at the end.

    Args:
        teacher: checkpoint of the larger network, with any classes.
        root: folder of the data set.
        label_map: its layout, classes and splits (`collect_scans` says which scans are used for what).
        output: the student's checkpoint, ``.safetensors``; the record goes next to it, ``.json``.
        unlabelled: folders of further scans.
        settings: None: the defaults.
        hold_out: share of the labelled scans that is held out if there is no split "val".
        device: None: a GPU if there is one.
        overwrite: whether to replace an output that was made from other inputs.

    Returns:
        Scores of student and teacher on the held-out scans, numbers of scans, and the student's file.

    Raises:
        DataError: scans or labels are missing or damaged, or the output exists and was made from other inputs.
        CheckpointError: the teacher cannot be used.
        ParameterError: ``settings`` do not fit the teacher.

    Examples:
        >>> import tempfile
        >>> from topokd.label_maps import load_label_map
        >>> from topokd.models import build_model
        >>> root, rng = Path(tempfile.mkdtemp()), np.random.default_rng(0)
        >>> (root / "yard.yaml").write_text('''
        ... name: Yard
        ... scans: points/{sequence}/{scan}.bin
        ... labels: labels/{sequence}/{scan}.label
        ... splits: {train: [mon], val: [tue]}
        ... classes:
        ... - {name: road, ids: [1], color: [128, 64, 128]}
        ... - {name: car, ids: [2], color: [100, 150, 245]}
        ... ''') > 0
        True
        >>> for name in ("mon/000", "mon/001", "tue/000"):
        ...     for folder in ("points", "labels"):
        ...         (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
        ...     rng.uniform(0, 9, (300, 4)).astype("<f4").tofile(root / "points" / f"{name}.bin")
        ...     rng.integers(1, 3, 300).astype("<u4").tofile(root / "labels" / f"{name}.label")
        >>> recorded = {"class_names": "road,car", "voxel_size": "0.5"}
        >>> save_checkpoint(root / "teacher.safetensors", build_model("ptv3-tiny", num_classes=2), recorded)
        >>> settings = Settings(student="ptv3-tiny", teacher_steps=0, steps=1, batch_size=2)
        >>> label_map, student = load_label_map(root / "yard.yaml"), root / "student.safetensors"
        >>> result = adapt(root / "teacher.safetensors", root, label_map, student, settings=settings)
        >>> result.labelled, result.held_out, result.student_score.class_names
        (2, 1, ('road', 'car'))
    """
    settings, output = settings or Settings(), Path(output)
    description = read_description(teacher)
    voxel_size = settings.voxel_size or description.voxel_size
    if voxel_size is None:
        raise CheckpointError(f"{teacher} does not record the voxel size of its training: give it (--voxel-size)")
    check_name(output, teacher, settings.student)
    scans = collect_scans(root, label_map, unlabelled, hold_out=hold_out, intensity=description.intensity)
    names = scans.labelled.class_names
    if not settings.teacher_steps and classes_of(teacher) != names:
        raise ParameterError(
            f"the teacher's classes are not those of {label_map.name}: it must be trained on the labelled scans "
            "(--teacher-steps above 0)"
        )
    job = _Job(
        Path(teacher), scans, label_map, output, settings, voxel_size, description.intensity, usable_device(device)
    )
    if (finished := job.finished()) is not None:
        return finished
    with locked(job.work / "lock", lambda: notify(log, f"another process makes {output}: waiting for it")):
        if (finished := job.finished()) is not None:
            return finished
        check_output(output, job.record, job.work, job.key, overwrite)
        return job.run()


class _Job:
    """The steps of one adaptation; each is skipped if its result exists."""

    def __init__(
        self,
        teacher: Path,
        scans: Collected,
        label_map: LabelMap,
        output: Path,
        settings: Settings,
        voxel_size: float,
        intensity: bool,
        device: torch.device,
    ) -> None:
        self.teacher, self.scans, self.label_map, self.output = teacher, scans, label_map, output
        self.settings, self.voxel_size, self.intensity, self.device = settings, voxel_size, intensity, device
        self.work, self.record = output.with_suffix(".work"), output.with_suffix(".json")
        self.data, self.names = settings.data(voxel_size), scans.labelled.class_names
        given = to_dict(settings)
        shared = ("batch_size", "crop_voxels", "lovasz", "seed", "threads", "amp")
        inputs = {
            "teacher": sha256(teacher),
            "map": label_map.model_dump_json(),
            "data": [voxel_size, intensity],
            "labelled": dataset_fingerprint(scans.labelled),
            "code": code_fingerprint("student", "adaptation", "labelling"),
            "versions": [torch.__version__, np.__version__],
            "device": device.type,
        }
        self.teacher_key = run_key(
            **inputs, settings={name: given[name] for name in (*shared, "teacher_steps", "teacher_lr")}
        )
        rest = {"unlabelled": [dataset_fingerprint(group) for group in scans.unlabelled]}
        self.pseudo_key = run_key(teacher=self.teacher_key, confidence=settings.confidence, tta=settings.tta, **rest)
        ignored = ("workers", "checkpoint_every", "voxel_size", "compare")
        self.key = run_key(
            pseudo=self.pseudo_key,
            held_out=dataset_fingerprint(scans.held_out),
            student=sha256(settings.student) if settings.student.endswith(".safetensors") else settings.student,
            settings={name: value for name, value in given.items() if name not in ignored},
        )

    # -- results of earlier calls --------------------------------------------------------------------------------

    def finished(self) -> Adaptation | None:
        """The result of an earlier call with the same inputs, if its files are unchanged."""
        if not (self.output.is_file() and self.record.is_file()):
            return None
        try:
            record = read_json(self.record)
            if record["key"] != self.key or record["sha256"] != sha256(self.output):
                return None
            adapted = Adaptation.of_record(self.output, self.record, record)
            return adapted if adapted.alone_score is not None or not self.settings.compare else None
        except (DataError, KeyError, TypeError):
            return None

    # -- the steps -----------------------------------------------------------------------------------------------

    def run(self) -> Adaptation:
        """Train the teacher, label, train the student, score both."""
        student = starting_network(self.settings.student, self.names, self.settings.seed, "student")
        with deterministic(self.settings.threads):
            teacher = self._trained_teacher()
            pseudo = PseudoLabelled(self.scans.unlabelled, self.work / f"pseudo-{self.pseudo_key}").prepare(
                teacher, self.voxel_size, self.settings.confidence, self.settings.tta, self.device
            )
            if not len(pseudo):
                log.warning("no unlabelled scans were found: the student learns from the labelled ones alone")
            self._train_student(student, teacher, pseudo)
            networks: dict[str, nn.Module] = {"student": student, "teacher": teacher}
            if self.settings.compare:
                networks["alone"] = self._trained_alone()
            scores = {role: self._score(network) for role, network in networks.items()}
        self._save(self.output, student, "student", {"adaptation": self.key})
        record = {
            "key": self.key,
            "sha256": sha256(self.output),
            "label_map": self.label_map.name,
            "teacher": str(self.teacher),
            "settings": to_dict(self.settings),
            "voxel_size": self.voxel_size,
            "scans": {"labelled": self.scans.labelled.names, "held_out": self.scans.held_out.names},
            "unlabelled": len(pseudo),
            "rule": self.scans.rule,
            "pseudo_share": pseudo.share,
            "evaluation": {role: evaluation_record(matrix, "held out") for role, matrix in scores.items()},
        }
        write_json(self.record, record)
        return Adaptation.of_record(self.output, self.record, record)

    def _trained_teacher(self) -> PointTransformerV3:
        file = self.work / f"teacher-{self.teacher_key}.safetensors"
        if file.is_file():
            network: PointTransformerV3 = load_checkpoint(file, map_location=self.device)
            return network
        steps, batch_size = self.settings.teacher_steps, self.settings.batch_size
        network = starting_network(self.teacher, self.names, self.settings.seed, "teacher").to(self.device)
        if steps:
            self._fit(
                "teacher",
                network,
                DistillationObjective({}, lovasz=self.settings.lovasz),
                lambda step: training_batch(self.scans.labelled, self.data, self.settings.seed, step, batch_size),
                steps,
                self.settings.teacher_lr,
                self.teacher_key,
            )
        self._save(file, network, "teacher", {})
        return network

    def _train_student(self, student: PointTransformerV3, teacher: PointTransformerV3, pseudo: PseudoLabelled) -> None:
        settings = self.settings
        objective = DistillationObjective(
            {"kd": {"weight": settings.weight, "temperature": settings.temperature}}, lovasz=settings.lovasz
        )
        batches = mixed_batches(self.scans.labelled, pseudo, self.data, settings.batch_size, settings.seed)
        self._fit("student", student, objective, batches, settings.steps, settings.student_lr, self.key, teacher)

    def _trained_alone(self) -> PointTransformerV3:
        """A student that learns from the labelled scans alone, as long as the other one."""
        settings = self.settings
        network = starting_network(settings.student, self.names, settings.seed, "student")
        objective = DistillationObjective({}, lovasz=settings.lovasz)

        def batch(step: int) -> Batch:
            return training_batch(self.scans.labelled, self.data, settings.seed, step, settings.batch_size)

        self._fit("alone", network, objective, batch, settings.steps, settings.student_lr, self.key)
        return network

    def _fit(
        self,
        name: str,
        network: nn.Module,
        objective: DistillationObjective,
        batches: Callable[[int], Batch],
        steps: int,
        lr: float,
        key: str,
        teacher: nn.Module | None = None,
    ) -> None:
        train = self.settings.train(lr)
        resume = ResumeByTime(ResumeFolder(self.work / "resume", name, key), train.checkpoint_every)
        fit = Fit(
            model=network,
            objective=objective,
            batches=batches,
            steps=steps,
            train=train,
            seed=self.settings.seed,
            name=name,
            teacher=teacher,
            hooks=[resume],
            device=self.device,
        )
        fit.run()

    def _score(self, network: nn.Module) -> ConfusionMatrix:
        return evaluate(network, self.scans.held_out, self.voxel_size, self.settings.tta, workers=self.settings.workers)

    def _save(self, path: Path, network: PointTransformerV3, run: str, more: dict[str, str]) -> None:
        metadata: dict[str, Any] = checkpoint_metadata(
            self.scans.labelled,
            self.names,
            preset=network.preset,
            dataset=self.label_map.name,
            voxel_size=self.voxel_size,
            sweeps=1,
            intensity=self.intensity,
            run=f"{run} of topokd adapt",
            written=written_labels(self.scans.labelled.dataset),
        )
        save_checkpoint(path, network, metadata | more)
