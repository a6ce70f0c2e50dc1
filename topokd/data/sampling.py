"""Training samples that depend on (seed, step) alone."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from topokd import params
from topokd.data.batch import Batch, collate
from topokd.data.scan import Scan
from topokd.data.transforms import augment
from topokd.data.voxels import Voxels, crop, voxelize


@runtime_checkable
class Scans(Protocol):
    """What training needs of a dataset."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Scan: ...


def training_index(scans: int, seed: int, number: int) -> int:
    """Scan of the ``number``-th sample of a run: every epoch visits all scans once, in its own random order."""
    epoch, position = divmod(number, scans)
    return int(np.random.default_rng([seed, 0, epoch]).permutation(scans)[position])


def training_sample(dataset: Scans, data: params.Data, seed: int, step: int, k: int, batch_size: int) -> Voxels:
    """Cloud ``k`` of step ``step``: augmented, voxelized, cropped."""
    scan = dataset[training_index(len(dataset), seed, step * batch_size + k)]
    rng = np.random.default_rng([seed, 1, step, k])
    return crop(voxelize(augment(scan, data.augment, rng), data.voxel_size), data.crop_voxels, rng)


def training_batch(dataset: Scans, data: params.Data, seed: int, step: int, batch_size: int) -> Batch:
    """The batch of step ``step`` (from 0), the same whether or not other steps were drawn before.

    So a run that was interrupted and resumed sees what an uninterrupted one sees.

    >>> scans = [Scan(np.random.default_rng(i).random((50, 3)), np.zeros(50)) for i in range(3)]
    >>> batch = training_batch(scans, params.Data(crop_voxels=20), seed=0, step=7, batch_size=2)
    >>> len(batch), batch.feat.shape[1]
    (2, 4)
    """
    return collate([training_sample(dataset, data, seed, step, k, batch_size) for k in range(batch_size)])
