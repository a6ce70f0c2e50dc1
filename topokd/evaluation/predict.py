"""A class for every original point of a scan, and the evaluation of a whole split."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy import ndarray
from torch import Tensor, nn

from topokd.data import Batch, Scan, Voxels, collate, prefetch, voxelize
from topokd.data.dataset import ScanDataset
from topokd.errors import DataError, ParameterError
from topokd.evaluation.confusion import ConfusionMatrix
from topokd.machine import usable_device
from topokd.models.modes import evaluation_mode
from topokd.options import whole
from topokd.progress import Progress
from topokd.schema import MOST_VIEWS


@runtime_checkable
class Dataset(Protocol):
    """The part of a dataset that `evaluate` uses; every reader of topokd has it."""

    @property
    def num_classes(self) -> int: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Scan: ...


def class_probabilities(
    model: nn.Module, scan: Scan, voxel_size: float, tta: int = 1, device: torch.device | str | None = None
) -> Float[Tensor, "n c"]:
    """``mean_k softmax(model(R(360 k / tta degrees) x))`` per original point, R rotating about z.

    The scan is a batch by itself, so its result cannot depend on other scans.

    Args:
        model: the network; its train or eval mode is restored.
        scan: n points.
        voxel_size: metres.
        tta: number of rotations that are averaged; 1 is the scan without rotation.
        device: None: that of the parameters of the model.

    Returns:
        Probabilities (n, c), float32 on the CPU.

    Raises:
        DataError: the output is not finite.

    Examples:
        >>> import numpy as np
        >>> class Fair(nn.Module):
        ...     def forward(self, batch):
        ...         return torch.zeros(len(batch.coord), 2)
        >>> class_probabilities(Fair(), Scan(np.eye(3), np.zeros(3)), voxel_size=0.1)[0].tolist()
        [0.5, 0.5]
    """
    return _averaged(model, _views(scan, voxel_size, tta), device)


def _views(scan: Scan, voxel_size: float, tta: int, first: Voxels | None = None) -> list[Batch]:
    """The scan under each rotation; ``first``: precomputed voxels of the unrotated scan, if available."""
    try:
        tta = whole(tta, "tta", most=MOST_VIEWS)
    except ParameterError:
        raise DataError(f"tta is {tta!r}: pass the number of rotations to average, 1 to {MOST_VIEWS}") from None
    unrotated = voxelize(scan, voxel_size) if first is None else first
    others = (voxelize(rotated(scan, 2 * math.pi * view / tta), voxel_size) for view in range(1, tta))
    return [collate([voxels]) for voxels in (unrotated, *others)]


def _averaged(model: nn.Module, views: list[Batch], device: torch.device | str | None) -> Float[Tensor, "n c"]:
    """mean_k softmax(model(view k)) per point."""
    if device is None:
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
    elif isinstance(device, str):
        device = usable_device(device)
    total: Tensor | None = None
    with evaluation_mode(model), torch.inference_mode():
        for view in views:
            batch = view.to(device)
            logits = model(batch).float()  # (m, c)
            if not bool(torch.isfinite(logits).all()):
                raise DataError(
                    f"the model's output for scan {batch.names[0]} is not finite: damaged weights, or training diverged"
                )
            probability = logits.softmax(-1)[batch.inverse].cpu()  # (n, c)
            total = probability if total is None else total + probability
    assert total is not None
    return total / len(views)


def _most_probable(probabilities: Float[Tensor, "n c"]) -> Int64[ndarray, " n"]:
    # NumPy documents that the first maximum wins; torch leaves ties open.
    return probabilities.numpy().argmax(1).astype(np.int64)


def predict(
    model: nn.Module, scan: Scan, voxel_size: float, tta: int = 1, device: torch.device | str | None = None
) -> Int64[ndarray, " n"]:
    """The most probable class of every original point of a scan; deterministic.

    Args:
        model: the network; its train or eval mode is restored.
        scan: n points.
        voxel_size: metres.
        tta: number of rotations that are averaged (`class_probabilities`).
        device: None: that of the parameters of the model.

    Returns:
        Classes (n,), 0..C-1; the lowest if several are equally probable.

    Examples:
        >>> from topokd.data import Scan
        >>> xyz, intensity = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
        >>> scan = Scan(xyz=xyz, intensity=intensity, label=None, instance=None, name="three points")
        >>> class Ground(nn.Module):  # class 1 where z is below a half
        ...     def forward(self, batch):
        ...         return torch.stack([batch.coord[:, 2], 1 - batch.coord[:, 2]], 1)
        >>> predict(Ground(), scan, voxel_size=0.1).tolist()
        [1, 1, 0]
    """
    return _most_probable(class_probabilities(model, scan, voxel_size, tta, device))


def evaluate(
    model: nn.Module,
    dataset: Dataset,
    voxel_size: float,
    tta: int = 1,
    scans: int | Sequence[int] | None = None,
    device: torch.device | str | None = None,
    workers: int = 0,
) -> ConfusionMatrix:
    """Predict every scan of a dataset by itself, and count its original points.

    Args:
        model: the network.
        dataset: labelled scans.
        voxel_size: metres.
        tta: number of rotations that are averaged (`class_probabilities`).
        scans: indices of the scans, or how many, spread evenly over the dataset; None: all.
        device: None: that of the parameters of the model.
        workers: processes that read and voxelize ahead of the network; they do not change the result.

    Returns:
        Counts of all original points.

    Raises:
        DataError: names a scan without labels.

    Examples:
        >>> import tempfile
        >>> from topokd.models import build_model
        >>> from topokd.params import Synthetic
        >>> from topokd.synthetic import SyntheticLidar
        >>> small = Synthetic(azimuths=64, train_sequences=(0,), val_sequences=(), scans_per_sequence=1)
        >>> dataset = SyntheticLidar(tempfile.mkdtemp(), "train", small)
        >>> confusion = evaluate(build_model("ptv3-tiny", num_classes=19), dataset, voxel_size=1.0)
        >>> int(confusion.matrix.sum()) == int((dataset[0].label >= 0).sum())
        True
    """
    if scans is None or isinstance(scans, int):
        scans = spread(len(dataset), None if scans is None else whole(scans, "scans"))
    cm = ConfusionMatrix(dataset.num_classes, dataset.class_names)

    def labels_and_views(index: int) -> tuple[Int64[ndarray, " n"], list[Batch]]:
        scan = dataset[index]
        if scan.label is None:
            raise DataError(f"scan {scan.name} has no labels: evaluate on a split that has them (val), or use predict")
        stored = dataset.voxels(index, voxel_size) if isinstance(dataset, ScanDataset) and dataset.store else None
        return scan.label, _views(scan, voxel_size, tta, stored)

    samples = prefetch(labels_and_views, list(scans), workers)
    for label, views in Progress(samples, "evaluating", total=len(scans)):
        cm.update(_most_probable(_averaged(model, views, device)), label)
    return cm


def spread(scans: int, wanted: int | None) -> Sequence[int]:
    """Indices of evenly spaced scans.

    Args:
        scans: number of scans.
        wanted: number of indices; None for all.

    Examples:
        >>> spread(9, 3)
        [0, 4, 8]
    """
    if wanted is None:
        return range(scans)
    return [round(i) for i in np.linspace(0, scans - 1, min(wanted, scans))]


def rotated(scan: Scan, angle: float) -> Scan:
    """``scan`` rotated about z by ``angle`` radians; the same object for 0."""
    if angle == 0:
        return scan
    c, s = math.cos(angle), math.sin(angle)
    rotation = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])  # row vectors times this
    return dataclasses.replace(scan, xyz=(scan.xyz.astype(np.float64) @ rotation).astype(np.float32))
