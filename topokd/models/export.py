"""The network as a fixed graph: ``torch.export`` and ONNX.

Neighbours, pooling and positions on the curves depend on the cloud, and no graph format expresses
that well. The graph therefore holds everything that has weights, and all integers are inputs, like the features:
`structure` computes them from ``grid_coord`` with the same code that the network uses. All sizes are dynamic: one
exported file serves clouds of any size. The weights, evaluation mode, float32, the order of the curves, and one cloud
per call are fixed; the last costs nothing, as the logits of a cloud never depend on its batch.

| input (stage s) | shape | meaning |
|---|---|---|
| ``feat`` | (n0, c) | features in the row order of the caller |
| ``row``, ``back`` | (n0,) | input row of each row of stage 0, and the other way round |
| ``neighbours5`` | (n0, 125) | row of the voxel at each offset of the 5x5x5 kernel; n0 if there is none |
| ``neighbours{s}`` | (n_s, 27) | the same for 3x3x3 |
| ``patches{s}_{k}`` | (p, K) | rows of each attention patch on the k-th curve |
| ``place{s}_{k}`` | (n_s,) | which entry of the flattened patches gives each row its result |
| ``children{s}`` | (n_s, 8) | finer rows of each coarse row, the last one repeated |
| ``parent{s}`` | (n_{s-1},) | coarse row of each finer row |
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from topokd.errors import ParameterError
from topokd.io import atomic_path, write_bytes
from topokd.models.attention import PatchAttention
from topokd.models.blocks import Block, Embedding, Pooling, Unpooling
from topokd.models.convolution.layer import SubmanifoldConv
from topokd.models.convolution.table import find_table
from topokd.models.inputs import parse_batch
from topokd.models.modes import evaluation_mode
from topokd.models.patches import Patches
from topokd.models.ptv3 import PointTransformerV3
from topokd.models.stage import StageGeometry

Structure = dict[str, Tensor]
_OFFSETS_PER_PRODUCT = 27  # kernel offsets gathered at a time: a balance of memory and number of operations


def structure(model: PointTransformerV3, grid_coord: Tensor) -> Structure:
    """Compute the integer inputs of the exported network for one cloud, on the CPU.

    Args:
        model: the network that was exported.
        grid_coord: (n, 3) voxel indices from 0.

    Returns:
        The tensors of the table at the top of this module, by name.

    Raises:
        DataError: for input that the network rejects: duplicate or negative voxels, fractions, too large a grid.

    Examples:
        >>> from topokd.models import build_model
        >>> line = torch.tensor([[0, 0, 0], [0, 0, 1], [4, 0, 0]])
        >>> integers = structure(build_model("ptv3-tiny"), line)
        >>> integers["parent1"].tolist(), integers["children1"][:, :2].tolist()
        ([0, 0, 1], [[0, 1], [2, 2]])
    """
    config, n = model.config, len(grid_coord)
    feat = torch.zeros(n, model.in_channels, dtype=model.seg_head.weight.dtype)
    _, grid, sizes = parse_batch(
        {"feat": feat, "grid_coord": grid_coord.cpu(), "offset": [n]}, model.in_channels, feat.dtype
    )
    stage, row = StageGeometry.from_voxels(grid, sizes, config.orders, common_depth=False)
    integers = {"row": row, "back": torch.empty_like(row).scatter_(0, row, torch.arange(n))}
    integers["neighbours5"] = _table(stage, 5)
    for s, stride in enumerate((1, *config.stride)):
        if s:
            stage, parent, first = stage.coarser(stride, config.orders)
            last = torch.cat([first[1:], torch.tensor([len(parent)])]) - 1
            integers[f"parent{s}"] = parent
            integers[f"children{s}"] = torch.minimum(first[:, None] + torch.arange(stride**3), last[:, None])
        integers[f"neighbours{s}"] = _table(stage, 3)
        for k in range(_curves(model, s)):
            patches = stage.patches(k, config.patch_size, "per_cloud")
            integers[f"patches{s}_{k}"] = _rectangle(patches)
            integers[f"place{s}_{k}"] = patches.back
    return integers


def _curves(model: PointTransformerV3, stage: int) -> int:
    """Number of curves that the blocks of a stage follow."""
    config = model.config
    depths = [config.enc_depths[stage], *config.dec_depths[stage : stage + 1]]
    return min(max(depths), len(config.orders))


def _rectangle(patches: Patches) -> Int64[Tensor, "p k"]:
    """Rows of each patch: the patches of one cloud all have one size, full ones or a single short one."""
    return patches.rows.view(-1, patches.size) if patches.num_full else patches.rows[None]


def _table(stage: StageGeometry, kernel_size: int) -> Int64[Tensor, "n k3"]:
    """Row of the voxel at each offset of the kernel; n if there is none."""
    return find_table(stage.grid_coord, stage.cloud, kernel_size).table.long()


class ExportableNetwork(nn.Module):
    """The layers of a network with all integers as inputs; its logits are those of the network up to rounding.

    Raises:
        ParameterError: if the config has patching="batch".

    Examples:
        >>> from topokd.models import build_model
        >>> model = build_model("ptv3-tiny").eval()
        >>> grid, feat = torch.tensor([[0, 0, 0], [0, 0, 1], [4, 0, 0]]), torch.rand(3, 4)
        >>> logits = ExportableNetwork(model)(feat, structure(model, grid))
        >>> expected = model({"feat": feat, "grid_coord": grid, "offset": torch.tensor([3])})
        >>> torch.allclose(logits, expected, atol=1e-5)
        True
    """

    def __init__(self, model: PointTransformerV3) -> None:
        super().__init__()
        if model.config.patching != "per_cloud":
            raise ParameterError(
                f"patching={model.config.patching!r} depends on the batch: export a network with patching='per_cloud'"
            )
        if set(model.config.enc_blocks) - {"both"}:
            raise ParameterError(
                f"enc_blocks={model.config.enc_blocks}: only a network whose blocks are all 'both' can be exported"
            )
        self.model = model

    def forward(self, feat: Float[Tensor, "n c"], integers: Structure) -> Float[Tensor, "n k"]:
        """Logits in the row order of ``feat``; ``integers`` come from `structure`."""
        backbone = self.model.backbone
        x = _embed(backbone.embedding, feat.index_select(0, integers["row"]), integers["neighbours5"])
        skips = []
        for s, level in enumerate(backbone.encoder):
            if level.down is not None:
                skips.append(x)
                x = _pool(level.down, x, integers[f"children{s}"])
            x = _blocks(level, x, x, s, integers)
        for s, level in zip(reversed(range(len(skips))), backbone.decoder, strict=True):
            x, skip = cast(Unpooling, level.up)(x, skips.pop(), integers[f"parent{s + 1}"])
            x = _blocks(level, x, skip, s, integers)
        return self.model.seg_head(x).index_select(0, integers["back"])


def _blocks(level: Any, x: Tensor, position: Tensor, s: int, integers: Structure) -> Tensor:
    """The blocks of a stage; only the convolution of the first reads ``position``."""
    curves = sum(name.startswith(f"patches{s}_") for name in integers)
    for i in range(level.depth):
        block = cast(Block, level.get_submodule(f"block{i}"))
        k = i % curves
        convolved = _convolve(cast(SubmanifoldConv, block.cpe[0]), position, integers[f"neighbours{s}"])
        x = x + block.cpe[2](block.cpe[1](convolved))
        x = x + _attend(block.attn, block.norm1(x), integers[f"patches{s}_{k}"], integers[f"place{s}_{k}"])
        x = position = x + block.mlp(block.norm2(x))
    return x


def _embed(layer: Embedding, feat: Tensor, neighbours: Tensor) -> Tensor:
    return gelu(layer.stem["norm"](_convolve(cast(SubmanifoldConv, layer.stem["conv"]), feat, neighbours)))


def _pool(layer: Pooling, x: Tensor, children: Tensor) -> Tensor:
    return gelu(layer.norm(layer.proj(x)[children].amax(1)))


def _convolve(layer: SubmanifoldConv, feat: Tensor, neighbours: Tensor) -> Tensor:
    """Gather the neighbours (zeros if there is none) of some offsets at a time, and multiply."""
    kernel = layer.weight.flatten(1, 3)  # (c_out, k^3, c_in)
    padded = torch.cat([feat, feat.new_zeros(1, feat.shape[1])])
    out = None
    for begin in range(0, kernel.shape[1], _OFFSETS_PER_PRODUCT):
        part = slice(begin, begin + _OFFSETS_PER_PRODUCT)
        product = padded[neighbours[:, part]].flatten(1) @ kernel[:, part].flatten(1).t()
        out = product if out is None else out + product
    assert out is not None
    return out if layer.bias is None else out + layer.bias


def _attend(layer: PatchAttention, x: Tensor, patches: Tensor, place: Tensor) -> Tensor:
    qkv = layer.qkv(x)[patches]  # (p, K, 3 c)
    q, k, v = qkv.unflatten(2, (3, layer.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)  # (p, heads, K, width)
    out = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).flatten(0, 1)
    return layer.proj(out.index_select(0, place))


def example_inputs(model: PointTransformerV3) -> tuple[Tensor, Structure]:
    """Inputs to trace with: not a real cloud, but all sizes differ and none is 1, which tracing would make constant."""
    stages = len(model.config.enc_depths)
    rows = [11 * (stages - s) for s in range(stages)]
    shapes: dict[str, tuple[int, ...]] = {"row": (rows[0],), "back": (rows[0],), "neighbours5": (rows[0], 125)}
    for s, (n, stride) in enumerate(zip(rows, (1, *model.config.stride), strict=True)):
        if s:
            shapes |= {f"parent{s}": (rows[s - 1],), f"children{s}": (n, stride**3)}
        shapes[f"neighbours{s}"] = (n, 27)
        for k in range(_curves(model, s)):
            shapes |= {f"patches{s}_{k}": (2 + s, 3 + k), f"place{s}_{k}": (n,)}
    integers = {name: torch.zeros(shape, dtype=torch.int64) for name, shape in shapes.items()}
    return torch.zeros(rows[0], model.in_channels), integers


def export_program(model: PointTransformerV3) -> torch.export.ExportedProgram:
    """Export the network for clouds of any size; run it as ``program.module()(feat, structure(model, grid))``."""
    network = ExportableNetwork(model)
    feat, integers = example_inputs(model)
    with evaluation_mode(network):
        return torch.export.export(network, (feat, integers), dynamic_shapes=_dynamic(integers), strict=False)


def _dynamic(integers: Structure) -> tuple[Any, ...]:
    size = torch.export.Dim.DYNAMIC
    both = {name: {0: size, 1: size} for name in integers if name.startswith("patches")}
    return {0: size}, {name: both.get(name, {0: size}) for name in integers}


def save_program(
    path: str | Path, model: PointTransformerV3, program: torch.export.ExportedProgram | None = None
) -> None:
    """Write the exported network (.pt2), atomically; ``torch.export.load(path).module()`` reads it.

    Args:
        path: the file to write.
        model: the network.
        program: the result of `export_program`, if you already have it.
    """
    stream = io.BytesIO()
    torch.export.save(program or export_program(model), stream)
    write_bytes(path, stream.getvalue())


def save_onnx(path: str | Path, model: PointTransformerV3, program: torch.export.ExportedProgram | None = None) -> None:
    """Write the network as ONNX (opset 18), atomically. Its inputs are ``feat`` and the keys of `structure`.

    Args:
        path: the file to write.
        model: the network.
        program: the result of `export_program`, if you already have it.

    Raises:
        ParameterError: if the extra ``onnx`` (onnx, onnxscript) is not installed.
    """
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ParameterError("ONNX export needs onnx and onnxscript: pip install 'topokd[onnx]'") from error
    feat, integers = example_inputs(model)
    with atomic_path(path) as temporary:
        written = torch.onnx.export(
            program or export_program(model),
            (feat, integers),
            input_names=["feat", *integers],
            output_names=["logits"],
            opset_version=18,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        assert written is not None
        written.save(str(temporary), external_data=False)
