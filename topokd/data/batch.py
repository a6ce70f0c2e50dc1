"""Batches: the voxels of several clouds in one set of tensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from topokd.data.voxels import Voxels
from topokd.errors import DataError


@dataclass(frozen=True)
class Batch:
    """B clouds, one after the other; ``len(batch)`` is B.

    Attributes:
        coord: (N, 3) mean position of the points of each voxel in metres, for the N voxels of all clouds.
        grid_coord: (N, 3) voxel indices.
        feat: (N, 4) mean x, y, z and intensity.
        label: (N,) classes, or None.
        offsets: (B,) row at which each cloud ends.
        inverse: (P,) row of each of the P points of all clouds, or None.
        point_offsets: (B,) index at which the points of each cloud end, or None.
        names: names of the scans.

    Examples:
        >>> grid = torch.tensor([[0, 0, 0], [1, 0, 0]])
        >>> batch = Batch(0.1 * grid, grid, torch.zeros(2, 4), None, torch.tensor([2]))
        >>> len(batch), batch.to("cpu").offsets.tolist()
        (1, [2])
    """

    coord: Float[Tensor, "N 3"]
    grid_coord: Int[Tensor, "N 3"]
    feat: Float[Tensor, "N 4"]
    label: Int[Tensor, " N"] | None
    offsets: Int[Tensor, " B"]
    inverse: Int[Tensor, " P"] | None = None
    point_offsets: Int[Tensor, " B"] | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.offsets)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch with every tensor on ``device``."""
        moved: dict[str, Any] = {
            field.name: value.to(device, non_blocking=True)
            for field in dataclasses.fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return dataclasses.replace(self, **moved)


def collate(clouds: Sequence[Voxels]) -> Batch:
    """Concatenate clouds into one batch, in their order.

    Args:
        clouds: at least one.

    Returns:
        The batch. ``label`` is None unless every cloud has labels, ``inverse`` is None unless every cloud has one.

    Raises:
        DataError: ``clouds`` is empty, or holds something else than voxels.

    Examples:
        >>> from topokd.data import Scan, voxelize
        >>> one = voxelize(Scan(np.eye(3, dtype=np.float32), np.zeros(3, np.float32)), 0.1)
        >>> batch = collate([one, one])
        >>> len(batch), batch.offsets.tolist(), batch.inverse.tolist()
        (2, [3, 6], [2, 1, 0, 5, 4, 3])
    """
    clouds = list(clouds or ())
    if not clouds:
        raise DataError("collate got no clouds: give it at least one")
    wrong = next((type(cloud).__name__ for cloud in clouds if not isinstance(cloud, Voxels)), None)
    if wrong:
        raise DataError(f"collate got an object of type {wrong}: give it what voxelize returns")
    sizes = np.array([len(cloud) for cloud in clouds])
    ends = np.cumsum(sizes)

    def stack(arrays: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(np.concatenate(arrays)))

    labels = [cloud.label for cloud in clouds if cloud.label is not None]
    inverses = [
        cloud.inverse + start for cloud, start in zip(clouds, ends - sizes, strict=True) if cloud.inverse is not None
    ]
    mapped = len(inverses) == len(clouds)
    return Batch(
        coord=stack([cloud.coord for cloud in clouds]),
        grid_coord=stack([cloud.grid_coord for cloud in clouds]),
        feat=stack([cloud.feat for cloud in clouds]),
        label=stack(labels) if len(labels) == len(clouds) else None,
        offsets=torch.from_numpy(ends),
        inverse=stack(inverses) if mapped else None,
        point_offsets=torch.from_numpy(np.cumsum([len(inverse) for inverse in inverses])) if mapped else None,
        names=tuple(cloud.name for cloud in clouds),
    )
