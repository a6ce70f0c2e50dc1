"""The geometry of one resolution, computed once and shared by every block that works at it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import torch
from jaxtyping import Int64
from torch import Tensor

from topokd.errors import DataError
from topokd.models import backends
from topokd.models.convolution.layer import NeighbourMap, find_neighbours
from topokd.models.convolution.spconv import SpconvMap
from topokd.models.convolution.table import NeighbourTable, find_table
from topokd.models.serialization import MAX_DEPTH, curve_from_z, interleave

_MAX_CLOUDS = 2 ** (63 - 3 * MAX_DEPTH)  # the number of a voxel's cloud stands above its code in one integer


@dataclass(frozen=True)
class Patches:
    """How the n rows of a stage fall into attention patches.

    The patched sequence has ``len(rows)`` entries: first ``num_full`` patches of ``size`` entries, then one shorter
    patch for each length in ``short``. Entry e is stage row ``rows[e]``. The last patch of a cloud reaches back over
    its last ``size`` rows; the entries that appear a second time there (``repeated``) serve as keys and values only.
    ``back[r]`` is the entry that gives row r its result.
    """

    rows: Int64[Tensor, " m"]
    back: Int64[Tensor, " n"]
    repeated: Int64[Tensor, " k"]
    size: int
    num_full: int
    short: tuple[int, ...]

    def split(self, entries: int | None) -> list[Patches]:
        """Runs of whole patches, up to ``entries`` long if a patch is not longer, without a way back; None: one run."""
        if entries is None:
            return [self]
        runs: list[list[int]] = []
        room = 0
        for length in [self.size] * self.num_full + list(self.short):
            if length > room:
                runs.append([])
                room = max(entries, length)
            runs[-1].append(length)
            room -= length
        if len(runs) == 1:
            return [self]
        none = self.rows[:0]
        full = [run.count(self.size) for run in runs]
        return [
            Patches(rows, none, none, self.size, count, tuple(run[count:]))
            for rows, count, run in zip(self.rows.split([sum(run) for run in runs]), full, runs, strict=True)
        ]


@dataclass
class Stage:
    """Voxels of one resolution in z order, cloud after cloud; use :meth:`from_voxels` and :meth:`coarser`.

    ``depth`` holds each cloud's number of octree levels: the Hilbert curve of a cloud must not turn because another
    cloud of its batch is larger. (The published code takes one depth for the batch; see ``from_voxels``.)
    """

    grid_coord: Int64[Tensor, "n 3"]
    cloud: Int64[Tensor, " n"]
    z: Int64[Tensor, " n"]
    sizes: tuple[int, ...]
    depth: tuple[int, ...]
    orders: tuple[str, ...]
    _neighbours: dict[int, NeighbourMap | NeighbourTable] = field(default_factory=dict, repr=False)
    _spconv: dict[int, SpconvMap] = field(default_factory=dict, repr=False)
    _ranks: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _layouts: dict[int, _Layout] = field(default_factory=dict, repr=False)
    _patches: dict[tuple[str, int, str], Patches] = field(default_factory=dict, repr=False)

    @classmethod
    def from_voxels(
        cls, grid_coord: Int64[Tensor, "n 3"], sizes: tuple[int, ...], orders: tuple[str, ...], common_depth: bool
    ) -> tuple[Stage, Int64[Tensor, " n"]]:
        """The finest stage and the row of the input that each of its rows is.

        Raises :class:`DataError` for a voxel beyond the curve's depth, one that appears twice in its cloud, or too many
        clouds.
        """
        if len(sizes) > _MAX_CLOUDS:
            raise DataError(f"{len(sizes)} clouds in a batch; at most {_MAX_CLOUDS} fit: make smaller batches")
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

    def coarser(self, stride: int, orders: tuple[str, ...]) -> tuple[Stage, Int64[Tensor, " n"], Int64[Tensor, " m"]]:
        """The stage with cells ``stride`` (a power of two) times as large.

        Returns it with the coarse row of each row here and the first row here of each coarse row: because rows are in z
        order, the children of a coarse voxel lie side by side.
        """
        levels = stride.bit_length() - 1
        z = self.z >> (3 * levels)
        new = torch.ones_like(z, dtype=torch.bool)
        new[1:] = (z[1:] != z[:-1]) | (self.cloud[1:] != self.cloud[:-1])
        parent = new.cumsum(0) - 1
        first = new.nonzero().squeeze(1)
        cloud = self.cloud.take(first)
        coarse = Stage(
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

    def neighbours(self, kernel_size: int, backend: str = "torch") -> NeighbourMap | NeighbourTable | SpconvMap:
        """The neighbour map of a cubic kernel, found once; a smaller kernel's is taken out of a larger one's.

        ``backend``: "torch", "spconv" or "auto" (see :mod:`topokd.models.backends`).
        """
        if backends.uses_spconv(self.z.device, backend):
            if kernel_size not in self._spconv:
                self._spconv[kernel_size] = SpconvMap(kernel_size, self.grid_coord, self.cloud)
            return self._spconv[kernel_size]
        if kernel_size not in self._neighbours:
            larger = [m for k, m in self._neighbours.items() if k > kernel_size]
            find = find_table if self.z.is_cuda else find_neighbours
            self._neighbours[kernel_size] = (
                larger[0].smaller(kernel_size) if larger else find(self.grid_coord, self.cloud, kernel_size)
            )
        return self._neighbours[kernel_size]

    @functools.cached_property
    def _depth_of_row(self) -> Int64[Tensor, " n"]:
        return torch.tensor(self.depth, device=self.z.device).take(self.cloud)

    def order(self, curve: str) -> Int64[Tensor, " n"]:
        """Rows in the order in which ``curve`` visits them, cloud after cloud."""
        if curve not in self._ranks:
            if curve == "z":
                self._ranks[curve] = torch.arange(len(self.z), device=self.z.device)
            else:
                code = curve_from_z(self.z, self._depth_of_row, curve)
                self._ranks[curve] = torch.argsort((self.cloud << (3 * MAX_DEPTH)) | code)
        return self._ranks[curve]

    def patches(self, block: int, patch_size: int, patching: str) -> Patches:
        """Patches of the block-th block: it follows the curve ``orders[block % len(orders)]``.

        ``patching="per_cloud"``: patches of ``patch_size``; a cloud that is not larger is one patch. ``"batch"``: one
        size for all clouds, the smallest cloud's count if that is less.
        """
        curve = self.orders[block % len(self.orders)]
        key = (curve, patch_size, patching)
        if key not in self._patches:
            size = min(patch_size, *self.sizes) if patching == "batch" else patch_size
            order = self.order(curve)
            if size not in self._layouts:
                self._layouts[size] = _layout(self.sizes, size, order.device)
            layout = self._layouts[size]
            inverse = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
            self._patches[key] = Patches(
                rows=order.take(layout.place),
                back=layout.back.take(inverse),
                repeated=layout.repeated,
                size=size,
                num_full=layout.num_full,
                short=layout.short,
            )
        return self._patches[key]


@dataclass(frozen=True)
class _Layout:
    """Patches along any curve: ``place`` is where on it each entry lies, ``back`` which entry answers each place."""

    place: Int64[Tensor, " m"]
    back: Int64[Tensor, " n"]
    repeated: Int64[Tensor, " k"]
    num_full: int
    short: tuple[int, ...]


def _layout(sizes: tuple[int, ...], size: int, device: torch.device) -> _Layout:
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    full = [(start, n) for start, n in zip(starts, sizes, strict=True) if n >= size]
    short = [(start, n) for start, n in zip(starts, sizes, strict=True) if n < size]
    place, repeated = [], []
    length = 0
    back = torch.empty(sum(sizes), dtype=torch.int64)
    for start, n in full + short:
        rest = n % size if n >= size else 0
        last = n - size if rest else n  # where on the curve the padded last patch begins
        ahead = n - rest
        own = torch.arange(start, start + ahead)
        place += [own, torch.arange(start + last, start + n)] if rest else [own]
        back[start : start + ahead] = torch.arange(length, length + ahead)
        length += ahead
        if rest:
            repeated.append(torch.arange(length, length + size - rest))
            back[start + ahead : start + n] = torch.arange(length + size - rest, length + size)
            length += size
    return _Layout(
        place=torch.cat(place).to(device),
        back=back.to(device),
        repeated=torch.cat([*repeated, torch.empty(0, dtype=torch.int64)]).to(device),
        num_full=sum(-(-n // size) for _, n in full),
        short=tuple(n for _, n in short),
    )
