"""Training samples that depend only on (seed, step)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from topokd import params
from topokd.data.batch import Batch, collate
from topokd.data.scan import Scan
from topokd.data.transforms import augment
from topokd.data.voxels import Voxels, crop, voxelize
from topokd.options import whole


@runtime_checkable
class Scans(Protocol):
    """The part of a dataset that training uses.

    Examples:
        >>> isinstance([], Scans)
        True
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Scan: ...


def training_index(scans: int, seed: int, number: int) -> int:
    """Index of the scan for sample ``number`` of a run; every epoch visits all scans once, in a new random order.

    Args:
        scans: number of scans.
        seed: seed of the run.
        number: number of the sample, from 0.
    """
    epoch, position = divmod(number, scans)
    return int(np.random.default_rng([seed, 0, epoch]).permutation(scans)[position])


def training_sample(dataset: Scans, data: params.Data, seed: int, step: int, k: int, batch_size: int) -> Voxels:
    """Cloud ``k`` of the batch of step ``step``: augmented, voxelized and cropped.

    Args:
        dataset: training scans.
        data: voxel size, crop and augmentation.
        seed: seed of the run.
        step: number of the training step, from 0.
        k: number of the cloud in the batch.
        batch_size: number of clouds in a batch.

    Returns:
        The sample, without ``inverse`` if it was cropped.

    Examples:
        >>> scans = [Scan(np.random.default_rng(i).random((50, 3)), np.zeros(50)) for i in range(3)]
        >>> len(training_sample(scans, params.Data(crop_voxels=20), seed=0, step=7, k=0, batch_size=2)) <= 20
        True
    """
    seed, step = whole(seed, "seed", least=0, most=1 << 62), whole(step, "step", least=0, most=1 << 62)
    scan = dataset[training_index(len(dataset), seed, step * batch_size + k)]
    rng = np.random.default_rng([seed, 1, step, k])
    return crop(voxelize(augment(scan, data.augment, rng), data.voxel_size), data.crop_voxels, rng)


def training_batch(
    dataset: Scans, data: params.Data, seed: int, step: int, batch_size: int, clouds: Sequence[int] | None = None
) -> Batch:
    """The batch of one training step.

    It does not depend on which steps were drawn before, so a resumed run sees the same batches as an uninterrupted one.

    Args:
        dataset: the training scans.
        data: augmentation, voxel size and crop.
        seed: seed of the run.
        step: number of the step, from 0.
        batch_size: number of clouds.
        clouds: numbers of those wanted, in their order; None: all.

    Returns:
        Augmented, voxelized and cropped clouds.

    Examples:
        >>> scans = [Scan(np.random.default_rng(i).random((50, 3)), np.zeros(50)) for i in range(3)]
        >>> batch = training_batch(scans, params.Data(crop_voxels=20), seed=0, step=7, batch_size=2)
        >>> len(batch), batch.feat.shape[1]
        (2, 4)
    """
    batch_size = whole(batch_size, "batch_size")
    wanted = range(batch_size) if clouds is None else clouds
    return collate([training_sample(dataset, data, seed, step, k, batch_size) for k in wanted])
