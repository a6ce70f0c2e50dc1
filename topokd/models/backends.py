"""Optional accelerators, each behind one function, with the torch path beside it.

| work | torch | accelerator | used for |
|---|---|---|---|
| attention in patches | ``scaled_dot_product_attention`` | flash-attn | CUDA tensors in half precision |
| maximum over clusters | ``scatter_reduce`` | torch-scatter | CUDA tensors |
| submanifold convolution | :mod:`topokd.models.sparse_conv` | none | |

Nothing here needs an accelerator, and none is used on a CPU. spconv is not among them: its multi-threaded CPU scatter
returns wrong sums now and then, and a CUDA path should not be switched on before it was compared with the torch one.
``topokd info`` shows :func:`active_backends`.
"""

from __future__ import annotations

import importlib
import importlib.util
import itertools
from types import ModuleType

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from topokd.models.stage import Patches


def _optional(name: str) -> ModuleType | None:
    """The module, or None when it is absent or does not load (a wheel for another CUDA or torch, say)."""
    if not torch.cuda.is_available() or importlib.util.find_spec(name) is None:
        return None
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError):
        return None


_flash_attn = _optional("flash_attn")
_torch_scatter = _optional("torch_scatter")


def active_backends() -> dict[str, str]:
    """What each kind of work runs on, for ``topokd info``.

    >>> sorted(active_backends())
    ['attention', 'convolution', 'segment maximum']
    """
    return {
        "convolution": "torch",
        "attention": "flash-attn (CUDA, half precision), else torch" if _flash_attn else "torch",
        "segment maximum": "torch-scatter (CUDA), else torch" if _torch_scatter else "torch",
    }


def patch_attention(qkv: Float[Tensor, "m three h d"], patches: Patches, backend: str = "auto") -> Float[Tensor, "m c"]:
    """Attention inside each patch of the patched sequence ``qkv`` (queries, keys, values of h heads).

    ``backend``: "auto", "torch" or "flash-attn". Flash-attn computes in half precision; a float32 tensor goes to it
    only on demand, and is rounded to bfloat16 there.
    """
    flash = _flash_attn is not None and qkv.is_cuda and qkv.dtype in (torch.float16, torch.bfloat16)
    if backend == "flash-attn" or (backend == "auto" and flash):
        return _flash_attention(qkv, patches)
    heads, width = qkv.shape[2:]
    ends = patches.num_full * patches.size
    parts = [qkv[:ends].view(patches.num_full, patches.size, 3, heads, width)] if ends else []
    for n in patches.short:
        parts.append(qkv[ends : ends + n].unsqueeze(0))
        ends += n
    out = []
    for part in parts:
        q, k, v = part.permute(2, 0, 3, 1, 4).unbind(0)  # (patches, heads, rows, width)
        out.append(scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, heads * width))
    return out[0] if len(out) == 1 else torch.cat(out)


def _flash_attention(qkv: Tensor, patches: Patches) -> Tensor:
    if _flash_attn is None:
        raise RuntimeError("flash-attn is not usable here: it needs a CUDA device; choose attention='torch' or 'auto'")
    lengths = [patches.size] * patches.num_full + list(patches.short)
    ends = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=qkv.device)
    half = qkv if qkv.dtype in (torch.float16, torch.bfloat16) else qkv.bfloat16()
    out = _flash_attn.flash_attn_varlen_qkvpacked_func(half, ends, max(lengths))
    return out.reshape(len(qkv), -1).to(qkv.dtype)


def segment_max(
    x: Float[Tensor, "n c"], parent: Int64[Tensor, " n"], first: Int64[Tensor, " m"]
) -> Float[Tensor, "m c"]:
    """Maximum over runs of rows: row i belongs to run ``parent[i]``, which begins at row ``first[parent[i]]``.

    Rows that share a maximum share its gradient.
    """
    if _torch_scatter is not None and x.is_cuda:
        return _torch_scatter.segment_csr(x, torch.cat([first, first.new_tensor([len(x)])]), reduce="max")
    lowest = x.new_full((len(first), x.shape[1]), -torch.inf)
    return lowest.scatter_reduce(0, parent[:, None].expand_as(x), x, "amax")
