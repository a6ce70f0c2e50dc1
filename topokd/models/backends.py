"""Optional accelerators: which are installed, and which backend may compute where.

| work (parameter) | torch | accelerator | chosen by "auto" for |
|---|---|---|---|
| submanifold ``convolution`` | `topokd.models.convolution` | spconv | CUDA tensors, once it agreed with torch |
| ``attention`` in patches | ``scaled_dot_product_attention`` | flash-attn | CUDA tensors in half precision |
| ``reduction``: maximum over clusters | ``scatter_reduce`` | torch-scatter | CUDA tensors |

Nothing needs an accelerator, and none is used on a CPU: the multi-threaded CPU scatter of spconv sometimes returns
wrong sums. `PointTransformerV3.set_backends` forces a choice; ``topokd info`` shows which are active.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from types import ModuleType
from typing import get_args

import torch

from topokd.choices import AttentionBackend, ConvolutionBackend, ReductionBackend
from topokd.errors import ParameterError

log = logging.getLogger(__name__)
CHOICES = {
    "convolution": get_args(ConvolutionBackend),
    "attention": get_args(AttentionBackend),
    "reduction": get_args(ReductionBackend),
}


def _import_optional(name: str) -> ModuleType | None:
    """The module, or None if it is absent or fails to load (a wheel for another CUDA or torch, say)."""
    if not torch.cuda.is_available() or importlib.util.find_spec(name.partition(".")[0]) is None:
        return None
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        log.warning("%s is installed but fails to load (%s): torch is used instead", name, str(error)[:200])
        return None


FLASH_ATTN = _import_optional("flash_attn")
TORCH_SCATTER = _import_optional("torch_scatter")
SPCONV = _import_optional("spconv.pytorch")


def check_choice(kind: str, backend: str, device: torch.device | None = None) -> None:
    """Check that a backend exists and can run on a device.

    Args:
        kind: a key of ``CHOICES``.
        backend: one of ``CHOICES[kind]``.
        device: where the input is; None checks the name only.

    Raises:
        ParameterError: if the backend is unknown, or cannot run on ``device``.

    Examples:
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
            f"{kind}={backend!r} runs on CUDA only, and the input is on the {device.type.upper()}: choose 'auto' or "
            "'torch', or move the network and its input to a GPU"
        )
    if {"spconv": SPCONV, "flash-attn": FLASH_ATTN, "torch-scatter": TORCH_SCATTER}[backend] is None:
        raise ParameterError(
            f"{backend} is not installed or fails to load (see `topokd info`): choose 'auto' or 'torch'"
        )
