"""Slow twins of the fast functions of this package, under the same names: written to be read, used by the tests.

Each follows its definition row by row. ``tests/models/test_matches_reference.py`` compares values and gradients.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from topokd.models.convolution.pairs import NeighbourPairs
from topokd.models.convolution.table import NeighbourTable
from topokd.models.patches import Patches


def encode(grid_coord: Int64[Tensor, "n 3"], depth: int | Int64[Tensor, " n"], curve: str) -> Int64[Tensor, " n"]:
    """Twin of `topokd.models.serialization.encode`: voxel by voxel, bit by bit."""
    depths = [depth] * len(grid_coord) if isinstance(depth, int) else depth.tolist()
    return torch.tensor([_encode_voxel(v, d, curve) for v, d in zip(grid_coord.tolist(), depths, strict=True)])


def _encode_voxel(voxel: list[int], depth: int, curve: str) -> int:
    """The Hilbert curve follows Skilling, Programming the Hilbert curve (2004)."""
    x = [voxel[1], voxel[0], voxel[2]] if curve.endswith("-trans") else list(voxel)
    if curve.startswith("hilbert"):
        for level in range(depth - 1, -1, -1):
            lower = (1 << level) - 1
            for axis in range(3):
                if x[axis] >> level & 1:
                    x[0] ^= lower
                else:
                    differ = (x[0] ^ x[axis]) & lower
                    x[0] ^= differ
                    x[axis] ^= differ
    bits = [x[axis] >> level & 1 for level in range(depth - 1, -1, -1) for axis in range(3)]
    if curve.startswith("hilbert"):
        for i in range(1, len(bits)):
            bits[i] ^= bits[i - 1]
    return int("".join(map(str, bits)) or "0", 2)


def _offsets(kernel_size: int) -> list[tuple[int, int, int]]:
    """Offsets of a kernel in the order of its flattened weights."""
    steps = range(-(kernel_size // 2), kernel_size // 2 + 1)
    return [(dx, dy, dz) for dx in steps for dy in steps for dz in steps]


def find_table(grid_coord: Int64[Tensor, "n 3"], cloud: Int64[Tensor, " n"], kernel_size: int) -> NeighbourTable:
    """Twin of `topokd.models.convolution.table.find_table`: every voxel and offset is looked up."""
    voxels = list(zip(cloud.tolist(), grid_coord.tolist(), strict=True))
    row_of = {(b, *xyz): i for i, (b, xyz) in enumerate(voxels)}
    table = [
        [row_of.get((b, x + dx, y + dy, z + dz), len(voxels)) for dx, dy, dz in _offsets(kernel_size)]
        for b, (x, y, z) in voxels
    ]
    return NeighbourTable(kernel_size, torch.tensor(table, dtype=torch.int32))


def find_pairs(grid_coord: Int64[Tensor, "n 3"], cloud: Int64[Tensor, " n"], kernel_size: int) -> NeighbourPairs:
    """Twin of `topokd.models.convolution.pairs.find_pairs`; the order of the pairs of an offset may differ."""
    table, n = find_table(grid_coord, cloud, kernel_size).table, len(grid_coord)
    pairs = {}
    for d, offset in enumerate(_offsets(kernel_size)):
        rows = [i for i in range(n) if table[i, d] < n]
        if offset > (0, 0, 0) and rows:
            pairs[offset] = torch.tensor(rows), table[rows, d].long()
    return NeighbourPairs(kernel_size, n, pairs)


def submanifold_convolution(
    feat: Float[Tensor, "n c_in"],
    weight: Float[Tensor, "c_out k k k c_in"],
    bias: Float[Tensor, " c_out"] | None,
    neighbours: NeighbourTable,
) -> Float[Tensor, "n c_out"]:
    """Twin of `topokd.models.convolution.layer.submanifold_convolution`: voxel by voxel, offset by offset."""
    kernel = weight.flatten(1, 3)  # (c_out, k^3, c_in)
    out = []
    for row in neighbours.table.tolist():
        products = [kernel[:, d] @ feat[j] for d, j in enumerate(row) if j < len(feat)]
        out.append(torch.stack(products).sum(0) if bias is None else torch.stack([*products, bias]).sum(0))
    return torch.stack(out)


def make_patches(order: Int64[Tensor, " n"], sizes: tuple[int, ...], patch_size: int) -> Patches:
    """Twin of ``layout_patches(...).along(order)`` in `topokd.models.patches`: patch by patch, in lists."""
    clouds = [part.tolist() for part in order.split(sizes)]
    patches: list[list[int]] = []
    repeated: list[int] = []
    back: dict[int, int] = {}
    for cloud in [c for c in clouds if len(c) >= patch_size] + [c for c in clouds if len(c) < patch_size]:
        for start in range(0, len(cloud), patch_size):
            patch = cloud[max(min(start, len(cloud) - patch_size), 0) :][:patch_size]
            length = sum(map(len, patches))
            for entry, row in enumerate(patch, length):
                if row in back:
                    repeated.append(entry)
                else:
                    back[row] = entry
            patches.append(patch)
    full = [patch for patch in patches if len(patch) == patch_size]
    return Patches(
        rows=torch.tensor([row for patch in patches for row in patch]),
        back=torch.tensor([back[row] for row in range(len(order))]),
        repeated=torch.tensor(repeated, dtype=torch.int64),
        size=patch_size,
        num_full=len(full),
        short=tuple(len(patch) for patch in patches[len(full) :]),
    )


def patch_attention(qkv: Float[Tensor, "m 3 h d"], patches: Patches) -> Float[Tensor, "m c"]:
    """Twin of `topokd.models.attention.patch_attention`: ``softmax(q k^T / sqrt(d)) v`` for each entry."""
    out = []
    for patch in qkv.split(patches.lengths):
        q, k, v = patch.unbind(1)  # (rows, h, d)
        for query in q:
            scores = torch.einsum("hd,rhd->hr", query, k) / query.shape[-1] ** 0.5
            out.append(torch.einsum("hr,rhd->hd", scores.softmax(1), v).reshape(-1))
    return torch.stack(out)


def segment_max(
    x: Float[Tensor, "n c"], parent: Int64[Tensor, " n"], first: Int64[Tensor, " m"]
) -> Float[Tensor, "m c"]:
    """Twin of `topokd.models.blocks.segment_max`: segment by segment."""
    return torch.stack([x[parent == segment].amax(0) for segment in range(len(first))])
