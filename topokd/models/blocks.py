"""The building blocks of Point Transformer V3. Attribute names are those of published checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from topokd.models import backends
from topokd.models.attention import PatchAttention
from topokd.models.chunks import rows_per_chunk
from topokd.models.convolution.layer import SubmanifoldConv
from topokd.models.stage import StageGeometry


def batch_norm(channels: int) -> nn.BatchNorm1d:
    """Batch normalisation with the published network's constants."""
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)


class Embedding(nn.Module):
    """``GELU(BN(conv(feat)))`` with a 5x5x5 submanifold convolution from ``in_channels`` to ``channels``."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.ModuleDict(
            {"conv": SubmanifoldConv(in_channels, channels, 5, bias=False), "norm": batch_norm(channels)}
        )

    def forward(self, feat: Float[Tensor, "n c_in"], stage: StageGeometry) -> Float[Tensor, "n c"]:
        """Embed the input features ``feat`` of the voxels of ``stage``."""
        conv = cast(SubmanifoldConv, self.stem["conv"])
        return nn.functional.gelu(self.stem["norm"](conv(feat, stage.neighbours(5, conv.backend))))


class MLP(nn.Module):
    """``fc2(GELU(fc1(x)))``, with ``hidden`` values between rows of ``channels`` values."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Transform each row."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class DropPath(nn.Module):
    """Stochastic depth: drop rows of a residual branch at random, scale the others by ``1 / (1 - rate)``.

    Random numbers come from torch's global generator for the CPU.

    Args:
        rate: probability of dropping, from 0 to below 1.
        per: "voxel" draws for each row, as the published network does; "cloud" for each cloud.
    """

    def __init__(self, rate: float, per: str = "voxel") -> None:
        super().__init__()
        self.rate, self.per = rate, per
        self.random: Callable[[int], Tensor] = torch.rand  # replaced where several processes share a batch

    def forward(self, x: Float[Tensor, "n c"], stage: StageGeometry) -> Float[Tensor, "n c"]:
        """Drop rows of ``x``, the rows of ``stage``, in training mode; the identity in evaluation mode."""
        return self.apply_draw(x, self.draw(stage))

    def draw(self, stage: StageGeometry) -> Bool[Tensor, " n"] | None:
        """Which rows of ``stage`` are kept, at random; None keeps all."""
        if not self.training or self.rate == 0:
            return None
        draws = sum(stage.sizes) if self.per == "voxel" else len(stage.sizes)
        keep = self.random(draws) >= self.rate
        return keep if self.per == "voxel" else keep.to(stage.cloud.device).take(stage.cloud)

    def apply_draw(self, x: Float[Tensor, "n c"], keep: Bool[Tensor, " n"] | None) -> Float[Tensor, "n c"]:
        """Set the rows of ``x`` that ``keep`` (from `draw`) excludes to 0, and scale the others."""
        return x if keep is None else x * (keep.to(x) / (1 - self.rate))[:, None]


