"""Point Transformer V3 (Wu et al., CVPR 2024) for semantic segmentation, in pure torch.

An encoder of five stages, each at half the resolution of the one before, and a decoder of four with skip connections.
In evaluation mode the logits of a cloud are a function of that cloud alone: not of its batch, nor of the order of its
rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from topokd.errors import DataError, ParameterError
from topokd.models import backends
from topokd.models.attention import PatchAttention
from topokd.models.blocks import Block, DropPath, Embedding, Pooling, Unpooling
from topokd.models.convolution.layer import SubmanifoldConv
from topokd.models.serialization import CURVES, MAX_DEPTH
from topokd.models.stage import Stage
from topokd.models.tap import Tap


@dataclass(frozen=True)
class Config:
    """Shape of a network. Decoder entries run from the finest stage to the coarsest (NOTES row 9).

    Raises :class:`ParameterError` for what no network can be built from.
    """

    enc_depths: tuple[int, ...]
    enc_channels: tuple[int, ...]
    enc_num_head: tuple[int, ...]
    dec_depths: tuple[int, ...]
    dec_channels: tuple[int, ...]
    dec_num_head: tuple[int, ...]
    patch_size: int = 1024
    stride: tuple[int, ...] = (2, 2, 2, 2)
    mlp_ratio: int = 4
    drop_path: float = 0.3
    drop_path_per: str = "voxel"  # "voxel" as published, or "cloud"
    orders: tuple[str, ...] = CURVES
    shuffle_orders: bool = True  # in training mode, at each stage
    patching: str = "per_cloud"  # or "batch": one patch size for all clouds, as the published code without flash-attn

    def __post_init__(self) -> None:
        for name, known in (("patching", ("per_cloud", "batch")), ("drop_path_per", ("voxel", "cloud"))):
            if getattr(self, name) not in known:
                raise ParameterError(f"{name} is {getattr(self, name)!r}; choose {' or '.join(known)}")
        if not 0 <= self.drop_path < 1:
            raise ParameterError(f"drop_path is {self.drop_path}; it is a rate from 0 to below 1")
        if self.patch_size < 1:
            raise ParameterError(f"patch_size is {self.patch_size}; a patch holds at least 1 voxel")
        if not self.orders or (unknown := [order for order in self.orders if order not in CURVES]):
            told = f"holds unknown curves ({', '.join(map(str, unknown))})" if self.orders else "is empty"
            raise ParameterError(f"orders {told}; known: {', '.join(CURVES)}")
        for stride in self.stride:
            if stride < 2 or stride & (stride - 1):
                raise ParameterError(f"stride holds {stride}; each is a power of two from 2 on")
        stages = len(self.enc_depths)
        for name in ("enc_channels", "enc_num_head", "stride", "dec_depths", "dec_channels", "dec_num_head"):
            needed = stages if name.startswith("enc") else stages - 1
            if len(getattr(self, name)) != needed:
                raise ParameterError(
                    f"{name} has {len(getattr(self, name))} entries, but enc_depths has {stages}: give {needed}"
                )
        for part in ("enc", "dec"):
            for channels, heads in zip(
                getattr(self, f"{part}_channels"), getattr(self, f"{part}_num_head"), strict=True
            ):
                if heads < 1 or channels < 1 or channels % heads:
                    raise ParameterError(f"{part}_channels: {channels} channels cannot be split over {heads} heads")


class PointTransformerV3(nn.Module):
    """The segmentation network: ``backbone`` and a linear ``seg_head``.

    Call it with a Batch or a mapping of ``grid_coord`` (n, 3) whole numbers from 0, ``feat`` (n, in_channels) and
    ``offset`` or ``offsets`` (b,) cumulative counts; it returns logits (n, num_classes) in the input's row order, and
    with ``taps=True`` also one :class:`Tap` per encoder stage. ``coord`` may be there and is not read: put it into
    ``feat``.

    In training mode the curves are shuffled at each stage and residual branches dropped. Both draw from ``generator``
    (a CPU generator), or from torch's global one while that is None: a resumed run has to restore that state.
    In float16 a value may pass 65504. A gradient scaler skips the step where that befalls the gradients; where it
    befalls the forward pass, BatchNorm's running statistics are spoilt as well, so infinite logits raise
    :class:`DataError` in either mode, and training has to go on from its last saved state. bfloat16 has float32's
    range.
    ``permutations`` sets the shuffles by hand, one permutation of the curves per stage, in either mode.

    >>> from topokd.models import build_model
    >>> model = build_model("ptv3-tiny").eval()
    >>> pair = torch.tensor([[0, 0, 0], [0, 0, 1]])
    >>> logits, taps = model({"grid_coord": pair, "feat": torch.rand(2, 4), "offset": torch.tensor([2])}, taps=True)
    >>> logits.shape, len(taps), taps[1].grid_coord.tolist()
    (torch.Size([2, 16]), 5, [[0, 0, 0]])
    """

    def __init__(self, config: Config, in_channels: int = 4, num_classes: int = 16) -> None:
        super().__init__()
        self.config, self.in_channels, self.num_classes = config, in_channels, num_classes
        self.generator: torch.Generator | None = None
        self.preset = ""  # build_model writes its name here; checkpoints quote it
        self.backbone = _Backbone(config, in_channels)
        self.seg_head = nn.Linear(config.dec_channels[0], num_classes)

    def forward(
        self, inputs: Any, taps: bool = False, permutations: Sequence[Sequence[int]] | None = None
    ) -> Float[Tensor, "n k"] | tuple[Float[Tensor, "n k"], tuple[Tap, ...]]:
        """Logits of each voxel. Raises :class:`DataError` for an input that is not a batch of voxelised clouds."""
        feat, grid_coord, sizes = self._read(inputs)
        curves = self._curves(permutations)
        patching = self.config.patching
        stage, row = Stage.from_voxels(grid_coord, sizes, next(curves), common_depth=patching == "batch")
        self._refuse_single_row(stage)

        x = self.backbone.embedding(feat.index_select(0, row), stage)
        passed, readings = [], []
        for level, stride in zip(self.backbone.encoder, (1, *self.config.stride), strict=True):
            if level.down is not None:
                coarse, parent, first = stage.coarser(stride, next(curves))
                passed.append((x, stage, parent))
                x, stage = level.down(x, parent, first), coarse
            x = level(x, stage, patching)
            readings.append((x, stage))
        for level in self.backbone.decoder:
            skip, stage, parent = passed.pop()
            x, skip = level.up(x, skip, parent)
            x = level(x, stage, patching, position=skip)

        back = torch.empty_like(row).scatter_(0, row, torch.arange(len(row), device=row.device))
        logits = self.seg_head(x).index_select(0, back)
        if logits.dtype == torch.float16 and not bool(logits.isfinite().all()):
            spoilt = "; BatchNorm's running statistics may be spoilt: go on from the last saved state"
            raise DataError(
                "the logits are not finite in float16, which ends at 65504: use bfloat16 or float32 (amp: bf16, off)"
                + spoilt * self.training
            )
        if not taps:
            return logits
        return logits, tuple(Tap(x, s.grid_coord, s.offsets) for x, s in readings)

    def set_generator(self, generator: torch.Generator | None) -> None:
        """Let all draws of training mode come from ``generator`` (on the CPU), or from torch's global one for None."""
        self.generator = generator
        for module in self.modules():
            if isinstance(module, DropPath):
                module.generator = generator

    def set_backends(self, **chosen: str) -> PointTransformerV3:
        """Force who computes: ``convolution``, ``attention`` or ``reduction`` = "auto", "torch", or an accelerator.

        The accelerators are "spconv", "flash-attn" and "torch-scatter" (see :mod:`topokd.models.backends`). Raises
        :class:`ParameterError` for an unknown one; one that cannot work on the input's device is refused at the call.
        Returns the network itself.

        >>> from topokd.models import build_model
        >>> model = build_model("ptv3-tiny").set_backends(convolution="torch", attention="torch")
        """
        layers = {"convolution": SubmanifoldConv, "attention": PatchAttention, "reduction": Pooling}
        if unknown := set(chosen) - set(layers):
            raise ParameterError(f"no backends are chosen for {', '.join(sorted(unknown))}; known: {', '.join(layers)}")
        for kind, backend in chosen.items():
            backends.check_choice(kind, backend)
        for kind, backend in chosen.items():
            for module in self.modules():
                if isinstance(module, layers[kind]):
                    cast(Any, module).backend = backend
        return self

    def set_checkpointing(self, on: bool = True) -> PointTransformerV3:
        """Let the backward pass compute each block again instead of keeping what is inside it: less memory, more time.

        Values, gradients and random draws stay the same. Returns the network itself.
        """
        for module in self.modules():
            if isinstance(module, Block):
                module.checkpointing = on
        return self

    def _curves(self, permutations: Sequence[Sequence[int]] | None) -> Iterator[tuple[str, ...]]:
        """The curves of stage 0, 1, ...; a stage shuffles what the one before it used."""
        orders = self.config.orders
        for stage in itertools.count():
            if permutations is not None:
                orders = tuple(orders[i] for i in permutations[stage])
            elif self.training and self.config.shuffle_orders:
                orders = tuple(orders[i] for i in torch.randperm(len(orders), generator=self.generator).tolist())
            yield orders

    def _read(self, inputs: Any) -> tuple[Float[Tensor, "n c"], Int64[Tensor, "n 3"], tuple[int, ...]]:
        """Take features, voxel coordinates and cloud sizes out of a Batch or mapping, and check them."""
        if isinstance(inputs, Mapping):
            missing = [k for k in ("feat", "grid_coord") if k not in inputs]
            offsets = inputs.get("offsets", inputs.get("offset"))
            if missing or offsets is None:
                raise DataError(f"the input lacks {', '.join(missing) or 'offset'}: give grid_coord, feat and offset")
            feat, grid_coord = inputs["feat"], inputs["grid_coord"]
        elif missing := [k for k in ("feat", "grid_coord", "offsets") if not hasattr(inputs, k)]:
            raise DataError(
                f"the input is of type {type(inputs).__name__} and has no {', '.join(missing)}: give a Batch, or a "
                "dictionary of grid_coord, feat and offset"
            )
        else:
            feat, grid_coord, offsets = inputs.feat, inputs.grid_coord, inputs.offsets
        for name, value in (("feat", feat), ("grid_coord", grid_coord)):
            if not isinstance(value, Tensor):
                raise DataError(f"{name} is of type {type(value).__name__}: give a tensor (torch.as_tensor(...))")
        n = len(feat) if feat.ndim else 0
        if feat.ndim != 2 or feat.shape[1] != self.in_channels:
            raise DataError(f"feat has shape {tuple(feat.shape)}; this network reads (n, {self.in_channels})")
        wanted = self.seg_head.weight.dtype
        if feat.dtype != wanted and not (feat.is_floating_point() and torch.is_autocast_enabled(feat.device.type)):
            raise DataError(f"feat holds {feat.dtype}, but the network's weights are {wanted}: give feat.to({wanted})")
        _require_finite("feat", feat)
        if grid_coord.shape != (n, 3):
            raise DataError(
                f"grid_coord has shape {tuple(grid_coord.shape)} beside {n} rows of feat; it must be ({n}, 3)"
            )
        if grid_coord.is_floating_point():
            _require_finite("grid_coord", grid_coord)
            if not torch.equal(grid_coord, grid_coord.round()):
                raise DataError("grid_coord holds fractions: give whole voxel numbers, floor(xyz / voxel_size)")
        ends = [0, *_whole_numbers(offsets)]
        sizes = tuple(b - a for a, b in itertools.pairwise(ends))
        if ends[-1] != n or not sizes:
            raise DataError(
                f"offset ends at {ends[-1]}, but there are {n} voxels: offset is the cumulative count of voxels"
            )
        if min(sizes) < 1:
            raise DataError(
                f"cloud {sizes.index(min(sizes))} of the batch has {min(sizes)} voxels: leave empty clouds out"
            )
        grid_coord = grid_coord.long()
        if int(grid_coord.min()) < 0:
            raise DataError(
                f"grid_coord has negative entries (least {int(grid_coord.min())}): subtract each cloud's minimum"
            )
        return feat, grid_coord, sizes

    def _refuse_single_row(self, stage: Stage) -> None:
        """BatchNorm has no variance to take of the single row that a small cloud comes to; say so before it stumbles.

        Rows are in z order, so all of them fall into one coarsest cell if the first and the last do.
        """
        coarsest = self.backbone.encoder[-1] if self.config.stride else self.backbone.embedding
        bits = min(3 * sum(stride.bit_length() - 1 for stride in self.config.stride), 3 * MAX_DEPTH)
        if (
            self.training
            and len(stage.sizes) == 1
            and any(isinstance(m, nn.BatchNorm1d) and m.training for m in coarsest.modules())
            and bool(stage.z[0] >> bits == stage.z[-1] >> bits)
        ):
            raise DataError(
                f"the batch is one cloud of {len(stage.z)} voxels, a single row at the coarsest stage, where BatchNorm "
                "needs two in training mode: leave the cloud out, or put more clouds into the batch"
            )


