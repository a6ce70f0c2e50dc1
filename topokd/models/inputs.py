"""Reading and checking the input of a network."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from numbers import Integral
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.checks import require_finite
from topokd.errors import DataError

_REMOVE_POINTS = "remove such points"


class VoxelBatch(NamedTuple):
    """A checked batch of voxelised clouds."""

    feat: Float[Tensor, "n c"]
    grid_coord: Int64[Tensor, "n 3"]
    sizes: tuple[int, ...]  # voxels per cloud


def parse_batch(inputs: Any, in_channels: int, dtype: torch.dtype) -> VoxelBatch:
    """Take features, voxel coordinates and cloud sizes out of an input, and check them.

    Args:
        inputs: a `topokd.data.Batch`, another object with ``feat``, ``grid_coord`` and ``offsets``, or a mapping
            with ``feat`` (n, in_channels), ``grid_coord`` (n, 3) whole numbers from 0, and ``offset`` or ``offsets``
            (b,) cumulative voxel counts.
        in_channels: features per voxel that the network reads.
        dtype: number type of the weights; ``feat`` must have it, except under autocast.

    Raises:
        DataError: names the entry that is wrong and how to fix it.

    Examples:
        >>> batch = {"feat": torch.ones(3, 4), "grid_coord": torch.arange(9).view(3, 3), "offset": [2, 3]}
        >>> parse_batch(batch, 4, torch.float32).sizes
        (2, 1)
    """
    feat, grid_coord, offsets = _get_entries(inputs)
    _check_feat(feat, in_channels, dtype)
    _check_grid_coord(grid_coord, len(feat))
    sizes = _parse_sizes(offsets, len(feat))
    grid_coord = grid_coord.long()
    if int(grid_coord.min()) < 0:
        raise DataError(
            f"grid_coord has negative entries (smallest {int(grid_coord.min())}): subtract each cloud's minimum"
        )
    return VoxelBatch(feat, grid_coord, sizes)


def _get_entries(inputs: Any) -> tuple[Tensor, Tensor, Any]:
    names = ("feat", "grid_coord")
    if isinstance(inputs, Mapping):
        missing = [name for name in names if name not in inputs]
        offsets = inputs.get("offsets", inputs.get("offset"))
        if offsets is None:
            missing.append("offset")
        if missing:
            raise DataError(f"the input lacks {', '.join(missing)}: give grid_coord, feat and offset")
        feat, grid_coord = inputs["feat"], inputs["grid_coord"]
    elif missing := [name for name in (*names, "offsets") if not hasattr(inputs, name)]:
        raise DataError(
            f"the input is of type {type(inputs).__name__} and lacks {', '.join(missing)}: give a Batch, or a "
            "dictionary of grid_coord, feat and offset"
        )
    else:
        feat, grid_coord, offsets = inputs.feat, inputs.grid_coord, inputs.offsets
    for name, value in zip(names, (feat, grid_coord), strict=True):
        if not isinstance(value, Tensor):
            raise DataError(f"{name} is of type {type(value).__name__}: give a tensor (torch.as_tensor(...))")
        empty = value.device.type == "meta"
        if value.is_nested or value.layout != torch.strided or empty:
            kind = "nested" if value.is_nested else "without values (meta)" if empty else "sparse"
            raise DataError(f"{name} is a tensor that is {kind}: give a dense one, a row per voxel")
    return feat, grid_coord, offsets


def _check_feat(feat: Tensor, in_channels: int, dtype: torch.dtype) -> None:
    if feat.ndim != 2 or feat.shape[1] != in_channels:
        raise DataError(f"feat has shape {tuple(feat.shape)}, but this network reads (n, {in_channels})")
    if feat.dtype != dtype and not (feat.is_floating_point() and torch.is_autocast_enabled(feat.device.type)):
        raise DataError(f"feat has dtype {feat.dtype}, but the weights have {dtype}: give feat.to({dtype})")
    require_finite(feat, "feat", _REMOVE_POINTS)


def _check_grid_coord(grid_coord: Tensor, n: int) -> None:
    if grid_coord.shape != (n, 3):
        raise DataError(f"grid_coord has shape {tuple(grid_coord.shape)}, but feat has {n} rows: give ({n}, 3)")
    if grid_coord.is_floating_point():
        require_finite(grid_coord, "grid_coord", _REMOVE_POINTS)
        if not torch.equal(grid_coord, grid_coord.round()):
            raise DataError("grid_coord holds fractions: give whole voxel indices, floor(xyz / voxel_size)")


def _parse_sizes(offsets: Any, n: int) -> tuple[int, ...]:
    ends = [0, *parse_offsets(offsets)]
    sizes = tuple(end - start for start, end in itertools.pairwise(ends))
    if ends[-1] != n or not sizes:
        raise DataError(
            f"offset ends at {ends[-1]}, but there are {n} voxels: offset is the cumulative count of voxels"
        )
    if min(sizes) < 1:
        raise DataError(f"cloud {sizes.index(min(sizes))} of the batch has {min(sizes)} voxels: leave empty clouds out")
    return sizes


def parse_offsets(offsets: Any) -> list[int]:
    """The entries of ``offset``: a list or tuple of integers, or a 1-d tensor of any integer dtype.

    Raises:
        DataError: for anything else.

    Examples:
        >>> parse_offsets(torch.tensor([2, 3], dtype=torch.int16))
        [2, 3]
    """
    if isinstance(offsets, Tensor):
        whole = not (offsets.is_floating_point() or offsets.is_complex() or offsets.dtype == torch.bool)
        if offsets.ndim == 1 and (whole or not len(offsets)):
            return offsets.tolist()
        given = f"a tensor of {offsets.dtype} with shape {tuple(offsets.shape)}"
    elif isinstance(offsets, list | tuple):
        if all(isinstance(v, Integral) for v in offsets):
            return [int(v) for v in offsets]
        given = f"a {type(offsets).__name__} with other entries than integers"
    else:
        given = f"of type {type(offsets).__name__}"
    raise DataError(
        f"offset is {given}: give the cumulative voxel counts as a 1-d integer tensor or a list of integers"
    )
