"""Teacher rows in the student's order: the voxels of one stage, matched by cloud and grid position (NOTES row 4)."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from topokd.clouds import axes_hint
from topokd.data.voxels import voxel_key
from topokd.errors import DataError


class StageRows(NamedTuple):
    """Which voxels the rows of a stage belong to, without their features."""

    grid_coord: Int64[Tensor, "n 3"]
    offsets: Int64[Tensor, " b"]


@runtime_checkable
class VoxelRows(Protocol):
    """The part of a tap that matching and the loss terms use; `topokd.models.Tap` has it."""

    @property
    def feat(self) -> Tensor:
        """Features (n, c), in the autograd graph."""

    @property
    def grid_coord(self) -> Tensor:
        """Integer voxel positions (n, 3)."""

    @property
    def offsets(self) -> Tensor:
        """Cumulative numbers of rows per cloud (b,)."""


def cloud_of_row(offsets: Int64[Tensor, " b"]) -> Int64[Tensor, " n"]:
    """Index of the cloud that each row belongs to.

    Args:
        offsets: (b,) cumulative numbers of rows per cloud.

    Examples:
        >>> cloud_of_row(torch.tensor([2, 3])).tolist()
        [0, 0, 1]
    """
    counts = torch.diff(offsets, prepend=offsets.new_zeros(1))
    return torch.repeat_interleave(torch.arange(len(offsets), device=offsets.device), counts)


def match_rows(teacher: VoxelRows | StageRows, student: VoxelRows | StageRows) -> Int64[Tensor, " n"]:
    """``index`` such that row i of ``teacher.feat[index]`` is the same voxel as row i of ``student.feat``.

    Pooling numbers the coarse voxels along a space-filling curve, and the curves are shuffled independently in the two
    networks, so equal row numbers do not mean equal voxels.

    Args:
        teacher: one stage of the teacher, n rows.
        student: the same stage of the student, n rows.

    Returns:
        (n,) row numbers of the teacher.

    Raises:
        DataError: when a voxel is missing on one side or occurs twice: the two networks did not get the same batch, or
            pool with different strides.

    Examples:
        >>> from types import SimpleNamespace as Tap
        >>> grid, offsets = torch.tensor([[0, 0, 0], [5, 1, 0], [2, 2, 2]]), torch.tensor([3])
        >>> teacher = Tap(feat=torch.eye(3), grid_coord=grid[[2, 0, 1]], offsets=offsets)
        >>> match_rows(teacher, Tap(feat=torch.eye(3), grid_coord=grid, offsets=offsets)).tolist()
        [1, 2, 0]
    """
    if torch.equal(teacher.grid_coord, student.grid_coord) and torch.equal(teacher.offsets, student.offsets):
        return torch.arange(len(student.grid_coord), device=student.grid_coord.device)
    if teacher.grid_coord.shape != student.grid_coord.shape:
        raise DataError(
            f"the teacher's stage has {len(teacher.grid_coord)} rows and the student's {len(student.grid_coord)}, one "
            "for each voxel, point or pixel: run both on the same batch, and compare stages of equal strides"
            f"{axes_hint(getattr(student, 'shape', ()))}"
        )
    teacher_key, student_key = _keys(teacher, student)
    teacher_key, teacher_order = torch.sort(teacher_key)
    student_key, student_order = torch.sort(student_key)
    if not torch.equal(teacher_key, student_key):
        row = int(student_order[(teacher_key != student_key).nonzero()[0, 0]])
        raise DataError(
            f"teacher and student hold different voxels, or divide their rows into other clouds or images (first seen "
            f"at the student's row {row}, voxel {student.grid_coord[row].tolist()}): run both on the same batch, and "
            "compare stages of equal strides"
        )
    if bool((student_key[1:] == student_key[:-1]).any()):
        raise DataError("a voxel occurs twice in one cloud, so its rows cannot be matched: voxelise the clouds first")
    index = torch.empty_like(student_order)
    index[student_order] = teacher_order
    return index


def _keys(*taps: VoxelRows | StageRows) -> list[Tensor]:
    """One integer per row, equal for equal (cloud, voxel), over all ``taps``."""
    grids = torch.cat([tap.grid_coord for tap in taps]).long()
    low = grids.amin(0)
    extent = (grids.amax(0) - low + 1).tolist()
    if len(taps[0].offsets) * extent[0] * extent[1] * extent[2] >= 2**63:
        raise DataError(f"voxel positions span {extent}, too far for 64-bit keys: check the batch for stray voxels")
    return [voxel_key(tap.grid_coord.long() - low, extent, cloud_of_row(tap.offsets)) for tap in taps]
