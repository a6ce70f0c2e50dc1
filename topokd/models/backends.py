"""Optional accelerators, each behind one function, with the torch path beside it.

| work (parameter) | torch | accelerator | chosen by "auto" for |
|---|---|---|---|
| ``attention`` in patches | ``scaled_dot_product_attention`` | flash-attn | CUDA tensors in half precision |
| ``reduction``: maximum over clusters | ``scatter_reduce`` | torch-scatter | CUDA tensors |
| submanifold ``convolution`` | :mod:`topokd.models.convolution` | spconv | CUDA tensors, once it agreed with torch |

Nothing needs an accelerator, and none is used on a CPU: spconv's multi-threaded CPU scatter returns wrong sums now and
then. On CUDA "auto" lets spconv work only after it gave the torch path's values and gradients on a small cloud in this
process. :meth:`PointTransformerV3.set_backends` forces a choice; ``topokd info`` shows :func:`active_backends`.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import itertools
import logging
from types import ModuleType
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from topokd.errors import ParameterError

if TYPE_CHECKING:
    from topokd.models.stage import Patches

log = logging.getLogger(__name__)
CHOICES = {
    "convolution": ("auto", "torch", "spconv"),
    "attention": ("auto", "torch", "flash-attn"),
    "reduction": ("auto", "torch", "torch-scatter"),
}


def _optional(name: str) -> ModuleType | None:
    """The module, or None when it is absent or does not load (a wheel for another CUDA or torch, say)."""
    if not torch.cuda.is_available() or importlib.util.find_spec(name.partition(".")[0]) is None:
        return None
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        log.warning("%s is installed but does not load (%s): torch does its work", name, str(error)[:200])
        return None


_flash_attn = _optional("flash_attn")
_torch_scatter = _optional("torch_scatter")
_spconv = _optional("spconv.pytorch")


def active_backends() -> dict[str, str]:
    """What each kind of work runs on, for ``topokd info``.

    >>> sorted(active_backends())
    ['attention', 'convolution', 'segment maximum']
    """
    return {
        "convolution": "spconv (CUDA), else torch" if _spconv and spconv_agrees(torch.float32) else "torch",
        "attention": "flash-attn (CUDA, half precision), else torch" if _flash_attn else "torch",
        "segment maximum": "torch-scatter (CUDA), else torch" if _torch_scatter else "torch",
    }


def check_choice(kind: str, backend: str, device: torch.device | None = None) -> None:
    """Raise :class:`ParameterError` for a backend that is unknown, or that cannot work on ``device``.

    >>> check_choice("attention", "flash")
    Traceback (most recent call last):
    topokd.errors.ParameterError: unknown attention backend 'flash': choose auto, torch or flash-attn
    """
    if backend not in CHOICES[kind]:
        *most, last = CHOICES[kind]
        raise ParameterError(f"unknown {kind} backend {backend!r}: choose {', '.join(most)} or {last}")
    if backend in ("auto", "torch") or device is None:
        return
    if device.type != "cuda":
        raise ParameterError(
            f"{kind}={backend!r} works on CUDA alone, and the input is on the {device.type.upper()}: choose 'auto' or "
            "'torch', or move the network and its input to a GPU"
        )
    if {"spconv": _spconv, "flash-attn": _flash_attn, "torch-scatter": _torch_scatter}[backend] is None:
        raise ParameterError(
            f"{backend} is not installed, or does not load (see `topokd info`): choose 'auto' or 'torch'"
        )


def uses_spconv(device: torch.device, backend: str = "auto") -> bool:
    """Whether convolutions on ``device`` go to spconv. Raises :class:`ParameterError` where it is forced and cannot."""
    check_choice("convolution", backend, device)
    if backend != "auto":
        return backend == "spconv"
    if device.type != "cuda" or _spconv is None:
        return False
    half = torch.is_autocast_enabled("cuda") and torch.get_autocast_dtype("cuda") == torch.float16
    return spconv_agrees(torch.float16 if half else torch.float32)  # bfloat16 goes through float32


@functools.cache
def spconv_agrees(dtype: torch.dtype) -> bool:
    """Whether spconv gives the torch path's values and gradients on a small cloud on this GPU; asked once a process."""
    from topokd.models.convolution.layer import find_neighbours, submanifold_convolution
    from topokd.models.convolution.spconv import SpconvMap

    with torch.inference_mode(False), torch.enable_grad(), torch.autocast("cuda", enabled=False):
        draw = torch.Generator().manual_seed(0)
        cells = torch.cartesian_prod(*[torch.arange(8)] * 3)
        grid = cells[torch.randperm(512, generator=draw)[:200].sort().values].cuda()
        cloud = torch.zeros(200, dtype=torch.int64, device="cuda")
        feat, weight = torch.randn(200, 16, generator=draw), torch.randn(16, 3, 3, 3, 16, generator=draw)
        found = []
        try:
            for where in (find_neighbours(grid, cloud, 3), SpconvMap(3, grid, cloud)):
                leaves = [x.to("cuda", dtype).requires_grad_() for x in (feat, weight)]
                out = submanifold_convolution(leaves[0], leaves[1], None, where)
                found.append([out, *torch.autograd.grad(out.float().square().sum(), leaves)])
        except Exception as error:  # whatever spconv stumbles over here, training must not
            log.warning("spconv does not run on this GPU (%s): torch does the convolutions", str(error)[:200])
            return False
    bound = 1e-3 if dtype == torch.float32 else 2e-2
    agrees = all(float((a - b).abs().max()) <= bound * float(a.abs().max()) for a, b in zip(*found, strict=True))
    if not agrees:
        log.warning("spconv gives other numbers than torch on this GPU: torch does the convolutions")
    return agrees