def _require_finite(name: str, value: Tensor) -> None:
    finite = value.isfinite().all(1)
    if not bool(finite.all()):
        row = int((~finite).nonzero()[0])
        raise DataError(f"{name} holds NaN or infinity, first in row {row}: leave such points out")


def _whole_numbers(offsets: Any) -> list[int]:
    """The entries of ``offset``: a list, or a 1-d tensor of any integer type."""
    if isinstance(offsets, Tensor):
        whole = not (offsets.is_floating_point() or offsets.is_complex() or offsets.dtype == torch.bool)
        if offsets.ndim == 1 and (whole or not len(offsets)):
            return offsets.tolist()
        given = f"{offsets.dtype} of shape {tuple(offsets.shape)}"
    else:
        if isinstance(offsets, list | tuple) and all(isinstance(v, Integral) for v in offsets):
            return [int(v) for v in offsets]
        given = type(offsets).__name__ + (" of other things" if isinstance(offsets, list | tuple) else "")
    raise DataError(
        f"offset is {given}: give the cumulative counts of voxels as a 1-d tensor or a list of whole numbers"
    )


class _Level(nn.Module):
    """One stage of the encoder or decoder: how its rows come about (``down``, ``up``), then block0, block1, ..."""

    down: Pooling | None
    up: Unpooling

    def __init__(self, down: Pooling | None, up: Unpooling | None, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.register_module("down", down)
        self.register_module("up", up)
        self.depth = len(blocks)
        for i, block in enumerate(blocks):
            self.add_module(f"block{i}", block)

    def forward(self, x: Tensor, stage: Stage, patching: str, position: Tensor | None = None) -> Tensor:
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
            blocks = [_block(config, width, config.enc_num_head[s], next(rates), i) for i in range(depth)]
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
        """Stages in the order they run in."""
        return [cast(_Level, level) for level in self.enc.values()]

    @property
    def decoder(self) -> list[_Level]:
        """Stages in the order they run in."""
        return [cast(_Level, level) for level in self.dec.values()]


def _rising(top: float, count: int) -> list[float]:
    """Drop rates from 0 for the first block to ``top`` for the last."""
    return [top * i / max(count - 1, 1) for i in range(count)]


def _block(config: Config, width: int, heads: int, rate: float, index: int) -> Block:
    return Block(width, heads, config.patch_size, config.mlp_ratio, rate, config.drop_path_per, index)
