"""Pseudo-labels: classes that a teacher is sure of, as labels of unlabelled scans."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor, nn

from topokd.adaptation.scans import FolderScans, Subset
from topokd.data import IGNORE, Batch, Scan, Scans, collate, training_sample
from topokd.errors import DataError
from topokd.evaluation.predict import class_probabilities
from topokd.io import ARRAY_ERRORS, atomic_path
from topokd.params import Data
from topokd.progress import Progress

log = logging.getLogger(__name__)

_UNLABELLED = 1 << 32  # added to the seed of a batch: labelled and unlabelled clouds are drawn independently


def confident_classes(probabilities: Float[Tensor, "n c"], confidence: float) -> Int64[ndarray, " n"]:
    """y_i = argmax_k p_ik where max_k p_ik >= confidence, else `IGNORE`.

    Args:
        probabilities: (n, c), rows sum to 1.
        confidence: from 0 to 1.

    Examples:
        >>> confident_classes(torch.tensor([[0.9, 0.1], [0.4, 0.6]]), 0.8).tolist()
        [0, -1]
    """
    values = probabilities.numpy()
    return np.where(values.max(1) >= confidence, values.argmax(1), IGNORE).astype(np.int64)


class PseudoLabelled:
    """Unlabelled scans with the teacher's confident classes as labels; call `prepare` first.

    The labels of each scan are one file, so that an interrupted `prepare` continues where it stopped.

    Args:
        groups: the scans.
        folder: folder of the label files; its name must change with the teacher, the scans and the confidence.
    """

    def __init__(self, groups: Sequence[Subset | FolderScans], folder: Path) -> None:
        self.folder = folder
        self._all = [(group, index) for group in groups for index in range(len(group))]
        self._usable: list[int] = []
        self.share = 0.0

    def prepare(
        self, teacher: nn.Module, voxel_size: float, confidence: float, tta: int, device: torch.device
    ) -> PseudoLabelled:
        """Label every scan that has no file yet; scans that cannot be read are left out with a warning.

        Sets the attribute ``share``, the share of the points that got a label.

        Args:
            teacher: the network.
            voxel_size: metres.
            confidence: see `confident_classes`.
            tta: number of rotations to average.
            device: device of the teacher.

        Returns:
            This object.
        """
        self._usable, points, labelled = [], 0, 0
        for number in Progress(range(len(self._all)), "pseudo-labels"):
            group, index = self._all[number]
            try:
                scan = group[index]
                label = self._load(number, len(scan))
                if label is None:
                    probabilities = class_probabilities(teacher, scan, voxel_size, tta, device)
                    label = confident_classes(probabilities, confidence)
                    self._save(number, label)
            except DataError as error:
                log.warning("left out: %s", error)
                continue
            self._usable.append(number)
            points, labelled = points + len(label), labelled + int((label != IGNORE).sum())
        self.share = labelled / max(points, 1)
        return self

    def __len__(self) -> int:
        return len(self._usable)

    def __getitem__(self, index: int) -> Scan:
        number = self._usable[index]
        group, place = self._all[number]
        scan = group[place]
        label = self._load(number, len(scan))
        if label is None:
            raise DataError(f"{self._file(number)} is missing or damaged: run the same command again")
        return dataclasses.replace(scan, label=label)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:06d}.npy"

    def _save(self, number: int, label: Int64[ndarray, " n"]) -> None:
        with atomic_path(self._file(number)) as temporary, temporary.open("wb") as stream:
            np.save(stream, label.astype(np.int32), allow_pickle=False)

    def _load(self, number: int, points: int) -> Int64[ndarray, " n"] | None:
        try:
            label = np.load(self._file(number), allow_pickle=False)
        except ARRAY_ERRORS:
            return None
        return label.astype(np.int64) if label.shape == (points,) else None


def mixed_batches(
    labelled: Scans, pseudo: PseudoLabelled, data: Data, batch_size: int, seed: int
) -> Callable[[int], Batch]:
    """Batches whose first half is labelled, and whose other half, rounded up, has pseudo-labels.

    Args:
        labelled: scans with labels.
        pseudo: scans with pseudo-labels; if it is empty, whole batches are labelled.
        data: how a scan becomes a training sample.
        batch_size: clouds per batch.
        seed: seed of the samples.

    Returns:
        A function from the number of a step to its batch.
    """
    first = batch_size // 2 if len(pseudo) else batch_size
    second = batch_size - first

    def batch(step: int) -> Batch:
        known = [training_sample(labelled, data, seed, step, k, first) for k in range(first)]
        guessed = [training_sample(pseudo, data, seed + _UNLABELLED, step, k, second) for k in range(second)]
        return collate(known + guessed)

    return batch
