"""The teacher's outputs that the rows of a seed need, computed once per step and stored in files."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from topokd.choices import Amp
from topokd.data import Batch
from topokd.distillation import DistillationObjective, run_teacher
from topokd.distillation.objective import teacher_digests
from topokd.io import atomic_path
from topokd.training.precision import autocast

log = logging.getLogger(__name__)

Digests = dict[str, dict[str, Tensor]]


class TeacherOutputs:
    """``<parent>/<name>-<key>/<step>-<digest>.safetensors``: `Term.digest` of a frozen teacher, by step.

    All rows of a seed draw the same batches, so logits, saliency maps and diagrams of the teacher are the same for
    all of them. The row that comes to a step first computes what every row of the profile needs, and the others read
    it: the losses are the same, bit for bit, as with a teacher that runs in every row. A file is written atomically,
    so rows may train at the same time, and a killed run leaves whole files. A missing or damaged one is computed again.

    Args:
        parent: folder for all seeds; those of the same ``name`` with other keys are stale and are removed.
        name: name of the seed.
        key: changes with everything that the outputs depend on: teacher, batches, code (`run_key`).
        rows: objectives of the rows that will ask; those whose terms all have a digest are served.

    Examples:
        >>> import tempfile
        >>> objective = DistillationObjective({"kd": {}})
        >>> outputs = TeacherOutputs(Path(tempfile.mkdtemp()), "seed0", "ab12", [objective])
        >>> outputs.save(7, {"logits": {"logits": torch.ones(2, 3)}})
        >>> outputs.load(7, {"logits"})["logits"]["logits"].sum()
        tensor(6.)
    """

    def __init__(self, parent: Path, name: str, key: str, rows: Sequence[DistillationObjective]) -> None:
        self.path = parent / f"{name}-{key}"
        self.rows = [row for row in rows if row.needs_teacher and row.digest_keys()]
        for stale in sorted(parent.glob(f"{name}-*")):
            if stale != self.path and stale.is_dir():
                shutil.rmtree(stale, ignore_errors=True)

    def of(self, step: int, batch: Batch, objective: DistillationObjective, teacher: nn.Module, amp: Amp) -> Digests:
        """The digests that ``objective`` needs in ``step``: read, or computed for all rows and kept.

        Args:
            step: number of the step, from 0.
            batch: its batch, on the teacher's device.
            objective: must have a digest for each of its terms.
            teacher: frozen network.
            amp: precision of the forward pass.
        """
        device = batch.feat.device
        wanted = set((objective.digest_keys() or {}).values())
        stored = self.load(step, wanted, device)
        if stored.keys() >= wanted:
            return stored
        every = [objective, *self.rows]
        with autocast(amp, device):
            output = run_teacher(teacher, batch, gradients=any(row.needs_teacher_gradients for row in every))
        assert batch.label is not None
        computed = teacher_digests(every, output, batch.label, known=stored.keys())
        self.save(step, computed)
        return stored | computed

    def save(self, step: int, digests: Digests) -> None:
        """Write the ``digests`` of a step, one file each."""
        for key, parts in digests.items():
            with atomic_path(self._file(step, key)) as temporary:
                save_file({name: _small(value) for name, value in parts.items()}, temporary)

    def load(self, step: int, keys: set[str], device: torch.device | str = "cpu") -> Digests:
        """The digests of a step that have been stored.

        Args:
            step: step of the training.
            keys: `digest_key` of the terms.
            device: where they are needed.
        """
        digests: Digests = {}
        for key in sorted(keys):
            file = self._file(step, key)
            if not file.is_file():
                continue
            try:
                parts = load_file(file)
            except (OSError, safetensors.SafetensorError) as error:
                log.warning("%s cannot be read (%s): the teacher runs again", file, error)
                continue
            digests[key] = {name: _wide(value).to(device) for name, value in parts.items()}
        return digests

    def _file(self, step: int, key: str) -> Path:
        return self.path / f"{step:06d}-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]}.safetensors"


def _small(value: Tensor) -> Tensor:
    """Row numbers and voxel positions of a batch fit 32 bits."""
    return value.detach().cpu().to(torch.int32 if value.dtype == torch.int64 else value.dtype).contiguous()


def _wide(value: Tensor) -> Tensor:
    return value.long() if value.dtype == torch.int32 else value