class Block(nn.Module):
    """One transformer block, pre-normalised and residual.

    x <- x + LN(Linear(conv3x3x3(x)))   (conditional positional encoding)
    x <- x + attention(LN(x))
    x <- x + MLP(LN(x))

    Args:
        kind: "both"; "convolution": the first line only; "attention": the other two, after a LayerNorm.
        rope_base: see `PatchAttention`.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        patch_size: int,
        mlp_ratio: int,
        drop_path: float,
        drop_path_per: str,
        index: int,
        kind: str = "both",
        rope_base: float = 0.0,
    ) -> None:
        super().__init__()
        self.index, self.patch_size, self.kind = index, patch_size, kind
        self.checkpointing = False  # see PointTransformerV3.set_checkpointing
        if kind == "attention":
            self.norm0 = nn.Sequential(nn.LayerNorm(channels))
        else:
            self.cpe = nn.ModuleList(
                [SubmanifoldConv(channels, channels, 3), nn.Linear(channels, channels), nn.LayerNorm(channels)]
            )
        if kind != "convolution":
            self.norm1 = nn.Sequential(nn.LayerNorm(channels))
            self.attn = PatchAttention(channels, heads, rope_base=rope_base if kind == "attention" else 0.0)
            self.norm2 = nn.Sequential(nn.LayerNorm(channels))
            self.mlp = nn.Sequential(MLP(channels, mlp_ratio * channels))
        self.drop_path = DropPath(0.0 if kind == "convolution" else drop_path, drop_path_per)

    def forward(
        self, x: Float[Tensor, "n c"], stage: StageGeometry, patching: str, position: Float[Tensor, "n c"] | None = None
    ) -> Float[Tensor, "n c"]:
        """Transform the rows of ``stage``.

        Args:
            x: features.
            stage: their voxels.
            patching: "per_cloud" or "batch" (see `StageGeometry.patches`).
            position: input of the positional convolution; None: ``x``.
        """
        # Drawn here and not where they are used: a checkpointed block runs twice and must see the same draws.
        keep = self.drop_path.draw(stage), self.drop_path.draw(stage)
        position = x if position is None else position
        if not (self.checkpointing and torch.is_grad_enabled()):
            return self._transform(x, position, stage, patching, keep)
        return checkpoint(
            self._transform, x, position, stage, patching, keep, use_reentrant=False, preserve_rng_state=False
        )

    def _transform(
        self,
        x: Tensor,
        position: Tensor,
        stage: StageGeometry,
        patching: str,
        keep: tuple[Tensor | None, Tensor | None],
    ) -> Tensor:
        if self.kind == "attention":
            x = self.norm0(x)
        else:
            conv, linear, norm = cast(SubmanifoldConv, self.cpe[0]), self.cpe[1], self.cpe[2]
            x = x + norm(linear(conv(position, stage.neighbours(3, conv.backend))))
        if self.kind == "convolution":
            return x
        patches = stage.patches(self.index, self.patch_size, patching)
        if self.training or torch.is_grad_enabled():
            x = x + self.drop_path.apply_draw(self.attn(self.norm1(x), patches, stage.grid_coord), keep[0])
            return x + self.drop_path.apply_draw(self.mlp(self.norm2(x)), keep[1])
        # Without gradients the sums are in place: x was made in this call.
        x += self.attn(self.norm1(x), patches, stage.grid_coord)
        rows = rows_per_chunk(x, cast(MLP, self.mlp[0]).fc1.out_features)
        for chunk in x.split(rows) if rows else (x,):
            chunk += self.mlp(self.norm2(chunk))
        return x


def segment_max(
    x: Float[Tensor, "n c"], parent: Int64[Tensor, " n"], first: Int64[Tensor, " m"], backend: str = "auto"
) -> Float[Tensor, "m c"]:
    """Maximum over consecutive rows.

    Args:
        x: features.
        parent: the segment of each row, ascending.
        first: the first row of each segment.
        backend: "auto", "torch" or "torch-scatter". Rows that share a maximum share its gradient in torch;
            torch-scatter gives all of it to one of them.

    Examples:
        >>> segment_max(torch.tensor([[1.0], [3.0], [2.0]]), torch.tensor([0, 0, 1]), torch.tensor([0, 2])).tolist()
        [[3.0], [2.0]]
    """
    backends.check_choice("reduction", backend, x.device)
    if backend == "torch-scatter" or (backend == "auto" and backends.TORCH_SCATTER is not None and x.is_cuda):
        assert backends.TORCH_SCATTER is not None
        return backends.TORCH_SCATTER.segment_csr(x, torch.cat([first, first.new_tensor([len(x)])]), reduce="max")
    lowest = x.new_full((len(first), x.shape[1]), -torch.inf)
    return lowest.scatter_reduce(0, parent[:, None].expand_as(x), x, "amax")


class Pooling(nn.Module):
    """``GELU(BN(max(Linear(x))))``, the maximum being over the voxels inside each coarse voxel.

    Args:
        in_channels: width of the finer stage.
        channels: width of the coarser stage.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)
        self.norm = nn.Sequential(batch_norm(channels))
        self.backend = "auto"

    def forward(
        self, x: Float[Tensor, "n c_in"], parent: Int64[Tensor, " n"], first: Int64[Tensor, " m"]
    ) -> Float[Tensor, "m c"]:
        """Pool rows; ``parent`` and ``first`` are those of `StageGeometry.coarser`.

        Args:
            x: (n, c_in) rows of the finer stage.
            parent: (n,) coarse row of each finer row.
            first: (m,) the first finer row of each coarse row.
        """
        return nn.functional.gelu(self.norm(segment_max(self.proj(x), parent, first, self.backend)))


class Unpooling(nn.Module):
    """``skip + coarse[parent]``, both projected by ``GELU(BN(Linear(.)))`` first.

    Returns the sum, and the projected skip features alone: the published network feeds only these to the positional
    convolution of the first block of a decoder stage (its sparse tensor is not updated after the sum), and published
    weights are trained that way.

    Args:
        in_channels: width of the coarser stage.
        skip_channels: width of the encoder's finer stage.
        channels: width of the result.
    """

    def __init__(self, in_channels: int, skip_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Linear(in_channels, channels), batch_norm(channels), nn.GELU())
        self.proj_skip = nn.Sequential(nn.Linear(skip_channels, channels), batch_norm(channels), nn.GELU())

    def forward(
        self, coarse: Float[Tensor, "m c_in"], skip: Float[Tensor, "n c_skip"], parent: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
        """Join coarse rows with the finer stage; ``parent`` is the coarse row of each finer row.

        Args:
            coarse: (m, c_in) rows.
            skip: (n, c_skip) rows of the encoder's finer stage.
            parent: (n,) coarse row of each finer row.
        """
        skip = self.proj_skip(skip)
        return skip + self.proj(coarse).index_select(0, parent), skip
