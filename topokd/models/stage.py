"""The geometry of one resolution, computed once and shared by every block that works at it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import torch
from jaxtyping import Int64
from torch import Tensor

from topokd.errors import DataError
from topokd.models.convolution.layer import NeighbourCache
from topokd.models.convolution.neighbours import Neighbours
from topokd.models.patches import Patches, PatchLayout, layout_patches
from topokd.models.serialization import MAX_DEPTH, curve_from_z, interleave

_MAX_CLOUDS = 2 ** (63 - 3 * MAX_DEPTH)  # the bits above a voxel's code hold the number of its cloud


@dataclass
class StageGeometry:
    """Voxels of one resolution in z order, cloud after cloud; made by `from_voxels` and `coarser`.

    Attributes:
        grid_coord: voxel indices at this resolution.
        cloud: the cloud of each voxel.
        z: z-order code of each voxel.
        sizes: voxels per cloud.
        depth: octree levels per cloud. The Hilbert curve of a cloud must not depend on the other clouds of its batch,
            so each has its own. (The published code takes one depth for the batch: ``common_depth``.)
        orders: the curves that the blocks follow, in turn.
    """

    grid_coord: Int64[Tensor, "n 3"]
    cloud: Int64[Tensor, " n"]
    z: Int64[Tensor, " n"]
    sizes: tuple[int, ...]
    depth: tuple[int, ...]
    orders: tuple[str, ...]
    _orders: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _layouts: dict[int, PatchLayout] = field(default_factory=dict, repr=False)
    _patches: dict[tuple[str, int], Patches] = field(default_factory=dict, repr=False)

    @classmethod
    def from_voxels(
        cls, grid_coord: Int64[Tensor, "n 3"], sizes: tuple[int, ...], orders: tuple[str, ...], common_depth: bool
    ) -> tuple[StageGeometry, Int64[Tensor, " n"]]:
        """The finest stage, and the input row of each of its rows.

        Args:
            grid_coord: voxel indices from 0, cloud after cloud, in any order inside a cloud.
            sizes: voxels per cloud.
            orders: the curves that the blocks follow, in turn.
            common_depth: give all clouds the octree depth of the largest one.

        Raises:
            DataError: for a voxel beyond the depth of the curve, a duplicate voxel, or too many clouds.
        """
        if len(sizes) > _MAX_CLOUDS:
            raise DataError(f"the batch has {len(sizes)} clouds, at most {_MAX_CLOUDS} fit: make smaller batches")
        largest = [int(part.max()) for part in grid_coord.split(sizes)]
        depth = [(v + 1).bit_length() for v in largest]
        if max(depth) > MAX_DEPTH:
            raise DataError(
                f"grid_coord reaches {max(largest)} (cloud {depth.index(max(depth))}), but the curve has {MAX_DEPTH} "
                f"bits per axis and ends at {2**MAX_DEPTH - 2}: subtract each cloud's minimum, or use larger voxels"
            )
        if common_depth:
            depth = [max(depth)] * len(depth)
        cloud = torch.repeat_interleave(torch.tensor(sizes)).to(grid_coord.device)
        z = interleave(grid_coord)
        row = torch.argsort((cloud << (3 * MAX_DEPTH)) | z)
        z, cloud = z.take(row), cloud.take(row)
        same = (z[1:] == z[:-1]) & (cloud[1:] == cloud[:-1])
        if bool(same.any()):
            at = int(row[1:][same][0])
            raise DataError(
                f"{int(same.sum())} voxels appear twice, first {grid_coord[at].tolist()} in cloud "
                f"{int(cloud[1:][same][0])}: merge the points of a voxel before the network (topokd.data.voxelize does)"
            )
        return cls(grid_coord.index_select(0, row), cloud, z, sizes, tuple(depth), orders), row

    def coarser(
        self, stride: int, orders: tuple[str, ...]
    ) -> tuple[StageGeometry, Int64[Tensor, " n"], Int64[Tensor, " m"]]:
        """The stage with cells ``stride`` (a power of two) times as large.

        Returns:
            The coarse stage, the coarse row of each row here, and the first row here of each coarse row: because rows
            are in z order, the children of a coarse voxel are consecutive.
        """
        levels = stride.bit_length() - 1
        z = self.z >> (3 * levels)
        new = torch.ones_like(z, dtype=torch.bool)
        new[1:] = (z[1:] != z[:-1]) | (self.cloud[1:] != self.cloud[:-1])
        parent = new.cumsum(0) - 1
        first = new.nonzero().squeeze(1)
        cloud = self.cloud.take(first)
        coarse = StageGeometry(
            self.grid_coord.index_select(0, first) >> levels,
            cloud,
            z.take(first),
            tuple(torch.bincount(cloud, minlength=len(self.sizes)).tolist()),
            tuple(d - levels for d in self.depth),
            orders,
        )
        return coarse, parent, first

    @property
    def offsets(self) -> Int64[Tensor, " b"]:
        """Cumulative voxel counts of the clouds."""
        return torch.tensor(self.sizes, device=self.z.device).cumsum(0)

    def neighbours(self, kernel_size: int, backend: str = "torch") -> Neighbours:
        """Neighbours in a cubic kernel, found once; ``backend`` is "torch", "spconv" or "auto"."""
        return self._neighbours.find(kernel_size, backend)

    @functools.cached_property
    def _neighbours(self) -> NeighbourCache:
        return NeighbourCache(self.grid_coord, self.cloud)

    def order(self, curve: str) -> Int64[Tensor, " n"]:
        """Rows in the order in which ``curve`` visits them, cloud after cloud."""
        if curve not in self._orders:
            if curve == "z":
                self._orders[curve] = torch.arange(len(self.z), device=self.z.device)
            else:
                code = curve_from_z(self.z, self._depth_of_row, curve)
                self._orders[curve] = torch.argsort((self.cloud << (3 * MAX_DEPTH)) | code)
        return self._orders[curve]

    @functools.cached_property
    def _depth_of_row(self) -> Int64[Tensor, " n"]:
        return torch.tensor(self.depth, device=self.z.device).take(self.cloud)

    def patches(self, block: int, patch_size: int, patching: str) -> Patches:
        """Attention patches of one block.

        Args:
            block: number of the block; it follows the curve ``orders[block % len(orders)]``.
            patch_size: rows of a patch; a cloud that is not larger is one patch.
            patching: "per_cloud", or "batch": one size for all clouds, at most the size of the smallest cloud.
        """
        curve = self.orders[block % len(self.orders)]
        size = min(patch_size, *self.sizes) if patching == "batch" else patch_size
        if (curve, size) not in self._patches:
            if size not in self._layouts:
                self._layouts[size] = layout_patches(self.sizes, size, self.z.device)
            self._patches[curve, size] = self._layouts[size].along(self.order(curve))
        return self._patches[curve, size]
