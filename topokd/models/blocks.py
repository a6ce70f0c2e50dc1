"""The parts a Point Transformer V3 is made of. Attribute names are those of published checkpoints."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from topokd.models import backends
from topokd.models.attention import PatchAttention
from topokd.models.convolution.layer import SubmanifoldConv
from topokd.models.stage import Stage


def batch_norm(channels: int) -> nn.BatchNorm1d:
    """Batch normalisation with the published network's constants."""
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)


class Embedding(nn.Module):
    """5x5x5 submanifold convolution, batch normalisation, GELU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.ModuleDict(
            {"conv": SubmanifoldConv(in_channels, channels, 5, bias=False), "norm": batch_norm(channels)}
        )

    def forward(self, feat: Float[Tensor, "n c_in"], stage: Stage) -> Float[Tensor, "n c"]:
        """Embed input features."""
        conv = cast(SubmanifoldConv, self.stem["conv"])
        return nn.functional.gelu(self.stem["norm"](conv(feat, stage.neighbours(5, conv.backend))))


class MLP(nn.Module):
    """Linear, GELU, Linear."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, x: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """Transform each row."""
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class DropPath(nn.Module):
    """Drop a residual branch at random and scale what is kept by ``1 / (1 - rate)`` (stochastic depth).

    ``per="voxel"`` draws for each row, which is what the published network does; ``"cloud"`` for each cloud. Draws
    come from ``generator``, a CPU generator, or torch's global one when it is None.
    """

    def __init__(self, rate: float, per: str = "voxel") -> None:
        super().__init__()
        self.rate, self.per = rate, per
        self.generator: torch.Generator | None = None

    def forward(self, x: Float[Tensor, "n c"], stage: Stage) -> Float[Tensor, "n c"]:
        """Drop rows in training mode; the identity in evaluation mode."""
        return self.apply_draw(x, self.draw(stage))

    def draw(self, stage: Stage) -> Bool[Tensor, " n"] | None:
        """Which rows of ``stage`` are kept; None where all are."""
        if not self.training or self.rate == 0:
            return None
        draws = sum(stage.sizes) if self.per == "voxel" else len(stage.sizes)
        kept = torch.rand(draws, generator=self.generator) >= self.rate
        return kept if self.per == "voxel" else kept.to(stage.cloud.device).take(stage.cloud)

    def apply_draw(self, x: Float[Tensor, "n c"], kept: Bool[Tensor, " n"] | None) -> Float[Tensor, "n c"]:
        """Drop what ``draw`` does not keep."""
        return x if kept is None else x * (kept.to(x) / (1 - self.rate))[:, None]


class Block(nn.Module):
    """x + LN(nn.Linear(conv(x))), then attention and MLP, each pre-normalised and residual."""

    def __init__(
        self,
        channels: int,
        heads: int,
        patch_size: int,
        mlp_ratio: int,
        drop_path: float,
        drop_path_per: str,
        index: int,
    ) -> None:
        super().__init__()
        self.index, self.patch_size = index, patch_size
        self.checkpointing = False  # see PointTransformerV3.set_checkpointing
        self.cpe = nn.ModuleList(
            [SubmanifoldConv(channels, channels, 3), nn.Linear(channels, channels), nn.LayerNorm(channels)]
        )
        self.norm1 = nn.Sequential(nn.LayerNorm(channels))
        self.attn = PatchAttention(channels, heads)
        self.norm2 = nn.Sequential(nn.LayerNorm(channels))
        self.mlp = nn.Sequential(MLP(channels, mlp_ratio * channels))
        self.drop_path = DropPath(drop_path, drop_path_per)

    def forward(
        self, x: Float[Tensor, "n c"], stage: Stage, patching: str, position: Float[Tensor, "n c"] | None = None
    ) -> Float[Tensor, "n c"]:
        """Transform the rows of ``stage``; the positional convolution reads ``position``, or x where that is None."""
        # Drawn here and not where they are used: a checkpointed block runs twice and must see the same draws.
        kept = self.drop_path.draw(stage), self.drop_path.draw(stage)
        position = x if position is None else position
        if not (self.checkpointing and torch.is_grad_enabled()):
            return self._transform(x, position, stage, patching, kept)
        return checkpoint(
            self._transform, x, position, stage, patching, kept, use_reentrant=False, preserve_rng_state=False
        )

    def _transform(
        self, x: Tensor, position: Tensor, stage: Stage, patching: str, kept: tuple[Tensor | None, Tensor | None]
    ) -> Tensor:
        conv, linear, norm = cast(SubmanifoldConv, self.cpe[0]), self.cpe[1], self.cpe[2]
        x = x + norm(linear(conv(position, stage.neighbours(3, conv.backend))))
        patches = stage.patches(self.index, self.patch_size, patching)
        if self.training or torch.is_grad_enabled():
            x = x + self.drop_path.apply_draw(self.attn(self.norm1(x), patches), kept[0])
            return x + self.drop_path.apply_draw(self.mlp(self.norm2(x)), kept[1])
        # The same sums in place: x is this block's own by now, and no gradient asks what it was.
        x += self.attn(self.norm1(x), patches)
        rows = backends.rows_at_once(x, cast(MLP, self.mlp[0]).fc1.out_features)
        for part in x.split(rows) if rows else (x,):
            part += self.mlp(self.norm2(part))
        return x


class Pooling(nn.Module):
    """Linear, maximum over the voxels that fall into one coarse voxel, batch normalisation, GELU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(in_channels, channels)
        self.norm = nn.Sequential(batch_norm(channels))
        self.backend = "auto"

    def forward(
        self, x: Float[Tensor, "n c_in"], parent: Int64[Tensor, " n"], first: Int64[Tensor, " m"]
    ) -> Float[Tensor, "m c"]:
        """Pool rows; ``parent`` and ``first`` as :meth:`Stage.coarser` returns them."""
        return nn.functional.gelu(self.norm(backends.segment_max(self.proj(x), parent, first, self.backend)))


class Unpooling(nn.Module):
    """skip + coarse[parent], both projected (Linear, batch normalisation, GELU) first.

    Returns the sum and the projected skip features by themselves. The published network feeds only the latter to the
    positional convolution of the decoder stage's first block (its sparse tensor is not refreshed after the sum), and
    published weights are trained that way.
    """

    def __init__(self, in_channels: int, skip_channels: int, channels: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(nn.Linear(in_channels, channels), batch_norm(channels), nn.GELU())
        self.proj_skip = nn.Sequential(nn.Linear(skip_channels, channels), batch_norm(channels), nn.GELU())

    def forward(
        self, coarse: Float[Tensor, "m c_in"], skip: Float[Tensor, "n c_skip"], parent: Int64[Tensor, " n"]
    ) -> tuple[Float[Tensor, "n c"], Float[Tensor, "n c"]]:
        """Join a coarse stage's rows with the finer stage's."""
        skip = self.proj_skip(skip)
        return skip + self.proj(coarse).index_select(0, parent), skip
