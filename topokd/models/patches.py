"""How the voxels of a stage fall into attention patches along a space-filling curve."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor


@dataclass(frozen=True)
class Patches:
    """The patches of one stage on one curve.

    The patched sequence has ``len(rows)`` entries: first ``num_full`` patches of ``size`` entries, then one shorter
    patch for each length in ``short``. The last patch of a cloud overlaps the one before it, so that it covers the
    last ``size`` rows of the cloud.

    Attributes:
        rows: entry e of the sequence is row ``rows[e]`` of the stage.
        back: ``back[r]`` is the entry that gives row r its result.
        repeated: entries with a row that appeared before (the overlap); they are keys and values only.
        size: rows of a full patch.
        num_full: number of full patches.
        short: lengths of the clouds that are smaller than a patch.
    """

    rows: Int64[Tensor, " m"]
    back: Int64[Tensor, " n"]
    repeated: Int64[Tensor, " k"]
    size: int
    num_full: int
    short: tuple[int, ...]

    @property
    def lengths(self) -> list[int]:
        """Number of entries of each patch."""
        return [self.size] * self.num_full + list(self.short)

    def split(self, entries: int | None) -> list[Patches]:
        """Chunks of whole patches with at most ``entries`` entries (at least one patch); None gives one chunk.

        With several chunks, their ``back`` and ``repeated`` are empty.
        """
        if entries is None:
            return [self]
        chunks: list[list[int]] = []
        room = 0
        for length in self.lengths:
            if length > room:
                chunks.append([])
                room = max(entries, length)
            chunks[-1].append(length)
            room -= length
        if len(chunks) == 1:
            return [self]
        empty = self.rows[:0]
        full = [chunk.count(self.size) for chunk in chunks]
        return [
            Patches(rows, empty, empty, self.size, count, tuple(chunk[count:]))
            for rows, count, chunk in zip(self.rows.split([sum(chunk) for chunk in chunks]), full, chunks, strict=True)
        ]


@dataclass(frozen=True)
class PatchLayout:
    """Patches by position on any curve: the part of `Patches` that does not depend on the rows.

    Attributes:
        position: the position on the curve of each entry of the patched sequence.
        back: the entry that gives each position its result.
        repeated, size, num_full, short: as in `Patches`.
    """

    position: Int64[Tensor, " m"]
    back: Int64[Tensor, " n"]
    repeated: Int64[Tensor, " k"]
    size: int
    num_full: int
    short: tuple[int, ...]

    def along(self, order: Int64[Tensor, " n"]) -> Patches:
        """The patches of the curve that visits rows in ``order``, cloud after cloud."""
        inverse = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=order.device))
        return Patches(
            rows=order.take(self.position),
            back=self.back.take(inverse),
            repeated=self.repeated,
            size=self.size,
            num_full=self.num_full,
            short=self.short,
        )


def layout_patches(sizes: tuple[int, ...], patch_size: int, device: torch.device) -> PatchLayout:
    """Cut clouds into patches: consecutive runs of ``patch_size`` positions, the last one reaching back.

    Args:
        sizes: number of voxels of each cloud.
        patch_size: a cloud that is smaller becomes one short patch.
        device: device of the result.

    Examples:
        >>> layout = layout_patches((5, 2), 3, torch.device("cpu"))
        >>> layout.position.tolist(), layout.repeated.tolist(), layout.short
        ([0, 1, 2, 2, 3, 4, 5, 6], [3], (2,))
    """
    starts = [sum(sizes[:i]) for i in range(len(sizes))]
    full = [(start, n) for start, n in zip(starts, sizes, strict=True) if n >= patch_size]
    short = [(start, n) for start, n in zip(starts, sizes, strict=True) if n < patch_size]
    position, repeated = [], []
    length = 0
    back = torch.empty(sum(sizes), dtype=torch.int64)
    for start, n in full + short:
        rest = n % patch_size if n >= patch_size else 0
        whole = n - rest  # positions in patches that do not overlap
        own = torch.arange(start, start + whole)
        position += [own, torch.arange(start + n - patch_size, start + n)] if rest else [own]
        back[start : start + whole] = torch.arange(length, length + whole)
        length += whole
        if rest:
            repeated.append(torch.arange(length, length + patch_size - rest))
            back[start + whole : start + n] = torch.arange(length + patch_size - rest, length + patch_size)
            length += patch_size
    return PatchLayout(
        position=torch.cat(position).to(device),
        back=back.to(device),
        repeated=torch.cat([*repeated, torch.empty(0, dtype=torch.int64)]).to(device),
        size=patch_size,
        num_full=sum(-(-n // patch_size) for _, n in full),
        short=tuple(n for _, n in short),
    )
