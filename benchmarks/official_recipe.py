"""Point Transformer V3 as the published implementation computes it; benchmarks/models.py compares ours with it.

Reimplemented from the paper. It uses the layers of a ``topokd`` network, so both sides have the same weights, and the
benchmark checks that both give the same logits. These computations differ:

- rows stay in the order of the input, and each stage's codes are sorted for all four curves;
- the Hilbert code unpacks every coordinate into bytes, one per bit, and packs them again;
- attention is explicit: q k^T, softmax and the product with v for all patches at once, with the (patches, heads, K, K)
  matrices in memory;
- the convolution is the native algorithm of spconv: a table of pairs per stage (indice_key), then gather, GEMM and
  scatter-add for each of the k^3 offsets. ``convolution="spconv"`` is the CPU build of spconv itself, which only runs
  forward and without a bias (added here by hand); ``"gather"`` is the same algorithm in torch operations, which also
  trains. The backward pass of spconv keeps the features and gathers again; this one does too.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn

from topokd.data.voxels import voxel_key
from topokd.models import PointTransformerV3
from topokd.models.attention import PatchAttention
from topokd.models.blocks import MLP, Block, Pooling, Unpooling
from topokd.models.convolution.layer import SubmanifoldConv


@dataclass
class Points:
    """The voxels of a stage, and the data shared by its blocks."""

    feat: Tensor
    grid: Tensor
    batch: Tensor
    code: Tensor  # (curves, n)
    depth: int
    order: Tensor = field(init=False)
    inverse: Tensor = field(init=False)
    padding: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    pairs: dict[int, Any] = field(default_factory=dict)
    sparse: Any = None

    def __post_init__(self) -> None:
        self.order = torch.argsort(self.code)
        places = torch.arange(self.code.shape[1]).repeat(len(self.code), 1)
        self.inverse = torch.zeros_like(self.order).scatter_(1, self.order, places)

    def shuffle(self) -> None:
        drawn = torch.randperm(len(self.code))
        self.code, self.order, self.inverse = self.code[drawn], self.order[drawn], self.inverse[drawn]


class Recipe(nn.Module):
    """The published way to run the layers of ``model``; returns logits in the input's row order."""

    def __init__(self, model: PointTransformerV3, convolution: str = "gather") -> None:
        super().__init__()
        self.model, self.convolution = model, convolution
        self.twins = spconv_twins(model) if convolution == "spconv" else {}

    def forward(self, batch: Any) -> Tensor:
        with batch.feat.device:  # where new tensors are made
            return self.compute(batch)

    def compute(self, batch: Any) -> Tensor:
        backbone, shuffled = self.model.backbone, self.training and self.model.config.shuffle_orders
        sizes = batch.offsets.diff(prepend=batch.offsets.new_zeros(1))
        cloud = torch.arange(len(sizes)).repeat_interleave(sizes)
        points = serialize(batch.feat, batch.grid_coord.long(), cloud)
        if shuffled:
            points.shuffle()
        stem = backbone.embedding.stem
        points.feat = nn.functional.gelu(stem["norm"](self.convolve(stem["conv"], points, points.feat)))
        skips: list[tuple[Points, Tensor]] = []
        for level in backbone.encoder:
            if level.down is not None:
                coarse, cluster = pool(level.down, points)
                skips.append((points, cluster))
                points = coarse
                if shuffled:
                    points.shuffle()
            for i in range(level.depth):
                self.block(level.get_submodule(f"block{i}"), points, points.feat)
        for level in backbone.decoder:
            parent, cluster = skips.pop()
            position = unpool(level.up, points, parent, cluster)
            points = parent
            for i in range(level.depth):
                self.block(level.get_submodule(f"block{i}"), points, points.feat if i else position)
        return self.model.seg_head(points.feat)

    def block(self, block: Block, points: Points, position: Tensor) -> None:
        conv, linear, norm = block.cpe
        stage: Any = SimpleNamespace(sizes=(len(points.feat),))  # all that DropPath reads, drawing voxel by voxel
        x = points.feat + norm(linear(self.convolve(conv, points, position)))
        x = x + block.drop_path(attend(block.attn, points, block.norm1(x), block.index, block.patch_size), stage)
        mlp = cast(MLP, block.mlp[0])  # layer by layer: ours run in chunks
        points.feat = x + block.drop_path(mlp.fc2(nn.functional.gelu(mlp.fc1(block.norm2(x)))), stage)

    def convolve(self, layer: SubmanifoldConv, points: Points, feat: Tensor) -> Tensor:
        size = layer.kernel_size
        if self.convolution == "spconv":
            if points.sparse is None:
                points.sparse = spconv_tensor(points)
            points.sparse = self.twins[layer](points.sparse.replace_feature(feat))  # keeps the table of pairs
            out = points.sparse.features
        else:
            if size not in points.pairs:
                points.pairs[size] = find_pairs(points.grid, points.batch, size)
            out = GatherScatter.apply(feat, layer.weight.flatten(1, 3), points.pairs[size])
        return out if layer.bias is None else out + layer.bias


