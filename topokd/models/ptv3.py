"""Point Transformer V3 (Wu et al., CVPR 2024) for semantic segmentation, in pure torch.

An encoder of five stages, each at half the resolution of the one before, and a decoder of four with skip connections.
In evaluation mode the logits of a cloud depend on that cloud alone: not on its batch, and not on the order of its rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from topokd.errors import DataError, ParameterError
from topokd.models import backends
from topokd.models.attention import PatchAttention
from topokd.models.blocks import Block, Embedding, Pooling, Unpooling
from topokd.models.config import Config
from topokd.models.convolution.layer import SubmanifoldConv
from topokd.models.inputs import parse_batch
from topokd.models.serialization import MAX_DEPTH
from topokd.models.stage import StageGeometry
from topokd.models.tap import Tap


class PointTransformerV3(nn.Module):
    """The segmentation network: ``backbone`` and a linear ``seg_head``.

    In training mode the curves are shuffled at each stage and rows of residual branches dropped. Both draw from the
    global generator of torch for the CPU; a resumed run has to restore its state.

    Args:
        config: depths, widths and options.
        in_channels: features per voxel.
        num_classes: logits per voxel.

    Examples:
        >>> from topokd.models import build_model
        >>> model = build_model("ptv3-tiny").eval()
        >>> pair = torch.tensor([[0, 0, 0], [0, 0, 1]])
        >>> batch = {"grid_coord": pair, "feat": torch.rand(2, 4), "offset": torch.tensor([2])}
        >>> logits, taps = model(batch, taps=True)
        >>> logits.shape, len(taps), taps[1].grid_coord.tolist()
        (torch.Size([2, 16]), 5, [[0, 0, 0]])
    """

    def __init__(self, config: Config, in_channels: int = 4, num_classes: int = 16) -> None:
        super().__init__()
        self.config, self.in_channels, self.num_classes = config, in_channels, num_classes
        self.preset = ""  # set by build_model, stored in checkpoints
        self.backbone = _Backbone(config, in_channels)
        self.seg_head = nn.Linear(config.dec_channels[0], num_classes)

    def forward(
        self, inputs: Any, taps: bool = False, permutations: Sequence[Sequence[int]] | None = None
    ) -> Float[Tensor, "n k"] | tuple[Float[Tensor, "n k"], tuple[Tap, ...]]:
        """Compute the logits of each voxel.

        Args:
            inputs: a Batch or a mapping of ``grid_coord`` (n, 3) whole numbers from 0, ``feat`` (n, in_channels) and
                ``offset`` or ``offsets`` (b,) cumulative voxel counts. ``coord`` may be present and is not read: put
                coordinates into ``feat``.
            taps: also return the features of each encoder stage.
            permutations: shuffles of the curves, one permutation per stage, used in either mode in place of random
                ones.

        Returns:
            Logits (n, num_classes) in the row order of the input; with ``taps`` also one `Tap` per stage.

        Raises:
            DataError: if the input is not a batch of voxelised clouds, or if float16 overflows (it ends at 65504).
                A gradient scaler skips steps with overflowing gradients. If the forward pass overflows in training, the
                running statistics of BatchNorm are corrupted too: resume from the last checkpoint. bfloat16 has the
                range of float32.
        """
        feat, grid_coord, sizes = parse_batch(inputs, self.in_channels, self.seg_head.weight.dtype)
        curves = self._curves(permutations)
        patching = self.config.patching
        stage, row = StageGeometry.from_voxels(grid_coord, sizes, next(curves), common_depth=patching == "batch")
        self._require_two_coarsest_rows(stage)

        x = self.backbone.embedding(feat.index_select(0, row), stage)
        skips, stages = [], []
        for level, stride in zip(self.backbone.encoder, (1, *self.config.stride), strict=True):
            if level.down is not None:
                coarse, parent, first = stage.coarser(stride, next(curves))
                skips.append((x, stage, parent))
                x, stage = level.down(x, parent, first), coarse
            x = level(x, stage, patching)
            stages.append((x, stage))
        for level in self.backbone.decoder:
            skip, stage, parent = skips.pop()
            x, skip = level.up(x, skip, parent)
            x = level(x, stage, patching, position=skip)

        back = torch.empty_like(row).scatter_(0, row, torch.arange(len(row), device=row.device))
        logits = self.seg_head(x).index_select(0, back)
        if logits.dtype == torch.float16 and not bool(logits.isfinite().all()):
            raise DataError(self._explain_overflow())
        if not taps:
            return logits
        return logits, tuple(Tap(x, stage.grid_coord, stage.offsets) for x, stage in stages)

    def set_backends(self, **choices: str) -> PointTransformerV3:
        """Choose what computes: see `topokd.models.backends`.

        Args:
            choices: ``convolution`` ("auto", "torch", "spconv"), ``attention`` ("auto", "torch", "flash-attn") or
                ``reduction`` ("auto", "torch", "torch-scatter").

        Returns:
            The network itself.

        Raises:
            ParameterError: for an unknown backend. A backend that cannot run on the device of the input raises when
                the network is called.

        Examples:
            >>> from topokd.models import build_model
            >>> model = build_model("ptv3-tiny").set_backends(convolution="torch", attention="torch")
        """
        layers = {"convolution": SubmanifoldConv, "attention": PatchAttention, "reduction": Pooling}
        if unknown := set(choices) - set(layers):
            raise ParameterError(
                f"backends cannot be chosen for {', '.join(sorted(unknown))}: choose from {', '.join(layers)}"
            )
        for kind, backend in choices.items():
            backends.check_choice(kind, backend)
        for kind, backend in choices.items():
            for module in self.modules():
                if isinstance(module, layers[kind]):
                    cast(Any, module).backend = backend
        return self

    def set_checkpointing(self, on: bool = True) -> PointTransformerV3:
        """Recompute each block in the backward pass instead of storing its activations: less memory, more time.

        Values, gradients and random draws stay the same.

        Returns:
            The network itself.
        """
        for module in self.modules():
            if isinstance(module, Block):
                module.checkpointing = on
        return self

    def _curves(self, permutations: Sequence[Sequence[int]] | None) -> Iterator[tuple[str, ...]]:
        """The curves of stage 0, 1, ...; each stage permutes those of the stage before."""
        orders = self.config.orders
        for stage in itertools.count():
            if permutations is not None:
                orders = tuple(orders[i] for i in permutations[stage])
            elif self.training and self.config.shuffle_orders:
                orders = tuple(orders[i] for i in torch.randperm(len(orders)).tolist())
            yield orders

    def _require_two_coarsest_rows(self, stage: StageGeometry) -> None:
        """Raise a clear error if BatchNorm would get a single row, which has no variance.

        Rows are in z order, so all of them fall into one coarsest cell if the first and the last do.
        """
        coarsest = self.backbone.encoder[-1] if self.config.stride else self.backbone.embedding
        bits = min(3 * sum(stride.bit_length() - 1 for stride in self.config.stride), 3 * MAX_DEPTH)
        if (
            self.training
            and len(stage.sizes) == 1
            and any(type(m) is nn.BatchNorm1d and m.training for m in coarsest.modules())
            and bool(stage.z[0] >> bits == stage.z[-1] >> bits)
        ):
            raise DataError(
                f"the batch is one cloud of {len(stage.z)} voxels, a single row at the coarsest stage, where BatchNorm "
                "needs two in training mode: leave the cloud out, or put more clouds into the batch"
            )

    def _explain_overflow(self) -> str:
        message = "the logits overflow float16, which ends at 65504: use bfloat16 or float32 (amp: bf16, off)"
        if self.training:
            message += "; the running statistics of BatchNorm may be corrupted: resume from the last checkpoint"
        return message


class _Level(nn.Module):
    """One stage of the encoder or decoder: pooling (``down``) or unpooling (``up``), then block0, block1, ..."""

    down: Pooling | None
    up: Unpooling

    def __init__(self, down: Pooling | None, up: Unpooling | None, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.register_module("down", down)
        self.register_module("up", up)
        self.depth = len(blocks)
        for i, block in enumerate(blocks):
            self.add_module(f"block{i}", block)

    def forward(self, x: Tensor, stage: StageGeometry, patching: str, position: Tensor | None = None) -> Tensor:
        for i in range(self.depth):
            x, position = self.get_submodule(f"block{i}")(x, stage, patching, position), None  # for block0 only
        return x


class _Backbone(nn.Module):
    """Embedding, encoder (enc0, enc1, ...) and decoder (..., dec1, dec0), under the published names."""

    def __init__(self, config: Config, in_channels: int) -> None:
        super().__init__()
        self.embedding = Embedding(in_channels, config.enc_channels[0])
        rates = iter(_rising(config.drop_path, sum(config.enc_depths)))
        self.enc = nn.ModuleDict()
        for s, (depth, width) in enumerate(zip(config.enc_depths, config.enc_channels, strict=True)):
            down = Pooling(config.enc_channels[s - 1], width) if s else None
            kind = config.blocks_of(s)
            blocks = [_block(config, width, config.enc_num_head[s], next(rates), i, kind) for i in range(depth)]
            self.enc[f"enc{s}"] = _Level(down, None, blocks)
        drops = _rising(config.drop_path, sum(config.dec_depths))
        widths = (*config.dec_channels, config.enc_channels[-1])
        self.dec = nn.ModuleDict()
        for s in reversed(range(len(config.dec_depths))):  # the coarsest stage runs first
            before = sum(config.dec_depths[:s])
            falling = reversed(drops[before : before + config.dec_depths[s]])
            blocks = [_block(config, widths[s], config.dec_num_head[s], rate, i) for i, rate in enumerate(falling)]
            self.dec[f"dec{s}"] = _Level(None, Unpooling(widths[s + 1], config.enc_channels[s], widths[s]), blocks)

    @property
    def encoder(self) -> list[_Level]:
        """Stages in the order in which they run."""
        return [cast(_Level, level) for level in self.enc.values()]

    @property
    def decoder(self) -> list[_Level]:
        """Stages in the order in which they run."""
        return [cast(_Level, level) for level in self.dec.values()]


def _rising(top: float, count: int) -> list[float]:
    """Drop rates from 0 for the first block to ``top`` for the last."""
    return [top * i / max(count - 1, 1) for i in range(count)]


def _block(config: Config, width: int, heads: int, rate: float, index: int, kind: str = "both") -> Block:
    per, base = config.drop_path_per, config.rope_base
    return Block(width, heads, config.patch_size, config.mlp_ratio, rate, per, index, kind, base)
