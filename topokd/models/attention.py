"""Attention inside patches of a space-filling curve."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from topokd.models import backends
from topokd.models.stage import Patches


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
            twice = patches.rows.take(patches.repeated)
            grad = grad.index_add(0, twice, grads[0].index_select(0, patches.repeated))
        return grad, None


class PatchAttention(nn.Module):
    """Multi-head self-attention of each patch: ``softmax(q k^T / sqrt(c / heads)) v``.

    Rows of the last, overlapping patch of a cloud see the patch_size rows at the cloud's end.
    """

    def __init__(self, channels: int, heads: int, backend: str = "auto") -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be split over {heads} heads")
        self.heads, self.backend = heads, backend
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Float[Tensor, "n c"], patches: Patches) -> Float[Tensor, "n c"]:
        """Attend inside ``patches``."""
        parts = patches.split(backends.rows_at_once(x, self.qkv.out_features))
        if len(parts) == 1:
            out = self._attend(_GatherPatches.apply(self.qkv(x), patches), patches)
        else:  # a few patches at a time, from their rows on: what lies between stays in the cache
            out = torch.cat([self._attend(self.qkv(x.index_select(0, part.rows)), part) for part in parts])
        return self.proj(out.index_select(0, patches.back))

    def _attend(self, qkv: Float[Tensor, "m three_c"], patches: Patches) -> Float[Tensor, "m c"]:
        return backends.patch_attention(qkv.view(len(qkv), 3, self.heads, -1), patches, self.backend)


def attention_reference(
    qkv: Float[Tensor, "n three h d"], rank: Int64[Tensor, " n"], sizes: tuple[int, ...], patch_size: int
) -> Float[Tensor, "n c"]:
    """Slow twin: row by row, from the definition. ``rank`` is each row's place on the curve inside its cloud."""
    out, start = [], 0
    for n in sizes:
        place = rank[start : start + n].tolist()
        q, k, v = qkv[start : start + n].unbind(1)
        for row in range(n):
            first = min(place[row] // patch_size * patch_size, max(n - patch_size, 0))
            seen = [r for r in range(n) if first <= place[r] < first + patch_size]
            logits = torch.einsum("hd,rhd->hr", q[row], k[seen]) / q.shape[-1] ** 0.5
            out.append(torch.einsum("hr,rhd->hd", logits.softmax(1), v[seen]).reshape(-1))
        start += n
    return torch.stack(out)