_CACHE = 2**18  # values; as float32 half of the 2 MiB that a core's second-level cache holds on common servers


def rows_at_once(x: Float[Tensor, "n c"], width: int) -> int | None:
    """How many rows to take at a time so that ``width`` values of each stay in a core's cache; None for all of them.

    All with gradients, whose sums over the rows would round differently, off the CPU, and in a graph for any number.
    """
    if torch.is_grad_enabled() or x.device.type != "cpu" or torch.compiler.is_compiling():
        return None
    return max(_CACHE // width, 1)


def patch_attention(qkv: Float[Tensor, "m three h d"], patches: Patches, backend: str = "auto") -> Float[Tensor, "m c"]:
    """Attention inside each patch of the patched sequence ``qkv`` (queries, keys, values of h heads).

    ``backend``: "auto", "torch" or "flash-attn". Flash-attn computes in half precision; a float32 tensor goes to it
    only on demand, and is rounded to bfloat16 there.
    """
    check_choice("attention", backend, qkv.device)
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
    assert _flash_attn is not None
    lengths = [patches.size] * patches.num_full + list(patches.short)
    ends = torch.tensor([0, *itertools.accumulate(lengths)], dtype=torch.int32, device=qkv.device)
    half = qkv if qkv.dtype in (torch.float16, torch.bfloat16) else qkv.bfloat16()
    out = _flash_attn.flash_attn_varlen_qkvpacked_func(
        half, ends, max(lengths), deterministic=torch.are_deterministic_algorithms_enabled()
    )
    return out.reshape(len(qkv), -1).to(qkv.dtype)


def segment_max(
    x: Float[Tensor, "n c"], parent: Int64[Tensor, " n"], first: Int64[Tensor, " m"], backend: str = "auto"
) -> Float[Tensor, "m c"]:
    """Maximum over runs of rows: row i belongs to run ``parent[i]``, which begins at row ``first[parent[i]]``.

    Rows that share a maximum share its gradient in torch; torch-scatter gives all of it to one of them.
    """
    check_choice("reduction", backend, x.device)
    if backend == "torch-scatter" or (backend == "auto" and _torch_scatter is not None and x.is_cuda):
        assert _torch_scatter is not None
        return _torch_scatter.segment_csr(x, torch.cat([first, first.new_tensor([len(x)])]), reduce="max")
    lowest = x.new_full((len(first), x.shape[1]), -torch.inf)
    return lowest.scatter_reduce(0, parent[:, None].expand_as(x), x, "amax")
