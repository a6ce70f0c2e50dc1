"""Which backends are active on this machine."""

from __future__ import annotations

import torch

from topokd.models import backends
from topokd.models.convolution.spconv import spconv_agrees


def active_backends() -> dict[str, str]:
    """The backend of each kind of work, as ``topokd info`` prints it.

    Examples:
        >>> sorted(active_backends())
        ['attention', 'convolution', 'segment maximum']
    """
    spconv = backends.SPCONV is not None and spconv_agrees(torch.float32)
    return {
        "convolution": "spconv (CUDA), else torch" if spconv else "torch",
        "attention": "flash-attn (CUDA, half precision), else torch" if backends.FLASH_ATTN else "torch",
        "segment maximum": "torch-scatter (CUDA), else torch" if backends.TORCH_SCATTER else "torch",
    }
