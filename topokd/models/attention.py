"""Attention inside patches of a space-filling curve."""

from __future__ import annotations

import itertools
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from topokd.models import backends
from topokd.models.chunks import rows_per_chunk
from topokd.models.patches import Patches
from topokd.models.rotary import rotate

_HALF = (torch.float16, torch.bfloat16)


class PatchAttention(nn.Module):
    """Multi-head self-attention of each patch: ``softmax(q k^T / sqrt(c / heads)) v``.

    Rows of the last, overlapping patch of a cloud see the ``patch_size`` rows at the cloud's end.

    Args:
        channels: c, width of the features.
        heads: number of heads; must divide ``channels``.
        rope_base: if above 0, queries and keys are first rotated by their voxels' positions (`topokd.models.rotary`).

    Attributes:
        backend: "auto", "torch" or "flash-attn"; `PointTransformerV3.set_backends` sets it.

    Raises:
        ValueError: ``channels`` cannot be split over the heads.
    """

    def __init__(self, channels: int, heads: int, rope_base: float = 0.0) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be split over {heads} heads")
        self.heads, self.backend, self.rope_base = heads, "auto", rope_base
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(
        self, x: Float[Tensor, "n c"], patches: Patches, grid_coord: Int64[Tensor, "n 3"] | None = None
    ) -> Float[Tensor, "n c"]:
        """Attend inside ``patches``.

        Args:
            x: (n, c) features.
            patches: groups of rows that see one another.
            grid_coord: (n, 3) voxel positions of the rows; read only with ``rope_base``.

        Raises:
            ValueError: for ``rope_base`` without positions.
        """
        if self.rope_base:
            if grid_coord is None:
                raise ValueError(f"rope_base is {self.rope_base:g}: rotary attention needs grid_coord")
            return self._attend_rotated(x, patches, grid_coord)
        chunks = patches.split(rows_per_chunk(x, self.qkv.out_features))
        if len(chunks) == 1:
            out = self._attend(_GatherPatches.apply(self.qkv(x), patches), patches)  # (m, c)
        else:  # a few patches at a time, projection included: intermediate values stay in the cache
            out = torch.cat([self._attend(self.qkv(x.index_select(0, chunk.rows)), chunk) for chunk in chunks])
        return self.proj(out.index_select(0, patches.back))

    def _attend_rotated(self, x: Tensor, patches: Patches, grid_coord: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(len(x), 3, self.heads, -1).unbind(1)  # (n, h, d)
        q, k = rotate(q, grid_coord, self.rope_base), rotate(k, grid_coord, self.rope_base)
        out = self._attend(_GatherPatches.apply(torch.stack([q, k, v], dim=1).flatten(1), patches), patches)
        return self.proj(out.index_select(0, patches.back))

    def _attend(self, qkv: Float[Tensor, "m c3"], patches: Patches) -> Float[Tensor, "m c"]:
        return patch_attention(qkv.view(len(qkv), 3, self.heads, -1), patches, self.backend)


class _GatherPatches(torch.autograd.Function):
    """``x[patches.rows]``, with a backward pass that gathers: only the few repeated rows are accumulated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, patches: Patches) -> Tensor:
        ctx.patches = patches
        return x.index_select(0, patches.rows)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        patches: Patches = ctx.patches
        grad = grads[0].index_select(0, patches.back)
        if len(patches.repeated):
            rows = patches.rows.take(patches.repeated)
            grad = grad.index_add(0, rows, grads[0].index_select(0, patches.repeated))
        return grad, None


def patch_attention(qkv: Float[Tensor, "m 3 h d"], patches: Patches, backend: str = "auto") -> Float[Tensor, "m c"]:
    """Attention inside each patch of a patched sequence.

    Args:
        qkv: queries, keys and values of h heads of width d, one row per entry of the sequence.
        patches: the patches; entry e belongs to row ``patches.rows[e]``.
        backend: "auto", "torch" or "flash-attn". Flash-attn computes in half precision; a float32 tensor goes to it
            only on demand, and is rounded to bfloat16 there.

    Returns:
        One row of h * d channels per entry.
    """
    backends.check_choice("attention", backend, qkv.device)
    flash = backends.FLASH_ATTN is not None and qkv.is_cuda and qkv.dtype in _HALF
    if backend == "flash-attn" or (backend == "auto" and flash):
        return _flash_attention(qkv, patches)
    heads, width = qkv.shape[2:]
    end = patches.num_full * patches.size
    groups = [qkv[:end].view(patches.num_full, patches.size, 3, heads, width)] if end else []
    for n in patches.short:
        groups.append(qkv[end : end + n].unsqueeze(0))
        end += n
    out = []
    for group in groups:
        q, k, v = group.permute(2, 0, 3, 1, 4).unbind(0)  # (patches, heads, rows, width)
        out.append(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, heads * width))
    return out[0] if len(out) == 1 else torch.cat(out)


def _flash_attention(qkv: Tensor, patches: Patches) -> Tensor:
    assert backends.FLASH_ATTN is not None
    ends = torch.tensor([0, *itertools.accumulate(patches.lengths)], dtype=torch.int32, device=qkv.device)
    half = qkv if qkv.dtype in _HALF else qkv.bfloat16()
    out = backends.FLASH_ATTN.flash_attn_varlen_qkvpacked_func(
        half, ends, max(patches.lengths), deterministic=torch.are_deterministic_algorithms_enabled()
    )
    return out.reshape(len(qkv), -1).to(qkv.dtype)