def attend(layer: PatchAttention, points: Points, x: Tensor, index: int, patch_size: int) -> Tensor:
    counts = torch.bincount(points.batch)
    size = min(int(counts.min()), patch_size)
    if size not in points.padding:
        points.padding[size] = pad(counts, size)
    padded, kept = points.padding[size]
    curve = index % len(points.order)
    order, inverse = points.order[curve][padded], kept[points.inverse[curve]]
    channels = x.shape[1]
    qkv = layer.qkv(x)[order].reshape(-1, size, 3, layer.heads, channels // layer.heads)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    weights = ((q * (channels // layer.heads) ** -0.5) @ k.transpose(-2, -1)).softmax(-1)
    return layer.proj((weights @ v).transpose(1, 2).reshape(-1, channels)[inverse])


def pad(counts: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Positions on the curve of the padded sequence, and the entry of each position in it."""
    padded, kept, start, length = [], [], 0, 0
    for n in counts.tolist():
        full = -(-n // size) * size
        places = torch.arange(full)
        if full > n:  # the last patch is filled up from the one before it
            places[full - size + n % size :] = places[full - 2 * size + n % size : full - size]
        padded.append(places + start)
        kept.append(torch.arange(n) + length)
        start, length = start + n, length + full
    return torch.cat(padded), torch.cat(kept)


def pool(layer: Pooling, points: Points) -> tuple[Points, Tensor]:
    code = points.code >> 3
    _, cluster, counts = torch.unique(code[0], sorted=True, return_inverse=True, return_counts=True)
    rows = torch.sort(cluster)[1]
    head = rows[torch.cat([counts.new_zeros(1), counts.cumsum(0)])[:-1]]
    feat = torch.segment_reduce(layer.proj(points.feat)[rows], "max", lengths=counts, unsafe=True)
    feat = nn.functional.gelu(layer.norm(feat))
    return Points(feat, points.grid[head] >> 1, points.batch[head], code[:, head], points.depth - 1), cluster


def unpool(layer: Unpooling, points: Points, parent: Points, cluster: Tensor) -> Tensor:
    skip = layer.proj_skip(parent.feat)
    parent.feat = skip + layer.proj(points.feat)[cluster]
    return skip


def serialize(feat: Tensor, grid: Tensor, batch: Tensor) -> Points:
    depth = int(grid.max() + 1).bit_length()
    swapped = grid[:, [1, 0, 2]]
    codes = torch.stack([z_code(grid), z_code(swapped), hilbert_code(grid, depth), hilbert_code(swapped, depth)])
    return Points(feat, grid, batch, batch << (3 * depth) | codes, depth)


def z_code(grid: Tensor) -> Tensor:
    """A table of 256 entries per byte."""
    byte = torch.arange(256)
    table = sum(((byte >> i) & 1) << (3 * i) for i in range(8))
    low, high = table[grid & 255], table[grid >> 8] << 24
    x, y, z = (low | high).unbind(1)
    return x << 2 | y << 1 | z


def hilbert_code(grid: Tensor, depth: int) -> Tensor:
    """Bits as bytes: inverse undo, exchange and invert (Skilling 2004), Gray to binary, pack."""
    n, bit_values = len(grid), torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8)
    bits = grid.view(torch.uint8).reshape(n, 3, 8).flip(-1)
    gray = bits[..., None].bitwise_and(bit_values).ne(0).byte().flatten(-2)[..., -depth:].contiguous()
    for bit, axis in itertools.product(range(depth), range(3)):
        mask = gray[:, axis, bit, None]
        rest = slice(bit + 1, depth)
        gray[:, 0, rest] = torch.logical_xor(gray[:, 0, rest], mask)
        flip = torch.logical_and(torch.logical_not(mask), torch.logical_xor(gray[:, 0, rest], gray[:, axis, rest]))
        gray[:, axis, rest] = torch.logical_xor(gray[:, axis, rest], flip)
        gray[:, 0, rest] = torch.logical_xor(gray[:, 0, rest], flip)
    gray = gray.swapaxes(1, 2).reshape(n, 3 * depth)
    shift = 2 ** (gray.shape[1].bit_length() - 1)
    while shift > 0:
        gray[:, shift:] = torch.logical_xor(gray[:, shift:], gray[:, :-shift].clone())
        shift //= 2
    padded = nn.functional.pad(gray, (64 - 3 * depth, 0))
    packed = (padded.flip(-1).reshape(n, 8, 8) * bit_values.flip(0)).sum(2).to(torch.uint8)
    return packed.view(torch.int64).reshape(n)


def find_pairs(grid: Tensor, batch: Tensor, size: int) -> list[tuple[Tensor, Tensor]]:
    """(output row, input row) for each offset; each offset is looked up separately, as in the hash table of spconv."""
    reach = size // 2
    extent = (grid.amax(0) + 1 + 2 * reach).tolist()
    key = voxel_key(grid + reach, extent, batch)
    ordered, rows = torch.sort(key)
    pairs = []
    for dx, dy, dz in itertools.product(range(-reach, reach + 1), repeat=3):
        wanted = key + (dx * extent[1] + dy) * extent[2] + dz
        at = torch.searchsorted(ordered, wanted).clamp_(max=len(key) - 1)
        out = (ordered[at] == wanted).nonzero()[:, 0]
        pairs.append((out, rows[at[out]]))
    return pairs


class GatherScatter(torch.autograd.Function):
    """Gather, GEMM and scatter-add for each offset; the centre is a plain product."""

    @staticmethod
    def forward(ctx: Any, feat: Tensor, kernel: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.save_for_backward(feat, kernel)
        ctx.pairs = pairs
        centre = len(pairs) // 2
        out = feat @ kernel[:, centre].t()
        for step, (i, j) in enumerate(pairs):
            if step != centre and len(i):
                out.index_add_(0, i, feat.index_select(0, j) @ kernel[:, step].t())
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        feat, kernel = ctx.saved_tensors
        grad, grad_kernel = grads[0], torch.zeros_like(kernel)
        centre = len(ctx.pairs) // 2
        grad_feat = grad @ kernel[:, centre]
        grad_kernel[:, centre] = grad.t() @ feat
        for step, (i, j) in enumerate(ctx.pairs):
            if step != centre and len(i):
                part = grad.index_select(0, i)
                grad_kernel[:, step] = part.t() @ feat.index_select(0, j)
                grad_feat.index_add_(0, j, part @ kernel[:, step])
        return grad_feat, grad_kernel, None


def spconv_twins(model: PointTransformerV3) -> dict[SubmanifoldConv, Any]:
    """A spconv layer with the same weights for each convolution of ``model``."""
    import spconv.pytorch as spconv

    twins = {}
    for layer in model.modules():
        if isinstance(layer, SubmanifoldConv):
            wide, narrow, size = layer.weight.shape[0], layer.weight.shape[-1], layer.kernel_size
            twin = spconv.SubMConv3d(
                narrow, wide, size, bias=False, indice_key=f"kernel{size}", algo=spconv.ConvAlgo.Native
            )
            twin.weight = layer.weight  # (c_out, k, k, k, c_in), the layout of spconv
            twins[layer] = twin
    return twins


def spconv_tensor(points: Points) -> Any:
    import spconv.pytorch as spconv

    indices = torch.cat([points.batch[:, None], points.grid], 1).int().contiguous()
    shape = (points.grid.amax(0) + 96).tolist()
    return spconv.SparseConvTensor(points.feat, indices, shape, int(points.batch[-1]) + 1)
