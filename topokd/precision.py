"""Computations that keep their precision under autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from jaxtyping import Float
from torch import Tensor


def without_autocast(device: torch.device) -> AbstractContextManager:
    """A block in which autocast casts nothing on ``device``.

    Args:
        device: that of the tensors in the block.

    Examples:
        >>> a = torch.full((1, 1), 1.001)
        >>> with torch.autocast("cpu", torch.bfloat16), without_autocast(a.device):
        ...     (a @ a).dtype
        torch.float32
    """
    if not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def product(a: Float[Tensor, "*b n k"], b: Float[Tensor, "*b k m"]) -> Float[Tensor, "*b n m"]:
    """``a @ b`` in their own type, which autocast would round to half precision.

    Args:
        a: left factors.
        b: right factors.

    Examples:
        >>> a = torch.full((1, 1), 1.001)
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     (a @ a).item(), round(product(a, a).item(), 4)
        (1.0, 1.002)
    """
    with without_autocast(a.device):
        return a @ b
